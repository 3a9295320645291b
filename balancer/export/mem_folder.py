"""A layer of streams as a folder of ``.mem`` files: every PE has a memory of its own.

``pe3.mem`` holds the words of PE 3, group after group, and ``pe3.pointers.mem`` where
those of each group begin, and where the last ones end.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import TicketError
from balancer.export.mem_words import (
    bits_of_word,
    read_words,
    word_of_bits,
    write_words,
)
from balancer.export.stored_layer import StoredLayer
from balancer.export.value_format import FLOAT_BITS, ValueFormat


def folder_name(layer: str, taken: Collection[str]) -> str:
    """Make the name of a layer one that every file system takes, and a new one."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", layer).strip(".") or "layer"
    name, number = plain, 2
    while name.lower() in {one.lower() for one in taken}:
        name, number = f"{plain}-{number}", number + 1
    return name


def write_layer(folder: Path, stored: StoredLayer) -> dict[str, Any]:
    """Write the memories of a layer.

    Parameters
    ----------
    folder : Path
        It is made.
    stored : StoredLayer
        The layer.

    Returns
    -------
    dict
        What explains the layer, with the fields of a word, [highest bit, lowest bit].
    """
    folder.mkdir()
    about, arrays = stored.about, stored.arrays
    form, index = ValueFormat.from_json(about["values"]), about["index"]
    words = form.to_bits(arrays["values"])
    fields = {"value": [form.bits - 1, 0]}
    if index["kind"] != "bitmap":
        words |= arrays["index"] << form.bits
        fields["index"] = [form.bits + index["bits"] - 1, form.bits]
    bits = max(high for high, _ in fields.values()) + 1
    layout = ", ".join(f"{name}[{high}:{low}]" for name, (high, low) in fields.items())
    _write_memories(folder, "", words, bits, arrays["pointers"], about["pes"], layout)
    if index["kind"] == "bitmap":
        _write_bitmaps(folder, arrays["index"], stored.cells().pointers, about["pes"])
    if "cells" in arrays:
        cells, pointers = arrays["cells"], arrays["cell_pointers"]
        bits = int(cells.max(initial=0)).bit_length()
        layout = "index in the layer of the weight at each position"
        _write_memories(folder, ".cells", cells, bits, pointers, about["pes"], layout)
    for role in about["schedules"]:
        order = arrays[role]
        bits = int(order.max(initial=0)).bit_length()
        layout = "schedule position -> channel"
        write_words(folder / f"{role}.mem", order.tolist(), bits, layout)
    if "bias" in arrays:
        held = arrays["bias"].view(np.uint32).tolist()
        write_words(folder / "bias.mem", held, FLOAT_BITS, "float32 of each channel")
    return {**about, "folder": folder.name, "word": fields}


def read_layer(folder: Path, about: dict[str, Any]) -> StoredLayer:
    """Read what `write_layer` wrote.

    Parameters
    ----------
    folder : Path
        The folder of the layer.
    about : dict
        What `write_layer` returned.

    Raises
    ------
    TicketError
        A file that is missing or damaged.
    """
    form, pes = ValueFormat.from_json(about["values"]), about["pes"]
    words, pointers = _read_memories(folder, "", pes)
    arrays: dict[str, AnyArray] = {
        "values": form.from_bits(words & ((1 << form.bits) - 1)),
        "index": words >> form.bits,
        "pointers": pointers,
    }
    if "cells" in about["tables"]:
        arrays["cells"], arrays["cell_pointers"] = _read_memories(folder, ".cells", pes)
    stored = StoredLayer(arrays, about)
    if about["index"]["kind"] == "bitmap":
        arrays["index"] = _read_bitmaps(folder, stored.cells().pointers, pes)
    for role in about["schedules"]:
        arrays[role] = np.array(read_words(folder / f"{role}.mem"), np.int64)
    if "bias" in about["tables"]:
        held = np.array(read_words(folder / "bias.mem"), np.uint32)
        arrays["bias"] = held.view(np.float32)
    return stored


def _of_pes(pointers: IntArray, pes: int) -> list[IntArray]:
    """Pointers of each PE, with the one that ends its last stream."""
    groups = (len(pointers) - 1) // pes
    return [pointers[pe * groups :][: groups + 1] for pe in range(pes)]


def _write_memories(
    folder: Path,
    name: str,
    words: IntArray,
    bits: int,
    pointers: IntArray,
    pes: int,
    layout: str,
) -> None:
    for pe, mine in enumerate(_of_pes(pointers, pes)):
        held = words[mine[0] : mine[-1]].tolist()
        write_words(folder / f"pe{pe}{name}.mem", held, bits, f"PE {pe}: {layout}")
        starts = (mine - mine[0]).tolist()
        wide = int(starts[-1]).bit_length()
        layout_of_pointers = f"PE {pe}: first word of each group, and the end"
        write_words(
            folder / f"pe{pe}{name}.pointers.mem", starts, wide, layout_of_pointers
        )


def _read_memories(folder: Path, name: str, pes: int) -> tuple[IntArray, IntArray]:
    words: list[int] = []
    pointers = [0]
    for pe in range(pes):
        mine = read_words(folder / f"pe{pe}{name}.mem")
        starts = read_words(folder / f"pe{pe}{name}.pointers.mem")
        if not starts or starts[-1] != len(mine):
            raise TicketError(
                f"its pointers do not end with its {len(mine)} words; export it anew",
                about=folder / f"pe{pe}{name}.mem",
            )
        pointers += [len(words) + start for start in starts[1:]]
        words += mine
    return np.array(words, np.int64), np.array(pointers, np.int64)


def _write_bitmaps(
    folder: Path, bitmap: BoolArray, pointers: IntArray, pes: int
) -> None:
    bits = int(np.diff(pointers).max(initial=1))
    for pe, mine in enumerate(_of_pes(pointers, pes)):
        held = [word_of_bits(bitmap[a:b]) for a, b in pairwise(mine)]
        layout = f"PE {pe}: a word for each group, bit i the weight at position i"
        write_words(folder / f"pe{pe}.bitmap.mem", held, bits, layout)


def _read_bitmaps(folder: Path, pointers: IntArray, pes: int) -> AnyArray:
    parts: list[AnyArray] = [np.empty(0, np.uint8)]
    for pe, mine in enumerate(_of_pes(pointers, pes)):
        path = folder / f"pe{pe}.bitmap.mem"
        held, sizes = read_words(path), np.diff(mine).tolist()
        if len(held) != len(sizes):
            raise TicketError(
                f"it has {len(held)} words for {len(sizes)} groups; export it anew",
                about=path,
            )
        parts += map(bits_of_word, held, sizes)
    return np.concatenate(parts).astype(np.bool_)
