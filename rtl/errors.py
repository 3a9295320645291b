"""What the tools of the RTL refuse."""

from __future__ import annotations

from balancer.errors import BalancerError


class RtlError(BalancerError):
    """A layer that the array does not run, or a tool that is not installed."""
