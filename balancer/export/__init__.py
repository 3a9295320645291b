"""Weights and masks in the formats of others: per-PE streams, SciPy."""
