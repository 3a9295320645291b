"""Commands of the command line that need no torch, and the contract of all commands."""
