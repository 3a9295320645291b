"""Who trains the points of a sweep: a lottery run for each."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer.files.atomic import replacing
from hwmodel import SweepError
from hwmodel.sweeps.digests import digest
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.trainer import TrainedTicket
from snn.lottery.config import LotteryConfig

# Methods and orders of a sweep, as lottery runs call them.
METHOD_OF = {
    ("optimal", "optimized"): "optimal-order",
    ("lth", "sorted"): "lth-sorted",
}
# What the settings of a point say.
SAID = {
    "map": "map",
    "pes": "pes",
    "method": "method",
    "seed": "seed",
    "budgets": "budgets",
    "accelerator": "accelerator",
    "latency_budget": "latency_budget",
    "allow_empty": "allow_empty",
    "sparsities": "sparsity",
    "prune_rate": "sparsity",
}


@dataclass(frozen=True)
class LotteryTrainer:
    """Trains by lottery rounds (`hwmodel.sweeps.trainer.PointTrainer`).

    The sparsity of a point is reached in ``training.rounds`` rounds, each of which
    prunes the same fraction; without a sparsity rounds are as in `LotteryConfig`. The
    row is that of the last round. A run goes on where it was stopped, and points that
    differ in the accelerator alone share it.

    Examples
    --------
    >>> from hwmodel import SweepPlan
    >>> from snn import LotteryTrainer
    >>> fields = {"pes": [4, 8], "sparsity": 0.9, "training": {"rounds": 2}}
    >>> plan = SweepPlan.of(fields, LotteryTrainer())
    >>> LotteryTrainer().config(plan.points[0]).sparsities
    (0.683772, 0.9)
    """

    def config(
        self, point: SweepPoint, accelerator: str | None = None
    ) -> LotteryConfig:
        """Make the configuration of a point.

        Parameters
        ----------
        point : SweepPoint
            Its settings, and fields of `LotteryConfig` as its ``training``.
        accelerator : str, optional
            What the masks depend on, where they do.

        Raises
        ------
        SweepError
            A field that the settings of the point say, or an order that the method
            cannot have.
        ConfigError
            What `LotteryConfig` refuses.
        """
        asked, given = point.settings, dict(point.training or {})
        for name in given:
            if name in SAID:
                raise SweepError(
                    f"`training.{name}` is what `{SAID[name]}` says; give that"
                )
        fields = given | {
            "map": point.array.pe_map,
            "pes": point.array.pes,
            "seed": asked.seed,
        }
        fields["method"] = METHOD_OF.get((asked.method, asked.order), asked.method)
        if asked.order != "fixed" and (asked.method, asked.order) not in METHOD_OF:
            pairs = ", ".join(f"{order} of {method}" for method, order in METHOD_OF)
            raise SweepError(
                f"`order` is {asked.order!r} with method {asked.method!r}; accepted "
                f"with training: fixed, {pairs}"
            )
        for name in ("budgets", "latency_budget"):
            if getattr(asked, name) is not None:
                fields[name] = getattr(asked, name)
        if asked.allow_empty:
            fields["allow_empty"] = True
        if accelerator is not None:
            fields["accelerator"] = accelerator
        config = LotteryConfig.of(fields)
        if asked.sparsity is None:
            return config
        return LotteryConfig.of(
            fields | {"sparsities": _rising(asked.sparsity, config.rounds)}
        )

    def digest(self, point: SweepPoint) -> str:
        """Digest of the configuration; see `PointTrainer`.

        Raises
        ------
        BalancerError
            As `config`.
        """
        return self.config(point).digest()

    def require(self) -> None:
        """Refuse to train without torch; see `PointTrainer`."""
        if importlib.util.find_spec("torch") is None:
            raise SweepError(
                "`training` needs torch; install it with "
                "python -m pip install -e '.[snn]'"
            )

    def train(self, point: SweepPoint, root: Path) -> TrainedTicket:
        """Run the rounds, or what is left of them; see `PointTrainer`."""
        self.require()
        from snn.lottery.run import run_lottery

        accelerator = None
        if point.settings.needs_costs:
            text = point.array.accelerator.to_yaml()
            path = root / "accelerators" / f"{digest(text)}.yaml"
            with replacing(path) as (file,):
                file.write_text(text, encoding="utf-8")
            accelerator = str(path)
        config = self.config(point, accelerator)
        result = run_lottery(config, root=root, resume=True)
        last = result.last
        columns: Mapping[str, Any] = {
            "accuracy": last.accuracy,
            "validation_accuracy": last.validation_accuracy,
            "dense_accuracy": result.dense.accuracy,
            "spike_rate": last.spike_rate,
            "run": result.folder.name,
        }
        return TrainedTicket(result.ticket(), columns)


def _rising(sparsity: float, rounds: int) -> tuple[float, ...]:
    """Prune the same fraction of what is left in every round."""
    left = 1 - sparsity
    steps = (round(1 - left ** (n / rounds), 6) for n in range(1, rounds))
    return (*steps, sparsity) if rounds else ()
