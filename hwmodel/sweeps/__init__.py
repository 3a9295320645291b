"""Sweeps: many designs, evaluated wherever there are processors, one row each.

From the ground up: `settings` (what a run is), `digests`, `arrays` (the accelerator of
a run), `points` (settings that go together), `trainer` (what is asked of training),
`plan` (which runs a sweep has) → `masks` (of a ticket, by a method), `measures` (of
layers) → `work` (a task: points that share masks) → `attempt`, with `local_workers`
(`worker`) and `cluster` (where tasks run) → `rows`, `journal` (what is done),
`layer_tasks` (a layer each) → `pareto`, `labels`, `figure`, `result` → `run`, which
puts it together.
"""
