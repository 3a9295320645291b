"""Errors that the balancer raises on purpose.

All of them are `ValueError`s: their text says what was given, what is accepted and
how to mend it, so a program may show it to its user as it is.
"""


class BalancerError(ValueError):
    """Input that the balancer cannot work with."""


class InfeasibleError(BalancerError):
    """No mask satisfies all the constraints of a problem."""


class TicketError(BalancerError):
    """A file of weights or masks that cannot be read or written."""


class VerificationError(BalancerError):
    """A mask that breaks a constraint of the problem it claims to answer."""


class SolverUnavailableError(BalancerError):
    """A solver that has no answer; the message is the reason for the fallback."""
