"""What a lottery run is made of: one validated description, and its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from balancer.errors import BalancerError
from balancer.maps.registry import settle_map
from balancer.network.layer_counts import Budgets
from balancer.text_files import read_text_file
from hwmodel.defaults import DEFAULT_ACCELERATOR
from snn.training.config import TrainingConfig

# These say where things are and how they are shown, not what the result is.
NOT_IN_DIGEST = frozenset({"data_folder", "download", "tensorboard"})

# What makes the sparsities of the rounds where they are not given.
SCHEDULE = frozenset({"rounds", "prune_rate"})


class ConfigError(BalancerError):
    """A configuration that cannot be run."""


class LotteryConfig(TrainingConfig):
    """Hyper-parameters of a lottery run; the descriptions are the command line's help.

    Fields that are not given have defaults for scikit-learn's digits, which two
    processor cores finish in a few minutes.

    Examples
    --------
    >>> from snn import LotteryConfig
    >>> config = LotteryConfig(rounds=2, prune_rate=0.5)
    >>> config.schedule_of_sparsity
    (0.0, 0.5, 0.75)
    """

    dataset: str = Field(
        "digits",
        description="digits, mnist, fashion-mnist, cifar10, cifar100, svhn, "
        "cifar10-dvs, n-mnist, dvs128-gesture, an .npz file or a folder of images",
    )
    data_folder: Path | None = Field(
        None, description="where data sets that do not come with a library lie"
    )
    download: bool = Field(False, description="fetch the data set if it is not there")
    train_size: int | None = Field(
        None, ge=1, description="train on so many images only"
    )
    validation: float = Field(
        0.1, ge=0, lt=1, description="fraction of the training images to validate on"
    )
    augmentation: Literal["none", "shift", "shift-and-flip"] | None = Field(
        None,
        description="what --augment may do with images of a file or folder "
        "(default: shift); named data sets know",
    )
    network: str = Field(
        "conv3",
        description="conv3, vgg5, vgg9, vgg11, vgg16, resnet19, or layers as "
        "32c3-64c3-mp2-fc10",
    )
    timesteps: int = Field(4, ge=1, le=2**20, description="time steps of the network")
    method: str = Field(
        "optimal-order",
        description="how to prune: lth, lth-sorted, u-ticket, u-ticket-code, "
        "topk-per-pe, optimal, optimal-order or latency",
    )
    rounds: int = Field(
        14, ge=0, le=10_000, description="rounds of pruning and training again"
    )
    prune_rate: float = Field(
        0.25, gt=0, lt=1, description="fraction of the weights left that a round prunes"
    )
    sparsities: tuple[float, ...] | None = Field(
        None,
        description="sparsity after each round, instead of --rounds and --prune-rate",
    )
    score: Literal["magnitude", "gradient", "taylor", "rate"] = Field(
        "magnitude",
        description="what ranks weights: magnitude, gradient (times the root mean "
        "square of the gradient), taylor (times its mean), rate (times the spike rate "
        "of the input)",
    )
    budgets: Budgets = Field(
        "global",
        description="how many weights layers keep: global (rank all together), lamp "
        "(layer-adaptive scores), cycles (these per cycle), layer (one density), erk",
    )
    live_paths: bool = Field(
        False,
        description="spend no weight on channels that nothing reaches or nobody "
        "reads; only optimal, optimal-order and latency can, and do by default",
    )
    revive: bool = Field(
        False, description="let pruned weights return, as --growth ranks them"
    )
    growth: Literal["magnitude", "gradient"] = Field(
        "magnitude",
        description="what ranks pruned weights that may return: their score with their "
        "last magnitude, or gradient (how large theirs is among the layer's)",
    )
    allow_empty: bool = Field(False, description="let rounds empty layers")
    balance_from: float = Field(
        0.0, ge=0, le=1, description="sparsity below which rounds prune as lth does"
    )
    latency_budget: float = Field(
        0.8, gt=0, description="cycles of method latency, relative to optimal's by lamp"
    )
    rewind: float = Field(
        0.15,
        ge=0,
        description="rewind to the weights of this epoch, or of this fraction of the "
        "epochs (below 1); 0 is the beginning",
    )
    search_timesteps: int | Literal["auto"] | None = Field(
        None,
        description="time steps of all rounds but the last (Early-Time tickets), or "
        "auto: as few as predict like all of them",
    )
    early_time_threshold: float = Field(
        0.6, gt=0, description="divergence that auto accepts, relative to one step's"
    )
    map: str = Field(
        DEFAULT_MAP,
        description="PE map, as in the command balance; of a YAML file the content "
        "counts",
    )
    pes: int = Field(DEFAULT_PES, ge=1, description="PEs of the array")
    accelerator: str = Field(
        DEFAULT_ACCELERATOR, description="preset or YAML file for cycles and energy"
    )
    record_images: int = Field(
        0, ge=0, description="test images whose spikes are recorded at the end"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of everything random")

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, given: Any) -> Any:
        """Read `scope`, as `budgets` were called, in files and tickets of before."""
        if isinstance(given, dict) and "scope" in given and "budgets" not in given:
            given = {**given, "budgets": given["scope"]}
            del given["scope"]
        return given

    @field_validator("sparsities")
    @classmethod
    def _rising(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and (
            not given or list(given) != sorted(given) or given[0] <= 0 or given[-1] >= 1
        ):
            raise ValueError("must rise, from above 0 to below 1, one for a round")
        return given

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        # Here, because they load the solvers, which `lottery --help` can do without.
        from snn.lottery.methods import check_map, get_method

        get_method(self.method)
        text, pes = settle_map(
            self.map, self.pes if "pes" in self.model_fields_set else None
        )
        # Past the frozen model. Whoever reads the configuration again needs no file.
        object.__setattr__(self, "map", text)
        object.__setattr__(self, "pes", self.pes if pes is None else pes)
        check_map(self.method, self.map)
        if self.rewind > 1 and self.rewind != int(self.rewind):
            raise ValueError(
                f"rewind is {self.rewind:g}; accepted: a whole epoch, or a fraction "
                "of the epochs below 1"
            )
        if self.rewind_epoch >= self.epochs:
            raise ValueError(
                f"rewind is {self.rewind:g}, but training has {self.epochs} epochs; "
                "rewind to an earlier one"
            )
        if self.growth != "magnitude" and not self.revive:
            raise ValueError(
                f"growth is {self.growth}, but pruned weights do not return; "
                "give revive too"
            )
        if self.early_stopping is not None:
            # The first epoch is the best at the earliest.
            earliest = self.early_stopping + 1
            if earliest < self.rewind_epoch:
                raise ValueError(
                    f"early_stopping is {self.early_stopping}, which may stop before "
                    f"epoch {self.rewind_epoch} to rewind to; wait for more epochs, or "
                    "rewind to an earlier one"
                )
        fewer = self.search_timesteps
        if isinstance(fewer, int) and not 1 <= fewer <= self.timesteps:
            raise ValueError(
                f"search_timesteps is {fewer}; accepted: 1 to {self.timesteps} "
                "(timesteps), or auto"
            )
        if self.early_stopping is not None and self.validation == 0:
            raise ValueError(
                f"early_stopping is {self.early_stopping}, which needs validation "
                "images; validation is 0"
            )
        if self.search_timesteps == "auto" and self.validation == 0:
            raise ValueError(
                "search_timesteps is auto, which needs validation images; "
                "validation is 0"
            )
        return self

    @model_validator(mode="after")
    def _defaults_of_method(self) -> Self:
        """Methods of this package have defaults of their own, others their papers'."""
        from snn.lottery.methods import OWN_DEFAULTS

        for name, value in OWN_DEFAULTS.get(self.method, {}).items():
            if name not in self.model_fields_set:
                # Past the frozen model, so that it is still told from what was given.
                object.__setattr__(self, name, value)
        return self

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Make a configuration; errors take one line.

        Raises
        ------
        ConfigError
            Unknown fields, or values that are not accepted.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(_one_line(error, list(cls.model_fields))) from error

    @property
    def schedule_of_sparsity(self) -> tuple[float, ...]:
        """Sparsity after each round, the dense round 0 first."""
        if self.sparsities is not None:
            return (0.0, *self.sparsities)
        return tuple(1 - (1 - self.prune_rate) ** r for r in range(self.rounds + 1))

    @property
    def rewind_epoch(self) -> int:
        """Epoch before which the weights to rewind to are taken."""
        if self.rewind < 1:
            return int(self.rewind * self.epochs + 0.5)
        return int(self.rewind)

    def in_common(self) -> dict[str, Any]:
        """Return what runs of several methods have in common, as JSON can hold it.

        Without what was not given and each method has a default of its own for.
        """
        from snn.lottery.methods import OWN_DEFAULTS

        own = {name for defaults in OWN_DEFAULTS.values() for name in defaults}
        return self.model_dump(mode="json", exclude=own - self.model_fields_set)

    def digest(self, stand_ins: str = "") -> str:
        """Eight characters that differ between configurations with other results.

        `stand_ins` describes a network or data that are not the configuration's.
        """
        left_out = set(NOT_IN_DIGEST)
        if not self.allow_empty:
            left_out.add("allow_empty")
        if self.sparsities is not None:  # they decide
            left_out |= SCHEDULE
        known = self.model_dump(mode="json", exclude=left_out)
        text = json.dumps(known, sort_keys=True) + stand_ins
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_toml(path: Path) -> dict[str, Any]:
    """Read the fields of a configuration from a TOML file.

    Raises
    ------
    ConfigError
        A file that cannot be read or is no TOML.

    Examples
    --------
    >>> from pathlib import Path
    >>> from snn import LotteryConfig, read_toml
    >>> _ = Path("run.toml").write_text("rounds = 2")
    >>> LotteryConfig.of(read_toml(Path("run.toml"))).rounds
    2
    """
    fields: dict[str, Any] = read_text_file(
        "TOML", path, ConfigError, "a configuration is a TOML file"
    )
    return fields


def _one_line(error: ValidationError, accepted: list[str]) -> str:
    said = []
    for detail in error.errors():
        where = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            said.append(f"no field is named {where!r}; accepted: {', '.join(accepted)}")
        elif where:
            text = detail["msg"].removeprefix("Value error, ")
            said.append(f"{where} is {detail['input']!r}: {text}")
        else:
            said.append(detail["msg"].removeprefix("Value error, "))
    return "; ".join(said)
