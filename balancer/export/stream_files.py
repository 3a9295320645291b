"""Streams on disk: one .npz file, or a folder of ``.mem`` files for $readmemh.

"Streams of the PEs" in ``docs/export.md`` explains both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from balancer.array_types import AnyArray
from balancer.errors import TicketError, malformed, naming
from balancer.export.layer_streams import LayerStreams
from balancer.export.mem_folder import folder_name, read_layer, write_layer
from balancer.export.stored_layer import TABLES, StoredLayer
from balancer.export.value_format import ValueFormat
from balancer.files.array_files import open_arrays, save_arrays
from balancer.files.atomic import replacing
from balancer.files.folders import describe, description_of, replacing_folder
from balancer.files.layer_roles import ORDER_ROLES

FORMAT = "per-PE streams"
_ARRAYS = ("values", "index", "pointers", "cell_pointers", *TABLES, *ORDER_ROLES)


def write_streams(
    path: str | os.PathLike[str],
    layers: Mapping[str, LayerStreams],
    *,
    index: str = "positions",
    about: Mapping[str, Any] | None = None,
    inputs: Iterable[Path] = (),
) -> None:
    """Write the streams of some layers, whole or not at all.

    Parameters
    ----------
    path : str or path
        A name that ends in .npz, or a folder, which may be one of an earlier export.
    layers : mapping of str to LayerStreams
        Their streams, as `layer_streams` makes them.
    index : str
        How streams say which weights they hold: ``positions``, ``runs`` (zeros in front
        of each) or ``bitmap`` (a bit for every weight, zeros included).
    about : mapping, optional
        What else the description says, as JSON holds it.
    inputs : iterable of Path
        Files that have been read and must not be lost.

    Raises
    ------
    ExportError
        Another index.
    TicketError
        A place that cannot be written, or holds something else.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, layer_streams, read_streams, write_streams
    >>> weights = np.array([[0.5, 0, 0, 1], [0, 2, 0, 0]], np.float32)
    >>> pe_map = PEMap.input_channel((2, 4), pes=2)
    >>> streams = layer_streams(weights, weights != 0, pe_map)
    >>> write_streams("streams", {"fc": streams}, index="runs")
    >>> read_streams("streams")["fc"].weights()
    array([[0.5, 0. , 0. , 1. ],
           [0. , 2. , 0. , 0. ]], dtype=float32)
    """
    path = Path(path)
    stored = {
        name: StoredLayer.of(name, streams, index) for name, streams in layers.items()
    }
    if path.suffix == ".npz":
        _refuse_to_replace(path)
        arrays, entries = {}, []
        for name, layer in stored.items():
            entries.append(layer.about)
            for role, array in _compact(layer).items():
                arrays[f"{name}.{role}"] = array
        known = {**(about or {}), "format": FORMAT, "layers": entries}
        with replacing(path) as (file,):
            save_arrays(file, arrays, known)
        return
    with replacing_folder(path, inputs) as folder:
        entries = []
        for name, layer in stored.items():
            taken = [entry["folder"] for entry in entries]
            entries.append(write_layer(folder / folder_name(name, taken), layer))
        describe(folder, FORMAT, **(about or {}), layers=entries)


def read_streams(path: str | os.PathLike[str]) -> dict[str, LayerStreams]:
    """Read what `write_streams` wrote.

    Parameters
    ----------
    path : str or path
        The .npz file or the folder.

    Raises
    ------
    TicketError
        Something else, or a file that is damaged.

    Examples
    --------
    >>> from balancer import export_streams, read_streams, shipped_ticket
    >>> _ = export_streams("streams.npz", shipped_ticket())
    >>> streams = read_streams("streams.npz")["features.3"]
    >>> streams.lengths.sum(), streams.mask().shape
    (np.int64(130), (64, 32, 3, 3))
    """
    path = Path(path)
    damaged = malformed(TicketError, "its streams are damaged; export them anew")
    with naming(path), damaged:
        if path.is_dir():
            known = _of_streams(description_of(path))
            stored = [
                read_layer(path / Path(entry["folder"]).name, entry)
                for entry in known["layers"]
            ]
        else:
            file = open_arrays(path)
            known, shapes = _of_streams(file.metadata()), file.shapes()
            stored = []
            for entry in known["layers"]:
                keys = {role: f"{entry['name']}.{role}" for role in _ARRAYS}
                arrays = {r: file.read(key) for r, key in keys.items() if key in shapes}
                stored.append(_wide(StoredLayer(arrays, entry)))
        return {layer.about["name"]: layer.streams() for layer in stored}


def _refuse_to_replace(path: Path) -> None:
    """Refuse to write over anything but earlier streams."""
    if not path.exists():
        return
    try:
        _of_streams(open_arrays(path).metadata())
    except TicketError as error:
        raise TicketError(
            f"the export would go to {path}, which is there already and holds no "
            "streams; give another place (--out), or move it away"
        ) from error


def _of_streams(known: dict[str, Any]) -> dict[str, Any]:
    if known.get("format") != FORMAT:
        raise TicketError(f"holds no {FORMAT}; what `write_streams` wrote is needed")
    return known


def _compact(layer: StoredLayer) -> dict[str, AnyArray]:
    """Arrays of a layer in the least space: float32, narrow integers, packed bits."""
    arrays, form = dict(layer.arrays), ValueFormat.from_json(layer.about["values"])
    if form.scale is None:
        arrays["values"] = form.decode(arrays["values"])
    else:
        narrow = np.int8 if form.bits <= 8 else np.int16
        arrays["values"] = arrays["values"].astype(narrow)
    if arrays["index"].dtype == np.bool_:
        arrays["index"] = np.packbits(arrays["index"], bitorder="little")
    else:
        arrays["index"] = arrays["index"].astype(np.uint32)
    return arrays


def _wide(layer: StoredLayer) -> StoredLayer:
    """Undo `_compact`."""
    arrays, form = dict(layer.arrays), ValueFormat.from_json(layer.about["values"])
    if form.scale is None and "values" in arrays:
        arrays["values"] = form.encode(arrays["values"].astype(np.float32))
    if layer.about["index"]["kind"] == "bitmap" and "index" in arrays:
        count = int(layer.cells().pointers[-1])
        bits = np.unpackbits(arrays["index"], bitorder="little", count=count)
        arrays["index"] = bits.astype(np.bool_)
    return StoredLayer(arrays, layer.about)
