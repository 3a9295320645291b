"""The file of a round: everything that is known of a network, but its optimizer.

Beside what `balancer.open_ticket` reads (``NAME.weight``, ``NAME.mask``,
``NAME.score``, ``NAME.order`` or ``NAME.input_order``), a layer has ``NAME.rates``
(spikes by time step and input channel) and, where the next round starts from other
weights, ``NAME.carried``.
All other arrays are the rest of the network's state, so the file loads into a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from balancer import Schedule, __version__
from balancer.errors import MALFORMED, TicketError, malformed
from balancer.files.array_files import open_arrays, save_arrays
from balancer.files.atomic import replacing
from balancer.files.layer_roles import ORDER_ROLES
from snn.array_types import Scores
from snn.lottery.checksums import checksums, damage_of_arrays, damage_of_metadata
from snn.lottery.config import NOT_IN_DIGEST, LotteryConfig
from snn.lottery.pruning import Pruned
from snn.lottery.results import RoundOutcome

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class RoundTicket:
    """A network after a round.

    Attributes
    ----------
    outcome : RoundOutcome
        How it does.
    state : dict of str to ndarray
        Parameters and buffers, as in `Module.state_dict`; pruned weights are zero.
    pruned : Pruned
        Masks and schedules.
    scores : dict of str to ndarray of float32
        Last non-zero magnitude of every weight.
    rates : mapping of str to ndarray of float32 [timesteps, input channels]
        Spikes per input, for layers whose input is spikes.
    ranking : dict of str to ndarray of float32
        What the next round ranks weights by; `scores` themselves unless the run has
        another score.
    """

    outcome: RoundOutcome
    state: Arrays
    pruned: Pruned
    scores: Scores
    rates: Mapping[str, npt.NDArray[np.float32]]
    ranking: Scores


def save_ticket(
    path: Path, ticket: RoundTicket, config: LotteryConfig, about: Mapping[str, Any]
) -> None:
    """Write a ticket, whole or not at all.

    Parameters
    ----------
    path : Path
        A .safetensors file.
    ticket : RoundTicket
        What to write.
    config : LotteryConfig
        The run that it belongs to.
    about : mapping
        What else the metadata say: ``layers``, ``input_shape``, ``spike_rates``, ….
    """
    arrays: Arrays = dict(ticket.state)
    for name, mask in ticket.pruned.masks.items():
        schedule = ticket.pruned.schedules[name]
        arrays[f"{name}.mask"] = mask
        arrays[f"{name}.score"] = ticket.ranking[name]
        if ticket.ranking[name] is not ticket.scores[name]:
            arrays[f"{name}.magnitude"] = ticket.scores[name]
        arrays[f"{name}.{ORDER_ROLES[schedule.axis]}"] = schedule.order
        if not np.array_equal(ticket.pruned.carried[name], mask):
            arrays[f"{name}.carried"] = ticket.pruned.carried[name]
        if name in ticket.rates:
            arrays[f"{name}.rates"] = ticket.rates[name]
    outcome = ticket.outcome
    metadata = {
        "format": "ticket",
        "version": __version__,
        "dataset": config.dataset,
        "method": config.method,
        "score": config.score,
        "seed": config.seed,
        "round": outcome.round,
        "sparsity": outcome.sparsity,
        "accuracy": outcome.accuracy,
        "timesteps": outcome.timesteps,
        **about,
        "outcome": outcome.to_dict(),
        "config": config.model_dump(mode="json", exclude=set(NOT_IN_DIGEST)),
    }
    with replacing(path) as (file,):
        save_arrays(file, arrays, metadata | checksums(arrays, metadata))


def load_outcome(path: Path) -> RoundOutcome:
    """Read the outcome of a ticket alone; its arrays stay on the disk.

    Raises
    ------
    TicketError
        A file that is missing, damaged, or no ticket of a lottery run.
    """
    about = open_arrays(path).metadata()
    if "outcome" not in about:
        raise TicketError("no ticket of a lottery run", about=path)
    _refuse(path, damage_of_metadata(about))
    with malformed(TicketError, "its outcome is none of a lottery run", about=path):
        return RoundOutcome.of(about["outcome"])


def load_ticket(path: Path) -> RoundTicket:
    """Read what `save_ticket` wrote; raises as `load_outcome` does."""
    outcome = load_outcome(path)
    file = open_arrays(path)
    arrays = {key: file.read(key) for key in file.shapes()}
    _refuse(path, damage_of_arrays(arrays, file.metadata()))
    with malformed(TicketError, "lacks arrays of its layers", about=path):
        return _ticket(outcome, arrays)


def _ticket(outcome: RoundOutcome, arrays: Arrays) -> RoundTicket:
    """Tell the masks and scores among the arrays of a file from the state."""
    names = [layer.name for layer in outcome.layers]
    parts: dict[str, Arrays] = {}
    for role in ("mask", "score", "magnitude", "carried", "rates", *ORDER_ROLES):
        found = {name: arrays.pop(f"{name}.{role}", None) for name in names}
        parts[role] = {
            name: array for name, array in found.items() if array is not None
        }
    masks = parts["mask"]
    schedules = {
        name: Schedule(axis, order)
        for axis, role in enumerate(ORDER_ROLES)
        for name, order in parts[role].items()
    }
    return RoundTicket(
        outcome,
        arrays,
        Pruned(
            masks, masks | parts["carried"], {name: schedules[name] for name in names}
        ),
        parts["score"] | parts["magnitude"],
        parts["rates"],
        parts["score"],
    )


def _refuse(path: Path, damage: str | None) -> None:
    if damage is not None:
        raise TicketError(
            f"{damage}; copy the file anew, or begin its run again with --restart",
            about=path,
        )


def state_of(network: nn.Module) -> Arrays:
    """Copy parameters and buffers of a network; bf16, which NumPy lacks, as float32."""
    state = {}
    for name, tensor in network.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        if plain.dtype is torch.bfloat16:
            plain = plain.float()
        state[name] = plain.numpy().copy()
    return state


def load_state(network: nn.Module, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Put parameters and buffers into a network.

    Raises
    ------
    TicketError
        Names or shapes that are not those of the network.
    """
    put_state(network, {k: torch.from_numpy(v.copy()) for k, v in state.items()})


def put_state(network: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put tensors into a network; raises as `load_state` does."""
    try:
        network.load_state_dict(state)
    except (RuntimeError, *MALFORMED) as error:
        said = " ".join(str(error).split())
        raise TicketError(f"weights of another network: {said}") from error
