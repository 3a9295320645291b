"""The formats of the command `export`, and which options each of them takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hwmodel.commands.contract import UsageError, usage_errors
from hwmodel.commands.ticket_options import open_as_asked
from snn.commands.torch_needed import require_torch

if TYPE_CHECKING:
    from balancer import ExportSource
    from hwmodel import LayerWorkload
    from snn import MaskedNetwork
    from snn.export.torch_checkpoint import Form

Rows = list[dict[str, Any]]


class Exported(NamedTuple):
    """What an export has written.

    Attributes
    ----------
    layers : list of dict
        What is to be said of each layer.
    notes : list of str
        What the export might hide, a sentence each.
    """

    layers: Rows
    notes: list[str]


class Format(NamedTuple):
    """One format.

    Attributes
    ----------
    help : str
        What it is, in a line.
    write : callable
        Writes to a folder, given the options.
    options : tuple of str
        Options that only some formats take, and this does.
    """

    help: str
    write: Callable[[argparse.Namespace, Path], Exported]
    options: tuple[str, ...] = ()


def source_of(args: argparse.Namespace) -> ExportSource:
    """Read weights, masks and orders as the options ask."""
    from balancer import ExportSource, shipped_ticket
    from balancer.errors import naming

    path = args.ticket or shipped_ticket()
    with naming(path):
        ticket = open_as_asked(path, args)
        with usage_errors():
            ticket = ticket.select(args.layers, args.skip)
        masks = None if args.masks is None else open_as_asked(args.masks, args)
        source = ExportSource.of(ticket, masks, pe_map=args.map, pes=args.pes)
        if not args.fold:
            return source
        network = _network(args)
        from snn import fold_normalization

        folded = fold_normalization(network)
        return source.with_weights(
            {n: (one.weight, one.bias) for n, one in folded.items()}
        )


def _network(args: argparse.Namespace) -> MaskedNetwork:
    require_torch("this export")
    from balancer import ExportError, TicketError, shipped_ticket
    from snn import MaskedNetwork

    try:
        return MaskedNetwork.of(args.ticket or shipped_ticket(), args.masks)
    except TicketError as error:
        raise ExportError(
            f"{error}; accepted are tickets of the command lottery, whose network is "
            "known; snn.MaskedNetwork takes a network of your own in Python"
        ) from error


def _of_layers(source: ExportSource) -> Rows:
    return [
        {
            "name": layer.name,
            "shape": list(layer.mask.shape),
            "nonzeros": int(layer.mask.sum()),
        }
        for layer in source.layers
    ]


def _streams(args: argparse.Namespace, out: Path) -> Exported:
    from balancer import export_streams

    source = source_of(args)
    layers = export_streams(
        out, source, bits=args.bits, index=args.index or "positions"
    )
    rows = _of_layers(source)
    for row in rows:
        streams = layers[row["name"]]
        lengths = streams.lengths
        row |= {
            "map": streams.pe_map,
            "pes": streams.pes,
            "groups": streams.groups,
            "longest": int(lengths.max(initial=0)),
            "slowest": int(lengths.max(axis=1, initial=0).sum()),
            "bits": streams.values.bits,
            "scale": streams.values.scale,
        }
    return Exported(rows, list(source.notes))


def _scipy(args: argparse.Namespace, out: Path) -> Exported:
    from balancer import export_scipy

    source = source_of(args)
    layers = export_scipy(out, source)
    rows = _of_layers(source)
    for row in rows:
        row |= {"map": source.pe_map, "pes": len(layers[row["name"]].pes)}
    return Exported(rows, list(source.notes))


def _workloads(
    args: argparse.Namespace, source: ExportSource
) -> tuple[list[LayerWorkload], list[str]]:
    """Place the layers in their network, in the order in which PEs take channels."""
    from hwmodel import load_spikes, network_workloads

    spikes = None if args.spikes is None else load_spikes(args.spikes)
    workloads, assumption = network_workloads(
        {layer.name: layer.mask for layer in source.layers},
        source.about,
        schedules={layer.name: layer.schedules for layer in source.layers},
        timesteps=args.timesteps,
        spikes=spikes,
        spike_rate=args.spike_rate,
        direct_coded=not args.spiking_input,
    )
    notes = [*source.notes] + [f"{assumption}."] * bool(assumption)
    return workloads, notes


def _sparseloop(args: argparse.Namespace, out: Path) -> Exported:
    from hwmodel import export_sparseloop

    source = source_of(args)
    workloads, notes = _workloads(args, source)
    paths = export_sparseloop(out, workloads, inputs=source.paths)
    rows = _of_layers(source)
    for row in rows:
        if row["name"] in paths:
            row["problem"] = paths[row["name"]].name
    return Exported(rows, notes)


def _sanafe(args: argparse.Namespace, out: Path) -> Exported:
    from balancer.files.folders import description_of
    from hwmodel import export_sanafe, run_sanafe

    source = source_of(args)
    workloads, notes = _workloads(args, source)
    analog = [one.name for one in workloads if one.direct_coded]
    if analog:
        notes.append(
            f"left out, since their input is analog: {', '.join(analog)} "
            "(--spiking-input takes it for spikes)."
        )
    if any(one.spike_rate is not None for one in workloads):
        notes.append("Spikes are drawn by the rates of the layers, with the seed 0.")
    spiking = [
        one if one.spikes is not None else replace(one, rate_mode="sample")
        for one in workloads
        if not one.direct_coded
    ]
    export_sanafe(out, spiking, source.pe_map, source.pes, inputs=source.paths)
    rows: Rows = [
        {name: entry[name] for name in ("name", "map", "pes", "timesteps", "cycles")}
        for entry in description_of(out)["layers"]
    ]
    if args.run:
        found = run_sanafe(out)
        for row in rows:
            row["sanafe"] = found[row["name"]]
    return Exported(rows, notes)


def _of_network(network: MaskedNetwork) -> Rows:
    return [
        {"name": name, "shape": list(mask.shape), "nonzeros": int(mask.sum())}
        for name, mask in network.masks.items()
    ]


def _torch(args: argparse.Namespace, out: Path) -> Exported:
    require_torch("this export")
    from balancer import shipped_ticket
    from balancer.files.folders import describe, replacing_folder
    from snn import export_state_dict, export_torch

    form: Form = "prune" if args.prune_keys else "dense"
    with replacing_folder(out, _inputs(args)) as written:
        file = written / "network.pt"
        if args.permute:
            network = _network(args)
            kept = export_torch(file, network, form=form, permute=True)
            rows, notes = _of_network(network), []
            for name, why in kept.items():
                notes.append(f"{name} keeps an order beside its weights: {why}.")
        else:
            ticket = open_as_asked(args.ticket or shipped_ticket(), args)
            source = export_state_dict(file, ticket, args.masks, form=form)
            rows, notes = _of_layers(source), list(source.notes)
        describe(written, "torch", form=form, permuted=args.permute, layers=rows)
    return Exported(rows, notes)


def _nir(args: argparse.Namespace, out: Path) -> Exported:
    network = _network(args)
    from balancer.files.folders import describe, replacing_folder
    from snn import export_nir

    with replacing_folder(out, _inputs(args)) as written:
        export_nir(written / "network.nir", network)
        rows = _of_network(network)
        describe(written, "nir", layers=rows)
    return Exported(rows, [])


def _inputs(args: argparse.Namespace) -> list[Path]:
    return [path for path in (args.ticket, args.masks) if path is not None]


_ARRAY = ("map", "pes", "layers", "skip", "fold", "axes")
_PLACES = (*_ARRAY[2:], "input_shape", "geometry")
FORMATS = {
    "streams": Format(
        "what each PE reads for each group: .mem files for $readmemh, or one .npz file",
        _streams,
        (*_ARRAY, "bits", "index"),
    ),
    "torch": Format(
        "a checkpoint with zeros, or with the keys of torch.nn.utils.prune",
        _torch,
        ("prune_keys", "permute", "axes"),
    ),
    "nir": Format("a graph of NIR 1.0, with normalization folded in", _nir),
    "sanafe": Format(
        "a network and an architecture of SANA-FE for each layer, a core for each PE",
        _sanafe,
        (
            *("map", "pes", "run", "spikes", "spike_rate", "timesteps"),
            *("spiking_input", *_PLACES),
        ),
    ),
    "sparseloop": Format(
        "problems of Timeloop, with the masks as real-data densities",
        _sparseloop,
        _PLACES,
    ),
    "scipy": Format("sparse matrices of SciPy, whole and of each PE", _scipy, _ARRAY),
}
# What an option is where nobody has given it.
_LEFT_ALONE = (None, False)


def refuse_other_options(args: argparse.Namespace) -> None:
    """Refuse options that the format does not take.

    Raises
    ------
    UsageError
        The first of them, and the formats that take it.
    """
    known = {name for one in FORMATS.values() for name in one.options}
    for name in sorted(known.difference(FORMATS[args.format].options)):
        if getattr(args, name) not in _LEFT_ALONE:
            takes = [of for of, one in FORMATS.items() if name in one.options]
            raise UsageError(
                f"--{name.replace('_', '-')} is for {', '.join(takes)}, and not for "
                f"{args.format}"
            )
