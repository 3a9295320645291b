"""Options of the command line that are fields of a run's configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal, get_args, get_origin

from hwmodel.commands.completers import accelerator_names, map_texts, offer

# Defaults that depend on the method.
OF_METHOD = {
    "score": "gradient for optimal, optimal-order and latency, magnitude for the "
    "others",
    "budgets": "lamp for optimal and optimal-order, global for the others",
}
# Values that are files, and what a shell offers beside them.
METAVARS = {
    "dataset": "NAME|PATH",
    "data_folder": "FOLDER",
    "map": "MAP|YAML",
    "accelerator": "NAME|YAML",
}
# What options were called before.
FORMER = {"budgets": ("--scope",)}


def add_field(
    parser: argparse._ActionsContainer, name: str, default: str | None = None
) -> None:
    """Add the option of a field of `LotteryConfig`.

    Parameters
    ----------
    parser : ArgumentParser or group of one
        Where it goes.
    name : str
        Of the field.
    default : str, optional
        What to say of the default, where it is not the field's.
    """
    from snn.lottery.config import LotteryConfig

    field = LotteryConfig.model_fields[name]
    options = ["--" + name.replace("_", "-"), *FORMER.get(name, ())]
    text = (field.description or "").replace("%", "%%")
    known: dict[str, Any] = {"dest": f"field_{name}"}
    if field.annotation is bool:
        if default is None and "default" not in text:
            default = "yes" if field.default else "no"
        if default is not None:
            text += f" (default: {default})"
        parser.add_argument(
            *options, action=argparse.BooleanOptionalAction, help=text, **known
        )
        return
    if default is None and field.default is not None:
        default = OF_METHOD.get(name, str(field.default))
    if default is not None:
        text += f" (default: {default})"
    metavar = METAVARS.get(name) or _metavar(field.annotation)
    action = parser.add_argument(*options, metavar=metavar, help=text, **known)
    words = WORDS.get(name, partial(_literals, field.annotation))
    offer(action, words)


def _metavar(annotation: Any) -> str:
    """Name a value after its type: N, X, NAME, or several of them."""
    if get_origin(annotation) is tuple:
        return f"{_metavar(get_args(annotation)[0])},…"
    known = {int: "N", float: "X", str: "NAME"}
    if get_origin(annotation) is Literal:
        return "NAME"
    if annotation in known:
        return known[annotation]
    parts = (part for part in get_args(annotation) if part is not type(None))
    return "|".join(map(_metavar, parts))


def _literals(annotation: Any) -> Iterator[str]:
    """Yield the texts that a field accepts."""
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _literals(part)


def _methods() -> Iterable[str]:
    from snn.lottery.methods import METHODS

    return METHODS


def _datasets() -> Iterable[str]:
    from snn.data.load import DATASETS

    return DATASETS


def _networks() -> Iterable[str]:
    from snn.networks.models import ARCHITECTURES

    return ARCHITECTURES


# Names of what is found only when a shell asks; some of them need torch.
WORDS: dict[str, Callable[[], Iterable[str]]] = {
    "dataset": _datasets,
    "method": _methods,
    "network": _networks,
    "map": map_texts,
    "accelerator": accelerator_names,
}


def given_fields(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that options were given for, as `LotteryConfig` reads them."""
    from snn.lottery.config import LotteryConfig

    values: dict[str, Any] = {}
    for name, field in LotteryConfig.model_fields.items():
        given = getattr(args, f"field_{name}", None)
        if given is not None and "tuple" in str(field.annotation):
            given = tuple(given.split(","))
        if given is not None:
            values[name] = given
    return values
