"""What a run in a loop of the user's own is made of: all that is not training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from balancer.errors import BalancerError
from snn.lottery.config import LotteryConfig
from snn.lottery.function_names import function_name
from snn.lottery.methods import Method
from snn.lottery.variants import variant_configs
from snn.training.config import TrainingConfig


class LoopError(BalancerError):
    """A loop that does not do what its rounds need."""


# What happens in the user's code, and no configuration knows.
HERS = frozenset(
    (
        *TrainingConfig.model_fields,
        *("dataset", "data_folder", "download", "train_size", "validation"),
        *("augmentation", "network", "timesteps", "rewind", "record_images"),
        *("search_timesteps", "early_time_threshold"),
    )
)
ACCEPTED = frozenset(LotteryConfig.model_fields) - HERS - {"map"} | {"pe_map"}


class LoopConfig(LotteryConfig):
    """A configuration that says nothing about data, network and training.

    These are the user's, so neither the name of the run nor its tickets hold them.

    Examples
    --------
    >>> from snn.loop.loop_config import LoopConfig
    >>> config = LoopConfig(method="lth", rounds=3)
    >>> "epochs" in config.model_dump(), config.model_dump()["rounds"]
    (False, 3)
    """

    @model_serializer(mode="wrap")
    def _what_applies(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        known: dict[str, Any] = dump(self)
        return {name: value for name, value in known.items() if name not in HERS}


def accepted_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a configuration, and refuse what a run has no say in.

    Raises
    ------
    LoopError
        A field that is unknown or belongs into the user's own loop.
    """
    for name in fields:
        if name not in ACCEPTED:
            why = "is up to your own loop" if name in HERS else "is no setting"
            raise LoopError(f"`{name}` {why}; accepted: {', '.join(sorted(ACCEPTED))}")
    return dict(fields)


def method_configs(
    common: Mapping[str, Any], method: str | Method | Sequence[str | Method]
) -> dict[str, tuple[LotteryConfig, Method | None]]:
    """Make the configuration of each method, by its label.

    Parameters
    ----------
    common : mapping
        Fields of all of them.
    method : str, callable or sequence of these
        Methods; those with a name go without a function.

    Raises
    ------
    LoopError
        No methods, or one twice.
    """
    methods = [method] if isinstance(method, str) or callable(method) else list(method)
    labels = [one if isinstance(one, str) else function_name(one) for one in methods]
    if not labels or len(set(labels)) < len(labels):
        raise LoopError(f"`method` is {labels}; give at least one, each once")
    found: dict[str, tuple[LotteryConfig, Method | None]] = {}
    named = [one for one in methods if isinstance(one, str)]
    configs = variant_configs(common, named, LoopConfig)
    for label, one in zip(labels, methods, strict=True):
        if isinstance(one, str):
            found[label] = configs[label], None
        else:
            found[label] = LoopConfig.of(dict(common)), one
    return found


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Tell settings apart; empty without any.

    Raises
    ------
    LoopError
        Settings that JSON cannot hold.
    """
    if not settings:
        return ""
    try:
        text = json.dumps(settings, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LoopError(
            f"`settings` cannot be written as JSON ({error}); give names with numbers, "
            "texts, or lists of these"
        ) from error
    return f"; settings {hashlib.sha256(text.encode()).hexdigest()}"
