"""The runs of a comparison: methods, with settings of their own where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from snn.lottery.comparison import ComparisonError
from snn.lottery.config import LotteryConfig

# What all runs of a comparison have in common, or there would be nothing to compare.
SHARED = frozenset(
    (
        *("dataset", "data_folder", "download", "train_size", "validation"),
        *("rounds", "prune_rate", "sparsities", "seed", "tensorboard"),
    )
)


class Variant(NamedTuple):
    """One way to prune, as a comparison names it.

    Attributes
    ----------
    label : str
        As it was given: ``METHOD[:FIELD=VALUE|:FLAG]…``.
    settings : dict
        Fields of the configuration, with the method.
    """

    label: str
    settings: dict[str, Any]


def parse_variant(label: str) -> Variant:
    """Read a method and the settings that are its own.

    Parameters
    ----------
    label : str
        A method; behind colons, fields of `LotteryConfig` with their values, or a
        field alone that is to be true, or with ``no-`` before it false. Words are
        joined by ``-`` or ``_``.

    Raises
    ------
    ComparisonError
        A field that is none, that the runs of a comparison share, or no value.

    Examples
    --------
    >>> from snn.lottery.variants import parse_variant
    >>> parse_variant("optimal:budgets=lamp:no-live-paths").settings
    {'method': 'optimal', 'budgets': 'lamp', 'live_paths': False}
    """
    method, *parts = label.split(":")
    settings: dict[str, Any] = {"method": method}
    for part in parts:
        name, equals, value = part.partition("=")
        field = name.strip().replace("-", "_")
        known = LotteryConfig.model_fields.get(field)
        if not equals:
            positive = field.removeprefix("no_")
            known = LotteryConfig.model_fields.get(positive)
            if known is not None and known.annotation is not bool:
                raise ComparisonError(
                    f"{label!r}: {name} needs a value, as in {name}={known.default}"
                )
            settings[positive] = field == positive
            field = positive
        else:
            settings[field] = value.strip()
        if known is None or field in {"method", *SHARED}:
            why = "is no setting" if known is None else "is the same for all runs"
            raise ComparisonError(
                f"{label!r}: {name!r} {why}; accepted: METHOD:FIELD=VALUE with the "
                "options of `lottery` that do not change data, rounds or seeds"
            )
    return Variant(label, settings)


def variant_configs(
    common: Mapping[str, Any], labels: Iterable[str]
) -> dict[str, LotteryConfig]:
    """Make the configuration of each variant, with the seed of the common fields.

    Parameters
    ----------
    common : mapping
        Fields of `LotteryConfig`; those of a variant go before them.
    labels : iterable of str
        See `parse_variant`.

    Raises
    ------
    ComparisonError
        See `parse_variant`; also two labels that say the same.
    ConfigError
        A method or value that no run can have.
    """
    made: dict[str, LotteryConfig] = {}
    of_config: dict[str, str] = {}
    for label in labels:
        config = LotteryConfig.of({**common, **parse_variant(label).settings})
        former = of_config.setdefault(config.model_dump_json(), label)
        if former != label:
            raise ComparisonError(
                f"{former!r} and {label!r} are the same run; give each once"
            )
        made[label] = config
    return made
