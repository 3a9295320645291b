"""What is known about a round when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from balancer.errors import shortened


@dataclass(frozen=True, slots=True)
class LayerOutcome:
    """One layer after a round.

    Attributes
    ----------
    name : str
        The layer.
    weights, nonzeros : int
        All weights, and those that are kept.
    utilization : float
        Of the PEs that hold weights (`balancer.LoadMetrics.mu`), in the ticket's order.
    occupancy : float
        PEs that hold weights / all PEs.
    kept_fraction : float or None
        Kept last magnitudes relative to unstructured pruning at equal non-zeros; None
        of an empty layer.
    spike_rate : float or None
        Spikes per input and time step; None if the input is no spikes.
    cycles, energy : float or None
        Of one call on the accelerator, the mean where calls differ; None if it cannot
        have the PE map.
    calls : int
        How often the layer runs in an inference: those of the round are sums over them.
    effective : int or None
        Kept weights on a path from the network's input to its output
        (`live_paths.live_weights`); None if its paths cannot be followed.
    """

    name: str
    weights: int
    nonzeros: int
    utilization: float
    occupancy: float
    kept_fraction: float | None
    spike_rate: float | None
    cycles: float | None
    energy: float | None
    calls: int = 1
    effective: int | None = None


@dataclass(frozen=True, slots=True)
class RoundOutcome:
    """A round: what was pruned, how well the network does, what it costs.

    Attributes
    ----------
    round : int
        0 is the dense network.
    timesteps : int
        Time steps it was trained and tested with.
    sparsity : float
        Fraction of the weights that are pruned.
    nonzeros : int
        Weights that are kept.
    accuracy : float
        On the test images, after the last epoch.
    loss : float or None
        On the same; None if a loop of the user's own did not say.
    validation_accuracy : float or None
        On the validation images; None without any.
    kept_fraction : float or None
        Kept last magnitudes relative to unstructured pruning of the same layers; None
        if nothing is kept.
    utilization : float
        Mean over the layers weighted by parameters, as in the u-Ticket paper.
    eta : float
        Loads / (PEs x largest loads) over all layers.
    spike_rate : float or None
        Mean of the layers whose input is spikes.
    cycles, idle_cycles, energy : float or None
        Of one inference on the accelerator.
    energy_unit : str or None
        Unit of the energy.
    epochs : int or None
        Epochs of training in this round; None if nobody has counted.
    layers : tuple of LayerOutcome
        In the order in which they run.
    effective : int or None
        Kept weights on a path, of all layers.
    """

    round: int
    timesteps: int
    sparsity: float
    nonzeros: int
    accuracy: float
    loss: float | None
    validation_accuracy: float | None
    kept_fraction: float | None
    utilization: float
    eta: float
    spike_rate: float | None
    cycles: float | None
    idle_cycles: float | None
    energy: float | None
    energy_unit: str | None
    epochs: int | None
    layers: tuple[LayerOutcome, ...]
    effective: int | None = None

    def __str__(self) -> str:
        """Say in a line what the round came to."""
        cycles = "" if self.cycles is None else f", {self.cycles:,.0f} cycles"
        return (
            f"round {self.round}: {self.nonzeros:,} weights, {self.sparsity:.2%} "
            f"pruned, accuracy {self.accuracy:.2%}, utilization {self.utilization:.3f}"
            f"{cycles}"
        )

    @property
    def dead_weights(self) -> int | None:
        """Kept weights on no path; None if paths cannot be followed."""
        return None if self.effective is None else self.nonzeros - self.effective

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        names = {one.name for one in fields(cls)}
        values = {name: value for name, value in known.items() if name in names}
        values["layers"] = tuple(LayerOutcome(**layer) for layer in known["layers"])
        found = cls(**values)
        _refuse_other_kinds(found)
        for layer in found.layers:
            _refuse_other_kinds(layer)
        return found


def _refuse_other_kinds(outcome: RoundOutcome | LayerOutcome) -> None:
    """Refuse values of another kind than the fields have, whoever wrote them."""
    for field in fields(outcome):
        value, kind = getattr(outcome, field.name), str(field.type)
        if field.name == "layers" or (value is None and kind.endswith("None")):
            continue
        accepted = {"i": (int,), "f": (int, float), "s": (str,)}[kind[0]]
        if type(value) not in accepted:
            raise TypeError(f"`{field.name}` is {shortened(repr(value), 40)}")
        if str not in accepted:
            float(value)  # or it is too large for any


def reported_outcomes(report: Mapping[str, Any]) -> tuple[RoundOutcome, ...]:
    """Read the rounds of a ``report.json``; raises one of `MALFORMED` on others."""
    found = tuple(RoundOutcome.of(known) for known in report["rounds"])
    if not found:
        raise ValueError("it has no round")
    return found


def reported_notes(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the notes of a ``report.json``; raises as `reported_outcomes` does."""
    return tuple(texts_of("notes", report.get("notes", ())))


def texts_of(name: str, given: Any) -> list[str]:
    """Take a list of texts, and nothing else.

    Raises
    ------
    TypeError
        Something else.
    """
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(one, str) for one in given
    ):
        raise TypeError(f"`{name}` is no list of texts")
    return list(given)


def smallest_layer(layers: Sequence[LayerOutcome]) -> int:
    """Non-zeros of the layer that has fewest; 0 without layers."""
    return min((layer.nonzeros for layer in layers), default=0)


def least_utilization(layers: Sequence[LayerOutcome]) -> float:
    """Utilization of the worst layer; 1.0 without layers."""
    return min((layer.utilization for layer in layers), default=1.0)
