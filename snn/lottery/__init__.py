"""Lottery runs: rounds of training, pruning, balancing and rewinding.

`config` says what a run is, `methods` how it prunes, `run` does it, and `store` keeps
its tickets.
"""
