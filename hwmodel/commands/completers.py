"""What a shell offers for the value of an option: words, files of a kind, folders."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

TICKETS = ("*.safetensors", "*.npz", "*.safetensors.index.json", "*.pt", "*.pth")
TABLES = ("*.yaml", "*.yml")
# Files by the name that help gives a value, which may name several: ``NAME|YAML``.
FILES = {
    "TICKET": (*TICKETS, "*.onnx"),
    "MASKS": TICKETS[:2],
    "OTHER": TICKETS,
    "YAML": TABLES,
    "TOML": ("*.toml",),
    "FILE.toml": ("*.toml",),
    "FILE.html": ("*.html",),
    "FILE": ("*",),
    "PATH": ("*",),
}
FOLDERS = ("FOLDER", "RUN", "SWEEP")
_WORDS = "_words"  # an attribute of an action


class Offer(NamedTuple):
    """What is offered for a value.

    Attributes
    ----------
    words : tuple of str
        Values that have a name.
    patterns : tuple of str
        Files, as globs.
    folders : bool
        Whether folders are values, and not only the way to files.
    """

    words: tuple[str, ...]
    patterns: tuple[str, ...]
    folders: bool


def offer(action: argparse.Action, words: Callable[[], Iterable[str]]) -> None:
    """Say which words a value may be; they are looked up when a shell asks.

    Parameters
    ----------
    action : argparse.Action
        Of an argument that takes other values, too; ``choices`` say it of the others.
    words : callable
        Names what there is; what is not installed (`ImportError`) has no names.
    """
    setattr(action, _WORDS, words)


def accelerator_names() -> Iterable[str]:
    """Name the presets."""
    from hwmodel.accelerator import Accelerator

    return Accelerator.names()


def map_texts() -> Iterable[str]:
    """Write the maps as options take them; numbers are left to be typed."""
    from balancer import map_kinds

    shown = (kind.shown for kind in map_kinds())
    return [re.sub(r"(?<=:).*", "", text) if text != "N:M" else "2:4" for text in shown]


def offered(action: argparse.Action) -> Offer:
    """Collect what is offered for the value of an argument.

    Examples
    --------
    >>> import argparse
    >>> from hwmodel.commands.completers import offer, offered
    >>> parser = argparse.ArgumentParser()
    >>> action = parser.add_argument("--map", metavar="MAP|YAML")
    >>> offer(action, lambda: ["banked", "2:4"])
    >>> offered(action)
    Offer(words=('banked', '2:4'), patterns=('*.yaml', '*.yml'), folders=False)
    """
    if action.choices is not None:
        return Offer(tuple(map(str, action.choices)), (), False)
    words: Callable[[], Iterable[str]] = getattr(action, _WORDS, tuple)
    try:
        known = tuple(words())
    except ImportError:
        known = ()
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    parts = metavar.split("|")
    patterns = (glob for part in parts for glob in FILES.get(part, ()))
    folders = any(part in FOLDERS for part in parts)
    return Offer(known, tuple(dict.fromkeys(patterns)), folders)
