"""Errors that the packages raise on purpose, and who they are about.

All of them are `ValueError`s: their text says what was given, what is accepted and
how to mend it, so a program may show it to its user as it is. The errors of `hwmodel`
and `snn` are `BalancerError`s too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST_SAID = 1600  # characters of a text, or of a name before it


class BalancerError(ValueError):
    """Input that cannot be worked with.

    Parameters
    ----------
    text : str
        What is wrong, what is accepted, and how to mend it. Of a text longer than
        `MOST_SAID`, as names from hostile files make it, the middle is left out.
    about : object, optional
        The file or layer that is at fault; its name goes before the text.

    Attributes
    ----------
    culprits : tuple of str
        Files and layers that the text names already, the outermost first.
    """

    def __init__(self, text: str, *, about: object = None) -> None:
        said = shortened(text)
        super().__init__(said if about is None else f"{shortened(str(about))}: {said}")
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


# What code raises on structures that are not as it expects.
MALFORMED = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError),
    *(TypeError, ValueError),
)


@contextmanager
def malformed(
    kind: type[BalancerError], text: str, about: object = None
) -> Iterator[None]:
    """Say of a file that its structure is another, whatever that breaks in here.

    For code that takes apart what a program has written, and not a person: where
    something is missing, each field need not be checked by itself.

    Parameters
    ----------
    kind : type of BalancerError
        What to raise.
    text : str
        What is wrong and how to mend it; the detail comes behind it in brackets.
    about : object, optional
        The file.

    Raises
    ------
    BalancerError
        Of the type `kind`.

    Examples
    --------
    >>> from balancer.errors import TicketError, malformed
    >>> with malformed(TicketError, "is no report of ours", about="report.json"):
    ...     {}["layers"]
    Traceback (most recent call last):
    balancer.errors.TicketError: report.json: is no report of ours ('layers')
    """
    try:
        yield
    except BalancerError:
        raise
    except MALFORMED as problem:
        detail = " ".join(str(problem).split()) or type(problem).__name__
        raise kind(f"{text} ({detail})", about=about) from problem


def shortened(text: str, most: int = MOST_SAID) -> str:
    """Leave out the middle of a text that is too long for a line.

    Examples
    --------
    >>> from balancer.errors import shortened
    >>> shortened("a" * 70_000, 20)
    'aaaaaaaaaaaa … aaaaa'
    """
    if len(text) <= most:
        return text
    last = most // 4
    return f"{text[: most - last - 3]} … {text[-last:]}"


@contextmanager
def naming(culprit: object) -> Iterator[None]:
    """Say in an error which file or layer it is about, unless it does already.

    One of writing is about the file that is written, and says so.
    """
    try:
        yield
    except WriteError:
        raise
    except BalancerError as error:
        if str(culprit) in error.culprits:
            raise
        named = type(error)(str(error), about=culprit)
        named.culprits += error.culprits
        raise named from error
