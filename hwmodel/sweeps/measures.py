"""What is measured of each layer, and the row that a run's layers add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from balancer import BalancerError, network_utilization
from balancer.hardware import LayersOnHardware, MaskCost
from balancer.metrics import fraction
from hwmodel.sweeps.masks import MaskedLayer

# How a layer whose time is mostly spent so is called in the row.
MEMORY_BOUND = "stalled"


@dataclass(frozen=True, slots=True)
class LayerMeasure:
    """One layer of a run on its accelerator, as JSON holds it.

    Attributes
    ----------
    name : str
        The layer.
    weights, nonzeros, slots : int
        All weights, those that are kept, and loads x PEs that these take.
    kept, kept_unstructured, scores : float
        Score that is kept, that as many non-zeros could keep, and of all weights.
    utilization : float
        Of the PEs that hold weights (`balancer.LoadMetrics.mu`).
    status : str
        What is proven about the mask.
    cycles, energy : float or None
        Of one inference; None if the layer cannot run there.
    cycles_drawn : float or None
        With spikes drawn from their rates, where `cycles` are only a lower bound.
    basis : str or None
        What they rest on.
    stalled, pe_cycles : float
        PE cycles that wait for memory, and all of them.
    bound_by : str or None
        Where most of the PE cycles go, see `balancer.PETime`.
    refused : str or None
        Why it cannot run there.
    kept_anywhere : float or None
        See `MaskedLayer.kept_anywhere`.
    """

    name: str
    weights: int
    nonzeros: int
    slots: int
    kept: float
    kept_unstructured: float
    scores: float
    utilization: float
    status: str
    cycles: float | None = None
    energy: float | None = None
    cycles_drawn: float | None = None
    basis: str | None = None
    stalled: float = 0.0
    pe_cycles: float = 0.0
    bound_by: str | None = None
    refused: str | None = None
    kept_anywhere: float | None = None

    @classmethod
    def of(cls, layer: MaskedLayer, on: LayersOnHardware | None) -> Self:
        """Measure a mask, on hardware where there is any."""
        known: dict[str, Any] = {
            "name": layer.name,
            "weights": layer.mask.size,
            "nonzeros": layer.metrics.nonzeros,
            "slots": layer.metrics.slots,
            "kept": layer.kept,
            "kept_unstructured": layer.kept_unstructured,
            "scores": layer.scores,
            "utilization": layer.metrics.mu,
            "status": layer.status,
            "kept_anywhere": layer.kept_anywhere,
        }
        if on is None:
            return cls(**known)
        mask, own = layer.mask, None
        for one in layer.schedules:
            if not one.is_natural:  # a model takes one; the others go into the mask
                mask, own = (mask if own is None else own.apply(mask)), one
        try:
            cost = on.mask_cost(layer.name, mask, own)
        except BalancerError as error:
            return cls(**known, refused=str(error))
        return cls(**known, **_of_cost(cost))

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: known[name] for name in known if name in names})

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def _of_cost(cost: MaskCost) -> dict[str, Any]:
    time = (cost.drawn or cost).time
    return {
        "cycles": cost.cycles,
        "energy": cost.energy,
        "cycles_drawn": None if cost.drawn is None else cost.drawn.cycles,
        "basis": cost.basis,
        "stalled": 0.0 if time is None else time.stalled,
        "pe_cycles": 0.0 if time is None else time.total,
        "bound_by": None if time is None else time.largest,
    }


def sum_up(layers: Sequence[LayerMeasure]) -> dict[str, Any]:
    """Add layers up to the columns of a row that are results.

    Returns
    -------
    dict
        ``nonzeros`` and ``density`` of all weights; ``kept`` (total score), as a
        fraction of what unstructured pruning keeps with as many non-zeros
        (``kept_fraction``) and of all scores (``kept_share``); ``utilization`` (mean
        weighted by parameters), ``eta``; ``status``; ``cycles``, ``cycles_drawn`` and
        ``energy``, None without hardware; ``basis``; ``stalled``, the part of the PE
        cycles that wait for memory; and the flags: names of the layers that are
        ``memory_bound`` (most of their PE cycles wait for it), ``empty`` (no weight is
        kept), and ``not_run`` (in no sum of cycles, for want of a model).

    Examples
    --------
    >>> from hwmodel.sweeps.measures import LayerMeasure, sum_up
    >>> one = LayerMeasure("a", 10, 4, 4, 3.0, 4.0, 6.0, 1.0, "optimal", cycles=7)
    >>> two = LayerMeasure("b", 10, 0, 0, 0.0, 0.0, 2.0, 1.0, "optimal", cycles=2)
    >>> row = sum_up([one, two])
    >>> row["cycles"], row["kept_fraction"], row["kept_share"], row["empty"]
    (9, 0.75, 0.375, 'b')
    """
    weights = sum(layer.weights for layer in layers)
    nonzeros = sum(layer.nonzeros for layer in layers)
    slots = sum(layer.slots for layer in layers)
    kept = float(sum(layer.kept for layer in layers))
    unstructured = float(sum(layer.kept_unstructured for layer in layers))
    if layers and layers[0].kept_anywhere is not None:
        unstructured = layers[0].kept_anywhere
    run = [layer for layer in layers if layer.cycles is not None]
    drawn = any(layer.cycles_drawn is not None for layer in run)
    pe_cycles = sum(layer.pe_cycles for layer in run)
    stalled = sum(layer.stalled for layer in run)
    return {
        "nonzeros": nonzeros,
        "density": nonzeros / weights if weights else 0.0,
        "kept": kept,
        "kept_fraction": fraction(kept, unstructured),
        "kept_share": fraction(kept, float(sum(layer.scores for layer in layers))),
        "utilization": network_utilization(
            [layer.utilization for layer in layers],
            [layer.weights for layer in layers],
        ),
        "eta": nonzeros / slots if slots else 1.0,
        "status": _worst(layers),
        "cycles": _sum(layer.cycles for layer in run),
        "cycles_drawn": _sum(
            layer.cycles if layer.cycles_drawn is None else layer.cycles_drawn
            for layer in (run if drawn else ())
        ),
        "energy": _sum(layer.energy for layer in run),
        "basis": ", ".join(dict.fromkeys(x.basis for x in run if x.basis)) or None,
        "stalled": stalled / pe_cycles if pe_cycles else None,
        "memory_bound": _names(x for x in run if x.bound_by == MEMORY_BOUND),
        "empty": _names(x for x in layers if x.weights and not x.nonzeros),
        "not_run": _names(x for x in layers if x.refused is not None),
    }


def _worst(layers: Sequence[LayerMeasure]) -> str:
    """Say what is proven of all layers: no more than of any of them."""
    known = {layer.status for layer in layers}
    if "" in known or not known:
        return ""
    return "feasible" if "feasible" in known else "optimal"


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _names(layers: Iterable[LayerMeasure]) -> str:
    return " ".join(layer.name for layer in layers)
