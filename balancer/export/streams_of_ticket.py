"""The streams of a whole ticket."""

from __future__ import annotations

import os

from balancer.errors import naming
from balancer.export.export_source import ExportSource, TicketLike
from balancer.export.layer_streams import LayerStreams, layer_streams
from balancer.export.stream_files import write_streams

# What the description passes on of a ticket: how its layers run.
TOLD = ("timesteps", "preprocessing", "architecture", "input_shape", "layers")


def export_streams(
    path: str | os.PathLike[str],
    ticket: TicketLike | ExportSource,
    masks: TicketLike | None = None,
    *,
    pe_map: str | None = None,
    pes: int | None = None,
    bits: int | None = None,
    index: str = "positions",
) -> dict[str, LayerStreams]:
    """Write what each PE reads of a ticket's layers, for each group of PEs.

    Parameters
    ----------
    path : str or path
        A name that ends in .npz, or a folder, which gets ``.mem`` files for $readmemh.
    ticket : Ticket, str, path or ExportSource
        Has the weights.
    masks : Ticket, str or path, optional
        Masks and orders that the command ``balance`` wrote; default: the ticket's own.
    pe_map : str, optional
        Text of the PE map; default: what the masks are for, or ``output_channel``.
    pes : int, optional
        PEs of the array; default in the same way, or 16.
    bits : int, optional
        Of integer values with a scale for each layer, 2 to 16; default: float32.
    index : str
        ``positions``, ``runs`` or ``bitmap``, see `write_streams`.

    Returns
    -------
    dict of str to LayerStreams
        The streams, by layer; `read_streams` reads the same from the files.

    Raises
    ------
    ExportError
        A layer without weights, bits or an index that are not accepted.
    TicketError
        A file that cannot be read or written.

    Examples
    --------
    >>> from balancer import export_streams, shipped_ticket
    >>> streams = export_streams("streams", shipped_ticket(), bits=8)
    >>> streams["features.7"]
    LayerStreams(170 of 64x64x3x3 weights, output_channel, 16 PEs x 4 groups, integer:8)
    """
    source = ticket
    if not isinstance(source, ExportSource):
        source = ExportSource.of(source, masks, pe_map=pe_map, pes=pes)
    layers = {}
    for layer in source.layers:
        with naming(f"layer {layer.name}"):
            layers[layer.name] = layer_streams(
                layer.weights,
                layer.mask,
                source.map_of(layer),
                bits=bits,
                schedules=layer.schedules,
                bias=layer.bias,
            )
    told = {name: source.about.get(name) for name in TOLD}
    about = {"source": source.name, "ticket": {k: v for k, v in told.items() if v}}
    write_streams(path, layers, index=index, about=about, inputs=source.paths)
    return layers
