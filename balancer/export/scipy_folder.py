"""The layers of a ticket as files of SciPy's sparse matrices."""

from __future__ import annotations

import os

from balancer.errors import naming
from balancer.export.export_source import ExportSource, TicketLike
from balancer.export.mem_folder import folder_name
from balancer.export.sparse_matrices import SparseLayer, sparse_layer
from balancer.files.folders import describe, replacing_folder

FORMAT = "scipy"


def export_scipy(
    folder: str | os.PathLike[str],
    ticket: TicketLike | ExportSource,
    masks: TicketLike | None = None,
    *,
    pe_map: str | None = None,
    pes: int | None = None,
) -> dict[str, SparseLayer]:
    """Write layers, and what each PE holds of them, for `scipy.sparse.load_npz`.

    Parameters
    ----------
    folder : str or path
        It gets ``NAME.npz`` of each layer and ``NAME.pe3.npz`` of each of its PEs; it
        may be one of an earlier export.
    ticket, masks, pe_map, pes
        As `export_streams` takes them.

    Returns
    -------
    dict of str to SparseLayer
        The matrices, by layer.

    Raises
    ------
    ExportError
        A layer without weights.
    TicketError
        A file that cannot be read or written.

    Examples
    --------
    >>> from balancer import export_scipy, shipped_ticket
    >>> layers = export_scipy("matrices", shipped_ticket())
    >>> layers["features.3"].whole.shape, layers["features.3"].pes[0].nnz
    ((64, 288), 6)
    """
    from scipy import sparse  # takes a while to load

    source = ticket
    if not isinstance(source, ExportSource):
        source = ExportSource.of(source, masks, pe_map=pe_map, pes=pes)
    layers, names = {}, dict[str, str]()
    with replacing_folder(folder, source.paths) as written:
        for layer in source.layers:
            with naming(f"layer {layer.name}"):
                made = sparse_layer(
                    layer.weights, layer.mask, source.map_of(layer), layer.schedules
                )
            name = folder_name(layer.name, names.values())
            layers[layer.name], names[layer.name] = made, name
            sparse.save_npz(written / f"{name}.npz", made.whole)
            for pe, matrix in enumerate(made.pes):
                sparse.save_npz(written / f"{name}.pe{pe}.npz", matrix)
        describe(
            written,
            FORMAT,
            source=source.name,
            map=source.pe_map,
            layers=[
                {"name": layer, "matrix": f"{name}.npz", "pes": len(layers[layer].pes)}
                for layer, name in names.items()
            ],
        )
    return layers
