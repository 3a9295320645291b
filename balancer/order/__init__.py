"""The order of the channels: which of them share a tile or a block."""
