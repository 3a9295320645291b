"""Errors and warnings that the hardware model raises on purpose.

The errors are `ValueError`s with one line of text that says what was given, what is
accepted and how to mend it, so a program may show it to its user as it is.
"""


class HardwareModelError(ValueError):
    """Input that the hardware model cannot work with."""


class AcceleratorError(HardwareModelError):
    """A description of an accelerator that is wrong or incomplete."""


class WorkloadError(HardwareModelError):
    """A layer, its mask or its spikes do not fit together."""


class ArchitectureError(HardwareModelError):
    """The text of an architecture that cannot be read or does not fit its input."""


class MixedNodesWarning(UserWarning):
    """Numbers of different technology nodes in one description, without a reason."""
