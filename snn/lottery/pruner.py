"""Who decides the masks of every round of a run, and what was known before the first.

All that pruning needs to know of a network, its array and its method stands here,
whoever trains: `rounds.Rounds`, or a loop of the user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from balancer import BalancerError, LayerCost
from snn.array_types import Masks
from snn.lottery.config import LotteryConfig
from snn.lottery.hardware import RunArray
from snn.lottery.live_paths import NetworkPaths, effective_weights
from snn.lottery.methods import (
    ROUNDED,
    Method,
    check_layer_maps,
    get_method,
    validated_method,
)
from snn.lottery.neighbours import neighbours
from snn.lottery.pruning import (
    Pruned,
    Pruning,
    check_pruned,
    check_room,
    natural_schedules,
)
from snn.lottery.round_tickets import RoundTicket
from snn.networks.layers import layer_notes, prunable_layers


class Pruner:
    """Prunes a network for an array, by the method of a configuration or a user's own.

    Parameters
    ----------
    config : LotteryConfig
        The run.
    network : Module
        It stays as it is.
    example : Tensor
        One of its inputs.
    array : RunArray
        What the masks run on.
    about : mapping
        What the metadata of its tickets say of layers and time steps.
    method : callable, optional
        Instead of ``config.method``.

    Attributes
    ----------
    dense : Pruned
        What round 0 trains with.
    has_paths : bool
        Whether the network's paths can be followed.

    Raises
    ------
    BalancerError
        What could not be pruned in the end: costs that are not known, no room for a
        slice of every layer, paths that were asked for and cannot be followed.
    """

    def __init__(
        self,
        config: LotteryConfig,
        network: nn.Module,
        example: torch.Tensor,
        array: RunArray,
        about: Mapping[str, Any],
        method: Method | None = None,
    ) -> None:
        self.config, self.network = config, network
        self.array, self.about = array, about
        self._example = example
        named = method is None
        self._method = (
            get_method(config.method) if method is None else validated_method(method)
        )
        layers: dict[str, Any] = dict(prunable_layers(network))
        dense = {
            name: np.ones(layer.weight.shape, np.bool_)
            for name, layer in layers.items()
        }
        schedules = natural_schedules(dense, config.map, config.pes)
        self.dense = Pruned(dense, dense, schedules)
        if named:
            maps = {name: array.map_of(mask) for name, mask in dense.items()}
            check_layer_maps(config.method, maps)
        paths = NetworkPaths(network, example) if config.live_paths else None
        if paths is not None and "live_paths" in config.model_fields_set:
            paths.live(dense)  # or say at once that it cannot be done
        self.has_paths = self.effective(dense) is not None
        self.live = paths.live if paths is not None and self.has_paths else None
        self.neighbours = neighbours(network) if self.live is not None else ()
        self.costs = self._costs(named)
        if named and config.method in ROUNDED:  # what would fail at the end fails now
            check_room(self._last_pruning())

    def _costs(self, named: bool) -> dict[str, LayerCost] | None:
        """Cost of a slice of each layer, where somebody asks for it and it is known."""
        dense, config = self.dense.masks, self.config
        needed = config.budgets == "cycles" or (named and config.method == "latency")
        if needed:
            return self.array.costs(dense, self.about)
        if named:
            return None
        try:
            return self.array.costs(dense, self.about)
        except BalancerError:  # a method of one's own may do without
            return None

    def effective(self, masks: Masks) -> dict[str, int] | None:
        """Count the kept weights of each layer on a path; see `effective_weights`."""
        return effective_weights(self.network, masks, self._example)

    def notes(self) -> list[str]:
        """Say what the numbers of this network might hide, a sentence each."""
        notes = layer_notes(self.network)
        if assumption := self.array.assumption(self.dense.masks, self.about):
            notes.append(f"Cycles and energy: {assumption}.")
        if not self.has_paths:
            notes.append(
                "Effective weights are not counted, and live paths not asked for: the "
                "paths of this network cannot be followed."
            )
        return notes

    def choose(self, number: int, last: RoundTicket | None) -> Pruned:
        """Choose the masks of a round.

        Parameters
        ----------
        number : int
            The round.
        last : RoundTicket or None
            The round before; None before round 0, which is dense.
        """
        sparsities = self.config.schedule_of_sparsity
        if last is None:
            return self.dense
        left = 1 - sparsities[number - 1]
        pruning = Pruning(
            scores=last.ranking,
            masks=last.pruned.masks,
            carried=last.pruned.carried,
            sparsity=sparsities[number],
            step=(sparsities[number] - sparsities[number - 1]) / left,
            budgets=self.config.budgets,
            pe_map=self.config.map,
            pes=self.config.pes,
            revive=self.config.revive,
            allow_empty=self.config.allow_empty,
            seed=round_seed(self.config.seed, number),
            costs=self.costs,
            latency_budget=self.config.latency_budget,
            live=self.live,
            neighbours=self.neighbours,
        )
        early = sparsities[number] < self.config.balance_from
        return (get_method("lth") if early else self._method)(pruning)

    def check(self, pruned: Pruned) -> None:
        """Refuse masks and schedules that are not of the network's layers.

        Raises
        ------
        BalancerError
            As `check_pruned` does.
        """
        check_pruned(pruned, self._last_pruning())

    def _last_pruning(self) -> Pruning:
        """Ask for the last sparsity at once, of weights that are all alike."""
        dense, config = self.dense.masks, self.config
        return Pruning(
            scores={name: mask.astype(np.float32) for name, mask in dense.items()},
            masks=dense,
            carried=dense,
            sparsity=config.schedule_of_sparsity[-1],
            step=0.0,
            budgets=config.budgets,
            pe_map=config.map,
            pes=config.pes,
            allow_empty=config.allow_empty,
            costs=self.costs,
        )


def round_seed(seed: int, number: int, again: int = 0) -> int:
    """Return the seed of a round; another one for each time that it is done again."""
    parts = [seed, number, again] if again else [seed, number]
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
