"""The runs of a comparison: methods, with settings of their own where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import ConfigError, LotteryConfig

# What all runs of a comparison have in common, or there would be nothing to compare.
SHARED = frozenset(
    (
        *("dataset", "data_folder", "download", "train_size", "validation"),
        *("rounds", "prune_rate", "sparsities", "seed", "tensorboard"),
    )
)


def parse_variant(label: str) -> dict[str, Any]:
    """Read a method and the settings that are its own.

    Parameters
    ----------
    label : str
        A method; behind colons, fields of `LotteryConfig` with their values, or a
        field alone that is to be true, or with ``no-`` before it false. Words are
        joined by ``-`` or ``_``. A colon before a digit belongs to the value, as in
        ``map=2:4``.

    Returns
    -------
    dict
        Fields of the configuration, the method first.

    Raises
    ------
    ComparisonError
        A field that is none, is given twice, has no value, or that the runs of a
        comparison share.

    Examples
    --------
    >>> from snn.lottery.variants import parse_variant
    >>> parse_variant("optimal:budgets=lamp:no-live-paths")
    {'method': 'optimal', 'budgets': 'lamp', 'live_paths': False}
    """
    method, *parts = re.split(r":(?!\d)", label)
    settings: dict[str, Any] = {"method": method.strip()}
    for part in parts:
        name, equals, value = (text.strip() for text in part.partition("="))
        field, setting = name.replace("-", "_"), value if equals else True
        if not equals and field.startswith("no_"):
            field, setting = field.removeprefix("no_"), False
        if why := _refusal(field, settings, has_value=bool(equals)):
            raise ComparisonError(
                f"{label!r}: {name!r} {why}; accepted: METHOD:FIELD=VALUE or "
                "METHOD:FLAG with options of `lottery` that change neither data, "
                "rounds nor seeds"
            )
        settings[field] = setting
    return settings


def _refusal(field: str, settings: Mapping[str, Any], *, has_value: bool) -> str | None:
    """Say what is wrong with a field; None if a variant may set it."""
    known = LotteryConfig.model_fields.get(field)
    if known is None:
        return "is no setting"
    if field in SHARED:
        return "is the same for all runs"
    if field in settings:
        return "is given twice"
    if not has_value and known.annotation is not bool:
        return "needs a value"
    return None


def variant_configs(
    common: Mapping[str, Any],
    labels: Iterable[str],
    kind: type[LotteryConfig] = LotteryConfig,
) -> dict[str, LotteryConfig]:
    """Make the configuration of each variant, with the seed of the common fields.

    Parameters
    ----------
    common : mapping
        Fields of `LotteryConfig`; those of a variant go before them.
    labels : iterable of str
        See `parse_variant`.
    kind : type
        Of the configurations.

    Raises
    ------
    ComparisonError
        See `parse_variant`; also two labels that say the same.
    ConfigError
        A method or value that no run can have; it is said in which variant.
    """
    made: dict[str, LotteryConfig] = {}
    of_config: dict[str, str] = {}
    for label in labels:
        try:
            config = kind.of({**common, **parse_variant(label)})
        except ConfigError as error:
            raise ConfigError(f"{label!r}: {error}") from error
        former = of_config.setdefault(config.model_dump_json(), label)
        if former != label:
            raise ComparisonError(
                f"{former!r} and {label!r} are the same run; give each once"
            )
        made[label] = config
    return made


def own_settings(
    config: LotteryConfig, labels: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return the settings in which the runs of a comparison differ, by label.

    Parameters
    ----------
    config : LotteryConfig
        What they have in common.
    labels : iterable of str
        See `parse_variant`.

    Examples
    --------
    >>> from snn import LotteryConfig
    >>> from snn.lottery.variants import own_settings
    >>> own_settings(LotteryConfig(), ["lth", "lth:budgets=lamp"])
    {'lth': {'budgets': 'global'}, 'lth:budgets=lamp': {'budgets': 'lamp'}}
    """
    given = config.model_dump(exclude_unset=True)
    known = {
        label: one.model_dump(mode="json", exclude={"method"})
        for label, one in variant_configs(given, labels).items()
    }
    first = next(iter(known.values()), {})
    differ = [
        name
        for name, value in first.items()
        if any(settings[name] != value for settings in known.values())
    ]
    return {
        label: {name: settings[name] for name in differ}
        for label, settings in known.items()
    }
