"""Faults on purpose: processes that are killed, full disks, clocks that jump.

Real processes run the commands of the command line; what they leave must be whole, and
what a second one makes of it must be to the byte what one that was left alone makes.
"""
