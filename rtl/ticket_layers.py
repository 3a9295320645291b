"""The layers of any ticket by themselves, with recorded or drawn spikes; NumPy only.

Weights are those of the ticket, normalization is not folded in and nothing is added:
cycles do not depend on either. `rtl.ticket_network` makes the network that classifies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from balancer import ExportSource
from balancer.array_types import AnyArray
from balancer.errors import naming
from hwmodel import LayerWorkload, network_workloads
from hwmodel.sections import Barrier
from rtl.array_job import ArrayJob
from rtl.errors import RtlError
from rtl.layer import quantize_layer


class TicketJobs(NamedTuple):
    """Jobs of a ticket's layers, and what there is no job for.

    Attributes
    ----------
    jobs : dict of str to list of ArrayJob
        Of each layer, one for each sample.
    notes : list of str
        What is left out or assumed, a sentence each.
    """

    jobs: dict[str, list[ArrayJob]]
    notes: list[str]


def jobs_of_ticket(
    ticket: Path,
    masks: Path | None = None,
    *,
    pes: int,
    barrier: Barrier,
    names: Collection[str] | None = None,
    spikes: Mapping[str, AnyArray] | None = None,
) -> TicketJobs:
    """Make the jobs of a ticket's layers.

    Parameters
    ----------
    ticket : Path
        Has the weights, the sizes of the layers, and rates if no spikes are given.
    masks : Path, optional
        Masks and orders that the command ``balance`` wrote; default: its own.
    pes : int
        PEs of the array.
    barrier : str
        Of the array.
    names : collection of str, optional
        Of the layers; default: all.
    spikes : mapping of str to ndarray, optional
        Recorded input spikes of layers (`hwmodel.load_spikes`). Default: drawn by the
        ticket's rates with the seed 0.

    Raises
    ------
    RtlError
        No such layer, one that the array does not run, or none with spikes.
    BalancerError
        A file that cannot be read, or spikes that do not fit.
    """
    source = ExportSource.of(ticket, masks, pes=pes)
    layers = {layer.name: layer for layer in source.layers}
    for name in names or ():
        if name not in layers:
            raise RtlError(f"no layer {name!r}; accepted: {', '.join(layers)}")
    with naming(ticket):
        workloads, assumption = network_workloads(
            {name: layer.mask for name, layer in layers.items()},
            source.about,
            spikes=spikes,
        )
    notes = [f"{assumption}."] if assumption else []
    jobs: dict[str, list[ArrayJob]] = {}
    silent = []
    for workload in workloads:
        if names and workload.name not in names:
            continue
        given = None if workload.direct_coded else _spikes_of(workload)
        if given is None:
            silent.append(workload.name)
            continue
        layer = layers[workload.name]
        quantized = quantize_layer(
            workload, layer.weights, pes, schedules=layer.schedules
        )
        jobs[workload.name] = [
            ArrayJob(quantized, given[:, sample], barrier, len(given))
            for sample in range(given.shape[1])
        ]
    if silent:
        notes.append(
            f"left out, since no spikes are known or their input is analog: "
            f"{', '.join(silent)} (--images runs them)."
        )
    if not jobs:
        raise RtlError("no layer has spikes: give --spikes, or a ticket with rates")
    if spikes is None:
        notes.append("Spikes are drawn by the rates of the layers, with the seed 0.")
    return TicketJobs(jobs, notes)


def _spikes_of(workload: LayerWorkload) -> AnyArray | None:
    """Take recorded or drawn spikes, [timesteps, samples, channels, height, width]."""
    if workload.spikes is None:
        return replace(workload, rate_mode="sample").real_spikes()
    return workload.spikes
