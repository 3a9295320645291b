"""The streams on hardware: an array of PEs in SystemVerilog, and what checks it.

Not part of an installation: run it from a checkout. ``docs/rtl.md`` explains it.
"""
