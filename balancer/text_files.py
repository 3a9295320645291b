"""Texts of others, read within limits: JSON, TOML, YAML.

Parsers fail in many ways on what is damaged or meant ill: brackets inside each other by
the thousand, numbers of a million digits, dates that are none, and aliases by which a
YAML file of 300 bytes stands for billions of values. Here all of that becomes one error
of the caller's kind, and what is returned is small enough to be walked and printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from balancer.errors import BalancerError

TextKind: TypeAlias = Literal["JSON", "TOML", "YAML"]

MOST_BYTES: Mapping[TextKind, int] = {"JSON": 2**28, "TOML": 2**18, "YAML": 2**18}
"""How long a file may be: people write YAML and TOML, programs JSON."""
PIECE = 2**18
"""Bytes to read at once; Python takes as much memory as it is asked to read."""
DEEPEST = 64
"""Lists and mappings inside each other; ours have six at most."""
MOST_VALUES = 2**18
"""Values that a YAML file may stand for, aliases written out."""


def read_text_file(
    kind: TextKind, path: Path, error: type[BalancerError], wanted: str = ""
) -> Any:
    """Read what a file holds.

    Parameters
    ----------
    kind : "JSON", "TOML" or "YAML"
        Its format.
    path : Path
        The file; errors name it.
    error : type of BalancerError
        What to raise.
    wanted : str, optional
        What is accepted, for the message about a file that cannot be opened.

    Raises
    ------
    BalancerError
        Of the type `error`: a file that cannot be read, is too long, or is no such
        text; see `parse_text`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from balancer.errors import TicketError
    >>> from balancer.text_files import read_text_file
    >>> _ = Path("pes.yaml").write_text("pes: [4, 8]")
    >>> read_text_file("YAML", Path("pes.yaml"), TicketError)
    {'pes': [4, 8]}
    """
    text = text_of_file(kind, path, error, wanted)
    return parse_text(kind, text, error, about=path)


def text_of_file(
    kind: TextKind, path: Path, error: type[BalancerError], wanted: str = ""
) -> str:
    """Read the text of a file alone; parameters and errors as of `read_text_file`."""
    most = MOST_BYTES[kind]
    try:
        with path.open("rb") as file:
            pieces = iter(partial(file.read, PIECE), b"")
            data = b"".join(islice(pieces, most // PIECE + 1))
    except (OSError, ValueError) as problem:  # ValueError: a name with a zero byte
        said = getattr(problem, "strerror", None) or str(problem)
        tail = f"; {wanted}" if wanted else ""
        raise error(f"{said}{tail}", about=path) from problem
    if len(data) > most:
        raise error(
            f"is longer than {most:,} bytes; shorter {kind} is accepted", about=path
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"no {kind}: {problem}; save it as UTF-8", about=path) from problem


def parse_text(
    kind: TextKind,
    text: str | bytes,
    error: type[BalancerError],
    about: object = None,
) -> Any:
    """Read what a text holds.

    Parameters
    ----------
    kind : "JSON", "TOML" or "YAML"
        Its format.
    text : str or bytes
        The text; bytes are UTF-8.
    error : type of BalancerError
        What to raise.
    about : object, optional
        The file, for messages.

    Returns
    -------
    object
        Mappings, lists, texts and numbers, at most `DEEPEST` of them inside each other.

    Raises
    ------
    BalancerError
        Of the type `error`: no such text; one that is nested deeper, that holds itself
        or a half of a UTF-16 pair, or YAML that stands for more than `MOST_VALUES`.

    Examples
    --------
    >>> from balancer.errors import TicketError
    >>> from balancer.text_files import parse_text
    >>> parse_text("TOML", "pes = 8", TicketError)
    {'pes': 8}
    """
    try:
        plain = text.decode("utf-8") if isinstance(text, bytes) else text
        found = _PARSERS[kind](plain)
    except RecursionError as problem:
        raise error(
            f"no {kind}: lists and mappings lie too deep in each other; at most "
            f"{DEEPEST} are accepted",
            about=about,
        ) from problem
    except Exception as problem:  # parsers let pass what their constructors raise
        detail = " ".join(str(problem).split()) or type(problem).__name__
        raise error(f"no {kind}: {detail}", about=about) from problem
    wrong = _excess(found, MOST_VALUES if kind == "YAML" else None)
    if wrong is None and "\\u" in plain and not _is_unicode(found):
        wrong = "a text in it holds half of a UTF-16 pair (\\ud800 to \\udfff)"
    if wrong is not None:
        raise error(f"is no {kind} that is accepted: {wrong}", about=about)
    return found


def _json(text: str) -> Any:
    return json.loads(text)


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml  # takes longer to load than all maps

    class Loader(yaml.SafeLoader):
        """Stops early: each open bracket makes all that follows slower to read."""

        def fetch_flow_collection_start(self, kind: Any) -> None:
            if self.flow_level > DEEPEST:
                raise RecursionError
            super().fetch_flow_collection_start(kind)

    return yaml.load(text, Loader)  # the types of a SafeLoader and no others


_PARSERS: Mapping[TextKind, Callable[[str], Any]] = {
    "JSON": _json,
    "TOML": _toml,
    "YAML": _yaml,
}


def _excess(found: Any, most: int | None) -> str | None:
    """Say what is too much in a structure, each alias written out; None if nothing."""
    values, level, depth = 0, [found], 0
    while level:
        values += len(level)
        if most is not None and values > most:
            return f"with its aliases written out it holds more than {most:,} values"
        if depth > DEEPEST:
            return f"more than {DEEPEST} lists and mappings lie in each other"
        inner: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                inner += one.values()
                inner += (key for key in one if isinstance(key, tuple))
            elif isinstance(one, (list, tuple, set)):
                inner += one
            if most is not None and len(inner) > most:
                break
        level, depth = inner, depth + 1
    return None


def _is_unicode(found: Any) -> bool:
    try:
        json.dumps(found, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True
