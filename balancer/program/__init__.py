"""The retention program of one layer, and its structure that solvers use."""
