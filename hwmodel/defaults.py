"""The accelerator that is meant where none is named."""

# Skips zero weights only, so its cycles are exact without knowing any spike.
DEFAULT_ACCELERATOR = "u-ticket"
