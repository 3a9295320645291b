"""Figures: one look for all of them, and those of loads, use, and frontiers.

`balancer` draws nothing. This package draws what follows from masks and hardware, and
`hwmodel.sweeps` its runs; `snn` draws rounds and methods. All use one set of styles.
"""
