"""Options of the command line that are fields of a run's configuration."""

from __future__ import annotations

import argparse
from typing import Any

# Defaults that depend on the method.
OF_METHOD = {
    "score": "gradient for optimal, optimal-order and latency, magnitude for the "
    "others",
    "budgets": "lamp for optimal and optimal-order, global for the others",
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
        parser.add_argument(
            *options, action=argparse.BooleanOptionalAction, help=text, **known
        )
        return
    if default is None and field.default is not None:
        default = OF_METHOD.get(name, str(field.default))
    if default is not None:
        text += f" (default: {default})"
    parser.add_argument(*options, metavar=name.upper(), help=text, **known)


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
