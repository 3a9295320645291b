"""What a run in a loop of the user's own is made of: all that is not training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from balancer.errors import BalancerError
from snn.lottery.config import LotteryConfig
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


def refuse_fields_of_training(fields: Mapping[str, Any]) -> None:
    """Refuse what a run has no say in, with what it has.

    Raises
    ------
    LoopError
        A field that is unknown or belongs into the user's own loop.
    """
    for name in fields:
        if name not in ACCEPTED:
            why = "is up to your own loop" if name in HERS else "is no setting"
            raise LoopError(f"`{name}` {why}; accepted: {', '.join(sorted(ACCEPTED))}")
