"""Layers for SANA-FE: networks of neurons on an architecture whose cores are the PEs.

SANA-FE (Boyle et al., 2025, 10.1109/TCAD.2025.3537971) places neurons on cores and
counts how long every core takes for the spikes that arrive in a time step. A core here
is a PE: it takes one cycle for every kept weight that meets a spike, and nothing for
all else, and a time step lasts as long as its slowest core. These are the cycles of an
array that skips weights and spikes (``dual``) and waits after every ``timestep``.

Groups of PEs that run one after another, and samples, are time steps one after another:
each has spike sources of its own, which are silent in the time of the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from balancer import PEMap
from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import ExportError, naming
from balancer.export.mem_folder import folder_name
from balancer.files.folders import describe, replacing_folder
from hwmodel.accelerator import Accelerator
from hwmodel.defaults import DEFAULT_ACCELERATOR
from hwmodel.evaluation import evaluate
from hwmodel.sections import PEArray
from hwmodel.workload import LayerWorkload

FORMAT = "sanafe"
ARCHITECTURE, NETWORK = "architecture.yaml", "network.yaml"
SOURCES_OF_CORE = 512  # units that make spikes, of one core
_NEVER = 1e30  # a threshold that no neuron reaches: what a layer sends costs others
_DIRECTIONS = ("north", "east", "south", "west")


def export_sanafe(
    folder: str | os.PathLike[str],
    workloads: Iterable[LayerWorkload],
    mapping: str = "output_channel",
    pes: int = 16,
    *,
    link_buffer: int = 1,
    inputs: Iterable[Path] = (),
) -> dict[str, Path]:
    """Write layers with their spikes as networks and architectures of SANA-FE.

    Parameters
    ----------
    folder : str or path
        It gets a folder with ``architecture.yaml`` and ``network.yaml`` of each layer;
        it may be one of an earlier export.
    workloads : iterable of LayerWorkload
        Layers in the order in which the PEs take their channels, with spikes.
    mapping : str
        Text of a PE map that leaves every output channel to one PE.
    pes : int
        PEs, a core each.
    link_buffer : int
        Messages that a link of the network on chip holds; the timing ``simple`` knows
        no links.
    inputs : iterable of Path
        Files that have been read and must not be lost.

    Returns
    -------
    dict of str to Path
        The folder of each layer. `run_sanafe` runs all of them, and the description of
        the export has the ``cycles`` that it is to count.

    Raises
    ------
    ExportError
        A map that shares an output channel out among PEs, a layer with an analog input
        or without spikes, or links that hold nothing.
    TicketError
        A place that cannot be written, or holds something else.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import LayerWorkload, export_sanafe
    >>> spikes = np.ones((2, 1, 4), np.uint8)
    >>> layer = LayerWorkload("fc", np.eye(3, 4, dtype=bool), spikes=spikes)
    >>> sorted(path.name for path in export_sanafe("cores", [layer])["fc"].iterdir())
    ['architecture.yaml', 'network.yaml']
    """
    if link_buffer < 1:
        raise ExportError(
            f"`link_buffer` is {link_buffer}; a link holds one message at least"
        )
    folder = Path(folder)
    entries: list[dict[str, Any]] = []
    with replacing_folder(folder, inputs) as written:
        for workload in workloads:
            with naming(f"layer {workload.name}"):
                pe_map = PEMap.parse(mapping, workload.mask.shape, pes)
                network = _Network.of(workload, pe_map)
            place = folder_name(workload.name, [entry["folder"] for entry in entries])
            (written / place).mkdir()
            for name, lines in (
                (ARCHITECTURE, _architecture(network, link_buffer)),
                (NETWORK, network.lines(workload.name)),
            ):
                text = "".join(f"{line}\n" for line in lines)
                (written / place / name).write_text(text, encoding="utf-8")
            entries.append(
                {
                    "name": workload.name,
                    "folder": place,
                    "map": mapping,
                    "pes": pe_map.pes,
                    "timesteps": network.timesteps,
                    "cycles": _cycles(workload, mapping, pes),
                }
            )
        describe(written, FORMAT, layers=entries)
    return {entry["name"]: folder / entry["folder"] for entry in entries}


class _Network(NamedTuple):
    """A layer as spike sources, neurons and synapses.

    Attributes
    ----------
    trains : ndarray of bool [sources, timesteps]
        When each source spikes.
    neurons : ndarray of int64 [pes]
        Neurons of each PE.
    synapses : ndarray of int64 [synapses, 3]
        Source, PE, and neuron of the PE.
    """

    trains: BoolArray
    neurons: IntArray
    synapses: IntArray

    @classmethod
    def of(cls, workload: LayerWorkload, pe_map: PEMap) -> _Network:
        spikes = _spikes(workload)
        group, pe = (
            label.reshape(workload.weight_shape).astype(np.int64)
            for label in pe_map.labels()
        )
        of_channel = pe.reshape(workload.outputs, -1)
        owner = of_channel[:, 0]
        if (of_channel != owner[:, None]).any():
            raise ExportError(
                f"the map {pe_map.name} shares an output channel out among PEs, and a "
                "neuron of SANA-FE has one core; accepted are maps of whole output "
                "channels, such as output_channel and interleaved"
            )
        kept = np.argwhere(workload.mask.reshape(workload.weight_shape))
        reads, pixels = _reads(workload, kept)
        weight, pixel = np.nonzero(reads >= 0)
        source = group[tuple(kept[weight].T)] * _inputs(workload) + reads[weight, pixel]
        # Sources that are silent, or that nobody reads, take no time: left out.
        ever = np.logical_or.reduce(spikes, axis=(0, 1))
        fires = ever[source % _inputs(workload)]
        used, source = np.unique(source[fires], return_inverse=True)
        output = kept[weight[fires], 0]
        place = np.zeros(workload.outputs, np.int64)  # of a channel among its PE's
        for one in range(pe_map.pes):
            mine = owner == one
            place[mine] = np.arange(mine.sum())
        neuron = place[output] * pixels + pixel[fires]
        steps, samples = spikes.shape[:2]
        trains = np.zeros((len(used), samples, pe_map.groups, steps), np.bool_)
        rows = np.arange(len(used))
        trains[rows, :, used // _inputs(workload)] = spikes[
            :, :, used % _inputs(workload)
        ].transpose(2, 1, 0)
        return cls(
            trains.reshape(len(used), samples * pe_map.groups * steps),
            np.bincount(owner, minlength=pe_map.pes) * pixels,
            np.stack([source, owner[output], neuron], axis=1),
        )

    @property
    def timesteps(self) -> int:
        """Time steps to run."""
        return int(self.trains.shape[1])

    @property
    def source_cores(self) -> int:
        """Cores that hold nothing but sources."""
        return -(-len(self.trains) // SOURCES_OF_CORE)

    def lines(self, name: str) -> Iterator[str]:
        """Write the network, and on which core everything is."""
        held = [pe for pe, neurons in enumerate(self.neurons.tolist()) if neurons]
        yield "network:"
        yield f"  name: {_quoted(name)}"
        yield "  groups:"
        for core in range(self.source_cores):
            yield f"    - name: in{core}"
            yield "      attributes: []"
            yield "      neurons:"
            for unit, train in enumerate(self._of_core(core)):
                yield f"        - {unit}: [spikes: [{','.join(map(str, train))}]]"
        for pe in held:
            yield f"    - name: pe{pe}"
            yield f"      attributes: [threshold: {_NEVER}]"
            yield "      neurons:"
            yield f"        - {_up_to(int(self.neurons[pe]))}: []"
        yield "  edges:" if len(self.synapses) else "  edges: []"
        for source, pe, neuron in self.synapses.tolist():
            core, unit = divmod(source, SOURCES_OF_CORE)
            yield f"    - in{core}.{unit} -> pe{pe}.{neuron}: [weight: 1]"
        yield "mappings:"
        for pe in held:
            yield f"  - pe{pe}: [core: {pe}.0]"
        for core in range(self.source_cores):
            tile = len(self.neurons) + core
            for unit in range(len(self._of_core(core))):
                yield f'  - in{core}.{unit}: [core: {tile}.0, soma: "source[{unit}]"]'

    def _of_core(self, core: int) -> Sequence[Sequence[int]]:
        mine = self.trains[core * SOURCES_OF_CORE :][:SOURCES_OF_CORE]
        trains: list[list[int]] = mine.astype(int).tolist()
        return trains


def _cycles(workload: LayerWorkload, mapping: str, pes: int) -> int:
    """Count the cycles of an array that does what the cores do."""
    array = PEArray(
        mapping=mapping,
        pes=pes,
        skip="dual",
        barrier="timestep",
        source="a core of SANA-FE for each PE",
    )
    known = Accelerator.load(DEFAULT_ACCELERATOR)  # its PEs wait for no memory
    report = evaluate([workload], known.model_copy(update={"array": array}))
    return int(report.cycles)


def _spikes(workload: LayerWorkload) -> AnyArray:
    """Read the spikes [time steps, samples, inputs] of a layer."""
    if workload.direct_coded:
        raise ExportError(
            "its input is analog, and SANA-FE counts spikes; leave it out (--skip), or "
            "say that its input spikes (--spiking-input)"
        )
    spikes = workload.real_spikes()
    if spikes is None:
        raise ExportError(
            "nothing is known of its spikes; give recorded ones (--spikes), or a rate "
            "to draw them by (--spike-rate)"
        )
    return spikes.reshape(*spikes.shape[:2], -1)


def _inputs(workload: LayerWorkload) -> int:
    return int(np.prod(workload.image))


def _reads(workload: LayerWorkload, kept: IntArray) -> tuple[IntArray, int]:
    """Input that each kept weight meets at each pixel, -1 for padding, and the pixels.

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    kept : ndarray of int64 [weights, 4]
        Output, input of its group, kernel row and column.
    """
    _, height, width = workload.image
    share = workload.outputs // workload.groups
    channel = kept[:, 0] // share * workload.weight_shape[1] + kept[:, 1]
    (down, right), (above, left) = workload.pairs("stride"), workload.pairs("padding")
    below, beside = workload.pairs("dilation")
    rows, columns = np.indices(workload.output_size).reshape(2, -1)
    y = rows * down + kept[:, 2:3] * below - above
    x = columns * right + kept[:, 3:4] * beside - left
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    reads = (channel[:, None] * height + y) * width + x
    return np.where(inside, reads, -1), len(rows)


def _architecture(network: _Network, link_buffer: int) -> Iterator[str]:
    """Describe tiles of one core each: the PEs, then the sources of spikes."""
    pes, source_cores = len(network.neurons), network.source_cores
    most = max(SOURCES_OF_CORE, int(network.neurons.max(initial=0)))
    neuron = _free("access_neuron", "update_neuron", "spike_out")
    kinds = [("pe", pes, {"model": "leaky_integrate_fire"}, "neuron")]
    kinds += [
        ("sources", source_cores, {"model": "input"}, f"source{_all(SOURCES_OF_CORE)}")
    ]
    tiles = []
    for name, count, model, soma in kinds:
        if not count:
            continue
        core = {
            "name": name,
            "attributes": {
                "buffer_position": "soma",
                "buffer_inside_unit": False,
                "max_neurons_supported": most,
            },
            "axon_in": _unit("axon_in", _free("message_in")),
            "synapse": _unit(
                "synapse",
                {
                    "model": "current_based",
                    **_free("process_spike"),
                    "latency_process_spike": 1.0,
                },
            ),
            "dendrite": _unit("dendrite", {"model": "accumulator", **_free("update")}),
            "soma": _unit(soma, {**model, **neuron}),
            "axon_out": _unit("axon_out", _free("message_out")),
        }
        hops = _free(*(f"{direction}_hop" for direction in _DIRECTIONS))
        tiles.append(
            {"name": f"{name}{_all(count)}", "attributes": hops, "core": [core]}
        )
    mesh = {
        "topology": "mesh",
        "width": pes + source_cores,
        "height": 1,
        "link_buffer_size": link_buffer,
        "sync_model": "fixed",
        "latency_sync": 0.0,
    }
    known = {"architecture": {"name": "pes", "attributes": mesh, "tile": tiles}}
    yield yaml.dump(known, Dumper=_WithoutAliases, sort_keys=False).rstrip("\n")


class _WithoutAliases(yaml.SafeDumper):
    """Repeats what is repeated: SANA-FE does not follow references."""

    def ignore_aliases(self, data: Any) -> bool:
        """Refer to nothing."""
        return True


def _free(*operations: str) -> dict[str, float]:
    """Operations that take neither time nor energy."""
    return {
        f"{kind}_{one}": 0.0 for one in operations for kind in ("energy", "latency")
    }


def _unit(name: str, attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "attributes": attributes}]


def _all(count: int) -> str:
    return f"[{_up_to(count)}]" if count > 1 else "[0..0]"


def _up_to(count: int) -> str:
    return f"0..{count - 1}" if count > 1 else "0"


def _quoted(name: str) -> str:
    text: str = yaml.safe_dump(name, default_style='"', width=10**6)
    return text.strip()
