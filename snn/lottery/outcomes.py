"""The outcome of a round: what was measured of its network, and what its masks cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balancer.metrics import network_eta, network_utilization
from snn.array_types import Scores
from snn.lottery.hardware import RunArray, layer_outcomes
from snn.lottery.pruning import Pruned, kept_magnitude
from snn.lottery.results import RoundOutcome


@dataclass(frozen=True, slots=True)
class Measured:
    """How well a trained network does.

    Attributes
    ----------
    accuracy : float
        On the test images, 0 to 1.
    loss : float or None
        On the same; None if nobody has said.
    validation_accuracy : float or None
        On the validation images; None without any.
    epochs : int or None
        Epochs of training in this round; None if nobody has counted.
    """

    accuracy: float
    loss: float | None = None
    validation_accuracy: float | None = None
    epochs: int | None = None


def round_outcome(
    number: int,
    pruned: Pruned,
    ranked: Scores,
    array: RunArray,
    about: Mapping[str, Any],
    effective: Mapping[str, int] | None,
    measured: Measured,
) -> RoundOutcome:
    """Put together what is known of a round.

    Parameters
    ----------
    number : int
        The round.
    pruned : Pruned
        Its masks and orders.
    ranked : dict of str to ndarray of float32
        The scores that they were chosen by.
    array : RunArray
        What the masks run on.
    about : mapping
        What the ticket's metadata say of time steps, geometry and spike rates.
    effective : mapping of str to int or None
        Kept weights of each layer on a path; None if paths cannot be followed.
    measured : Measured
        Of the trained network.
    """
    spike_rates: dict[str, float] = about["spike_rates"]
    report = array.report(pruned.masks, pruned.schedules, about)
    metrics = array.load_metrics(pruned.masks, pruned.schedules)
    layers = layer_outcomes(
        pruned.masks, ranked, metrics, spike_rates, report, effective
    )
    weights = [layer.weights for layer in layers]
    nonzeros = sum(layer.nonzeros for layer in layers)
    rates = list(spike_rates.values())
    return RoundOutcome(
        round=number,
        timesteps=about["timesteps"],
        sparsity=1 - nonzeros / sum(weights),
        nonzeros=nonzeros,
        accuracy=measured.accuracy,
        loss=measured.loss,
        validation_accuracy=measured.validation_accuracy,
        kept_fraction=kept_magnitude(ranked, pruned.masks),
        utilization=network_utilization([x.utilization for x in layers], weights),
        eta=network_eta(list(metrics.values())),
        spike_rate=sum(rates) / len(rates) if rates else None,
        cycles=None if report is None else report.cycles,
        idle_cycles=None if report is None else report.idle_cycles,
        energy=None if report is None else report.energy_pj,
        energy_unit=None if report is None else report.accelerator.energy_unit,
        epochs=measured.epochs,
        layers=layers,
        effective=None if effective is None else sum(effective.values()),
    )
