"""Plain words for a description that does not validate.

Each complaint becomes one sentence that names the field by its path, what was given,
the unit (which every number carries at the end of its name) and the values allowed.
"""

from __future__ import annotations

import reprlib
import typing
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

UNITS = {
    "_pj_per_bit": "pJ per bit",
    "_pj_per_pe_cycle": "pJ per PE and cycle",
    "_mw_per_pe": "mW per PE",
    "_bits_per_cycle": "bits per cycle",
    "_pj": "pJ",
    "_mw": "mW",
    "_hz": "Hz",
    "_nm": "nm",
    "_bytes": "bytes",
    "_bits": "bits",
    "_cycles": "cycles",
    "_activations": "activations",
}
# What was given may be a thousand lists in each other, or much longer than a line.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 200, 200
COUNTS = {"pes": "PEs", "rows": "PEs", "cols": "PEs", "timesteps_in_parallel": "steps"}


def unit_of(field: str) -> str | None:
    """Say the unit that the name of a field carries."""
    endings = (words for end, words in UNITS.items() if field.endswith(end))
    return COUNTS.get(field) or next(endings, None)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what is wrong with a description and what is accepted.

    Parameters
    ----------
    error : ValidationError
        As pydantic raised it for `model`.
    model : type of BaseModel
        The description's root.
    """
    words: dict[str, str] = {}
    for complaint in error.errors():
        path = [str(part) for part in complaint["loc"]]
        owner, known = _owner(path, model)
        # Below a field stands which member of a union was tried; one sentence will do.
        name = ".".join(path[:known])
        words.setdefault(name, _sentence(complaint, path[known - 1 : known], owner))
    return "; ".join(
        f"`{name}` {text}" if name else text for name, text in words.items()
    )


def _owner(path: list[str], model: type[BaseModel]) -> tuple[type[BaseModel], int]:
    """Model that holds the field of a path, and how many parts lead to the field."""
    for depth, part in enumerate(path, start=1):
        field = model.model_fields.get(part)
        if field is None:
            return model, depth
        inner = _model_in(field.annotation)
        if inner is None or depth == len(path):
            return model, depth
        model = inner
    return model, len(path)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for kind in (annotation, *typing.get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _sentence(complaint: ErrorDetails, last: list[str], owner: type[BaseModel]) -> str:
    field = last[0] if last else ""
    kind = complaint["type"]
    if kind == "extra_forbidden":
        return f"is no field; accepted here: {', '.join(owner.model_fields)}"
    if kind == "value_error":
        return str(complaint["ctx"]["error"])
    accepted = _accepted(field, owner)
    if kind == "missing":
        return f"is missing; it needs {accepted}"
    return f"is {_SHORT.repr(complaint['input'])}; it needs {accepted}"


def _accepted(field: str, owner: type[BaseModel]) -> str:
    info = owner.model_fields.get(field)
    if info is None:
        return f"the fields {', '.join(owner.model_fields)}"
    section = _model_in(info.annotation)
    if section is not None:
        return f"a section with the fields {', '.join(section.model_fields)}"
    values, limits, number = _contents(info.annotation)
    limits += [text for data in info.metadata for text in _limits(data)]
    phrases = []
    if number:
        unit = unit_of(field)
        bound = f" {' and '.join(dict.fromkeys(limits))}" if limits else ""
        phrases.append(f"a {number}{bound}" + (f" in {unit}" if unit else ""))
    if values:
        phrases.append(("one of " if not number else "") + ", ".join(map(repr, values)))
    return " or ".join(phrases) or "a text that is not empty"


def _contents(annotation: Any) -> tuple[list[Any], list[str], str]:
    """Literal values, limits and kind of number inside an annotation."""
    if annotation is int:
        return [], [], "whole number"
    if annotation is float:
        return [], [], "number"
    if typing.get_origin(annotation) is Literal:
        return list(typing.get_args(annotation)), [], ""
    values: list[Any] = []
    limits: list[str] = []
    number = ""
    for part in typing.get_args(annotation):
        inner = _contents(part)
        values += inner[0]
        limits += inner[1] + _limits(part)
        number = number or inner[2]
    return values, limits, number


def _limits(metadata: Any) -> list[str]:
    """Words for the bounds that a piece of field metadata sets."""
    data = [metadata, *getattr(metadata, "metadata", [])]
    bounds = (("gt", "above"), ("ge", "of at least"))
    return [
        f"{words} {getattr(item, key)}"
        for item in data
        for key, words in bounds
        if getattr(item, key, None) is not None
    ]
