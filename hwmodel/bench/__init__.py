"""Benchmarks: what balancing costs, beside sorting the same weights.

From the ground up: `settings` (what is measured), `bench_case` (one layer), `milp` (the
textbook program, by HiGHS) → `methods` (who prunes it) → `measuring` (one layer, by all
methods in turns) → `growth` (time by size), `bench_result`, `reference` (what was
measured before), `bench_figure` → `run`, which puts it together.
"""
