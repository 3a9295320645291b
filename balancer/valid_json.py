"""JSON that every parser reads: numbers that are not finite have no place in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

NOT_FINITE = "not_finite"


def to_json(document: Mapping[str, Any], indent: int | None = None) -> str:
    """Write a document as JSON (RFC 8259), which knows no infinity and no NaN.

    Such numbers become ``null``, and ``not_finite`` at the end of the document says
    which they are, by their place.

    Parameters
    ----------
    document : mapping
        Whatever JSON can hold, and such numbers.
    indent : int, optional
        As of `json.dumps`.

    Examples
    --------
    >>> from balancer.valid_json import to_json
    >>> to_json({"gap": float("inf"), "layers": [{"kept": 0.5}]})
    '{"gap": null, "layers": [{"kept": 0.5}], "not_finite": {"gap": "Infinity"}}'
    """
    try:
        return json.dumps(document, indent=indent, allow_nan=False)
    except ValueError:  # hardly ever
        found: dict[str, str] = {}
        finite = _finite(document, "", found)
        return json.dumps({**finite, NOT_FINITE: found}, indent=indent, allow_nan=False)


def _finite(part: Any, place: str, found: dict[str, str]) -> Any:
    """Copy a part with None for what is not finite; note where that was."""
    prefix = f"{place}." if place else ""
    if isinstance(part, Mapping):
        return {k: _finite(v, f"{prefix}{k}", found) for k, v in part.items()}
    if isinstance(part, (list, tuple)):
        return [_finite(v, f"{prefix}{i}", found) for i, v in enumerate(part)]
    if isinstance(part, float) and not math.isfinite(part):
        found[place] = json.dumps(float(part))
        return None
    return part
