"""Errors and warnings that the hardware model raises on purpose.

The errors are `balancer.BalancerError`s, so a program may show their text to its user
as it is.
"""

from balancer.errors import BalancerError


class HardwareModelError(BalancerError):
    """Input that the hardware model cannot work with."""


class AcceleratorError(HardwareModelError):
    """A description of an accelerator that is wrong or incomplete."""


class WorkloadError(HardwareModelError):
    """A layer, its mask or its spikes do not fit together."""


class ArchitectureError(HardwareModelError):
    """The text of an architecture that cannot be read or does not fit its input."""


class MixedNodesWarning(UserWarning):
    """Numbers of different technology nodes in one description, without a reason."""
