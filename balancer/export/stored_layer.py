"""The streams of a layer as plain arrays, and the JSON that explains them.

Every file of streams holds these arrays, as they are or packed into words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from balancer.array_types import AnyArray, IntArray
from balancer.errors import TicketError
from balancer.export.index_code import (
    bitmap_of,
    check_index_kind,
    positions_of_bitmap,
    positions_of_runs,
    runs_of,
)
from balancer.export.layer_streams import CellTable, LayerStreams
from balancer.export.value_format import ValueFormat
from balancer.files.layer_roles import ORDER_ROLES
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule

# Arrays that not every layer has: cells of a map that no text tells, and a bias.
TABLES = ("cells", "bias")


@dataclass(frozen=True, slots=True, eq=False)
class StoredLayer:
    """One layer of a file of streams.

    Attributes
    ----------
    arrays : dict of str to ndarray
        ``values`` (int64, the codes), ``index`` (int64, positions or runs, one for each
        value; or bool, a bitmap with one entry for each weight of the cells) and
        ``pointers``; ``order`` and ``input_order`` where a schedule permutes channels;
        ``bias``; ``cells`` and ``cell_pointers`` of a map that no text tells.
    about : dict
        What explains them, as JSON holds it.
    """

    arrays: dict[str, AnyArray]
    about: dict[str, Any]

    @classmethod
    def of(cls, name: str, streams: LayerStreams, index: str) -> StoredLayer:
        """Encode the streams of a layer with an index of some kind."""
        check_index_kind(index)
        encoded: AnyArray = streams.positions
        # Positions are as wide as the largest cell needs, whatever is kept of it.
        cells = streams.cells
        most = int(cells.sizes.max(initial=1)) - 1
        if index == "runs":
            encoded = runs_of(streams)
            most = int(encoded.max(initial=0))
        elif index == "bitmap":
            encoded, most = bitmap_of(streams), 1
        arrays: dict[str, AnyArray] = {
            "values": streams.codes,
            "index": encoded,
            "pointers": streams.pointers,
        }
        for schedule in streams.schedules:
            arrays[ORDER_ROLES[schedule.axis]] = schedule.order
        if streams.bias is not None:
            arrays["bias"] = streams.bias
        if not streams.by_text:
            arrays["cells"] = cells.weights
            arrays["cell_pointers"] = cells.pointers
        about = {
            "name": name,
            "shape": list(streams.shape),
            "map": streams.pe_map,
            "pes": streams.pes,
            "groups": streams.groups,
            "nonzeros": len(streams.codes),
            "values": streams.values.to_json(),
            "index": {"kind": index, "bits": max(1, most.bit_length())},
            "schedules": [ORDER_ROLES[one.axis] for one in streams.schedules],
            "tables": [table for table in TABLES if table in arrays],
        }
        return cls(arrays, about)

    def streams(self) -> LayerStreams:
        """Decode them.

        Raises
        ------
        TicketError
            Arrays that contradict each other or what explains them.
        """
        about, arrays = self.about, self.arrays
        try:
            cells = self.cells()
            pointers = arrays["pointers"].astype(np.int64)
            streams = LayerStreams(
                shape=tuple(about["shape"]),
                pe_map=about["map"],
                pes=about["pes"],
                groups=about["groups"],
                table=cells if "cells" in arrays else None,
                values=ValueFormat.from_json(about["values"]),
                codes=arrays["values"].astype(np.int64),
                positions=self._positions(cells, pointers),
                pointers=pointers,
                schedules=tuple(
                    Schedule(ORDER_ROLES.index(role), arrays[role])
                    for role in about["schedules"]
                ),
                bias=arrays.get("bias"),
            )
        except TicketError:  # a `ValueError` that says it already
            raise
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._damaged(str(error)) from error
        self._check(streams, cells.sizes)
        return streams

    def cells(self) -> CellTable:
        """Return the weights that positions count."""
        if "cells" in self.arrays:
            tables = (self.arrays["cells"], self.arrays["cell_pointers"])
            return CellTable(*(table.astype(np.int64) for table in tables))
        about = self.about
        pe_map = PEMap.parse(about["map"], about["shape"], about["pes"])
        streams = len(self.arrays["pointers"]) - 1
        if streams != pe_map.pes * pe_map.groups:  # before they take any memory
            cells = pe_map.pes * pe_map.groups
            raise self._damaged(f"{streams} streams of {cells} cells")
        return CellTable.of(pe_map)

    def _positions(self, cells: CellTable, pointers: IntArray) -> IntArray:
        index, kind = self.arrays["index"], self.about["index"]["kind"]
        if kind == "bitmap":
            return positions_of_bitmap(index, cells)
        if kind == "runs":
            return positions_of_runs(index.astype(np.int64), pointers)
        check_index_kind(kind)
        return index.astype(np.int64)

    def _check(self, streams: LayerStreams, sizes: IntArray) -> None:
        """Refuse streams that hold what no layer has; sizes are those of the cells."""
        lengths = np.diff(streams.pointers)
        counts = {
            len(streams.codes),
            len(streams.positions),
            int(streams.pointers[-1]),
            int(self.about["nonzeros"]),
        }
        if len(sizes) != streams.pes * streams.groups or len(lengths) != len(sizes):
            raise self._damaged(f"{len(lengths)} streams of {len(sizes)} cells")
        if len(counts) > 1:
            raise self._damaged(f"{sorted(counts)} values, positions and pointers")
        if (lengths < 0).any() or (
            (streams.positions < 0) | (streams.positions >= np.repeat(sizes, lengths))
        ).any():
            raise self._damaged("a position outside of its cell")

    def _damaged(self, detail: str) -> TicketError:
        return TicketError(
            f"streams that do not fit each other ({detail}); export them anew",
            about=f"layer {self.about.get('name')}",
        )
