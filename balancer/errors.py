"""Errors that the packages raise on purpose, and who they are about.

All of them are `ValueError`s: their text says what was given, what is accepted and
how to mend it, so a program may show it to its user as it is. The errors of `hwmodel`
and `snn` are `BalancerError`s too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BalancerError(ValueError):
    """Input that cannot be worked with.

    Parameters
    ----------
    text : str
        What is wrong, what is accepted, and how to mend it.
    about : object, optional
        The file or layer that is at fault; its name goes before the text.

    Attributes
    ----------
    culprits : tuple of str
        Files and layers that the text names already, the outermost first.
    """

    def __init__(self, text: str, *, about: object = None) -> None:
        super().__init__(text if about is None else f"{about}: {text}")
        self.culprits: tuple[str, ...] = () if about is None else (str(about),)


class InfeasibleError(BalancerError):
    """No mask satisfies all the constraints of a problem."""


class TicketError(BalancerError):
    """A file of weights or masks that cannot be read or written."""


class WriteError(TicketError):
    """A file that cannot be written, for want of space or permission, say."""


class ExportError(BalancerError):
    """What a format cannot express, or cannot be written for want of a package."""


class VerificationError(BalancerError):
    """A mask that breaks a constraint of the problem it claims to answer."""


class SolverUnavailableError(BalancerError):
    """A solver that has no answer; the message is the reason for the fallback."""


@contextmanager
def naming(culprit: object) -> Iterator[None]:
    """Say in an error which file or layer it is about, unless it does already."""
    try:
        yield
    except BalancerError as error:
        if str(culprit) in error.culprits:
            raise
        named = type(error)(str(error), about=culprit)
        named.culprits += error.culprits
        raise named from error
