"""The array of PEs that is meant where none is named: that of the u-Ticket paper."""

DEFAULT_MAP = "output_channel"
DEFAULT_PES = 16
