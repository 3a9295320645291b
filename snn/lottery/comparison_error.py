"""The error of everything that compares runs."""

from balancer.errors import BalancerError


class ComparisonError(BalancerError):
    """Runs that cannot be compared."""
