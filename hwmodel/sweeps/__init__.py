"""Sweeps: many designs, evaluated wherever there are processors, one row each.

From the ground up: `settings` (what a run is), `points` (settings with the accelerator
and the file they name), `plan` (which runs a sweep has) → `masks` (of a ticket, by a
method), `measures` (of layers, and rows) → `work` (a task: points that share masks) →
`attempt`, with `local_workers` (`worker`) and `cluster` (where tasks run), `journal`
(what is done) → `result` (`pareto`, `figure`) → `run`, which puts it together.
"""
