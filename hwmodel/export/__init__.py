"""Layers in the formats of other simulators."""
