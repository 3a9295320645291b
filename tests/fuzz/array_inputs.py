"""Hostile .safetensors, .npz and sharded files."""

from __future__ import annotations

import io
import json
import math
import struct
import warnings
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from . import grammar as g

ROLES = (
    *(".weight", ".mask", ".score", ".order", ".input_order", ".rates", ".carried"),
    *(".weight_orig", ".weight_mask", "", ".bias", ".kernel", ".running_mean"),
    *(".weight_g", ".magnitude", ".in_proj_weight", ".bits", ".shape"),
)
SAFE_KINDS = {
    **{"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I8": 1, "U8": 1, "BOOL": 1},
    **{"I64": 8, "I32": 4, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1},
    **{"C64": 8, "F4": 1, "F6_E2M3": 1, "X": 1, "": 1},
}
NUMPY_KINDS = (
    *(
        "<f4",
        "<f8",
        "<f2",
        "|b1",
        "<i8",
        "|u1",
        "|i1",
        ">f4",
        "<i4",
        "<u8",
        "<c8",
        "<f16",
    ),
    *("|V4", "|V1", "|S5", "<U3", "|O", "<M8[s]", "<m8", "V0", "xx", "<f3", "|S0"),
)
SHAPES: tuple[Any, ...] = (
    *([8, 4, 3, 3], [10, 32], [8, 8], [4, 4], [10, 32], [8, 4, 3], [4], [], [1, 1]),
    *([0, 8], [2**40, 0], [10**6, 10**6], [10**30, 8], [8.0, 8], [-1, 8], [2] * 40),
    *([8, 4, 3, 3, 3], [64], [2**32, 2**32], [1] * 70, [2**62, 2], "x", 3, None),
)


def layer_names(rng: Random) -> list[str]:
    """Draw names of one to three layers."""
    names = ["a", "b", "features.0"]
    return [g.text(rng) if g.chance(rng, 0.1) else names[i] for i in range(3)][
        : rng.randint(1, 3)
    ]


def arrays(rng: Random) -> dict[str, tuple[list[int], bytes]]:
    """Draw arrays of layers that mostly fit each other: shape and float32 bytes."""
    found = {}
    shapes = rng.choice(
        [[[8, 4, 3, 3], [10, 32]], [[8, 8], [4, 8]], [[8, 8, 3], [4, 8]]]
    )
    for name, shape in zip(layer_names(rng), [*shapes, [4, 4]], strict=False):
        numbers = np.random.default_rng(rng.getrandbits(32)).standard_normal(shape)
        if g.chance(rng, 0.05):
            numbers[:] = rng.choice([0, 1, 1e38, 1e-45, math.nan])
        found[f"{name}.weight"] = (shape, numbers.astype("<f4").tobytes())
        for role in rng.sample(ROLES[1:], rng.choice([0, 0, 1, 2])):
            of_role = shape
            if g.chance(rng, 0.15):
                of_role = rng.choice([[shape[0]], [shape[1]], [4, shape[1]], [64]])
            data = np.ones(of_role, "<f4").tobytes()
            found[f"{name}{role}"] = (of_role, data)
    return found


def shape_pairs(found: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Name layers and shapes, for metadata that fit them."""
    return [
        (key.removesuffix(".weight"), tuple(shape))
        for key, (shape, _) in found.items()
        if key.endswith(".weight")
    ]


def metadata_text(rng: Random, found: dict[str, Any]) -> str:
    """Write metadata as JSON, too deep or no JSON at all now and then."""
    if g.chance(rng, 0.05):
        return g.nested(rng, rng.choice(["[", '{"a":']), "]")
    if g.chance(rng, 0.05):
        return g.text(rng)
    made = g.metadata(rng, shape_pairs(found))
    if g.chance(rng, 0.1):
        made = {"ticket": made}
    return json.dumps(made)


def safetensors(
    rng: Random, given: dict[str, tuple[Any, bytes]] | None = None
) -> bytes:
    """Write a .safetensors file that is wrong in its header, its data, or nowhere."""
    found: dict[str, Any] = arrays(rng) if given is None else given
    header: Any = {}
    data = b""
    wrong = g.chance(rng, 0.25)
    for key, (shape, numbers) in found.items():
        kind: str = "F32"
        if g.chance(rng, 0.3 if given is None else 0.1):
            kind = rng.choice([*SAFE_KINDS])
            if g.chance(rng, 0.8):
                count = math.prod(shape) * SAFE_KINDS[kind]
                numbers = (numbers * 4)[:count]
        claimed: Any = shape
        if wrong and g.chance(rng, 0.3):
            claimed = rng.choice(SHAPES)
        offsets: Any = [len(data), len(data) + len(numbers)]
        if wrong and g.chance(rng, 0.2):
            offsets = g.mutated(rng, offsets)
        header[key] = {"dtype": kind, "shape": claimed, "data_offsets": offsets}
        data += numbers
    if g.chance(rng, 0.7):
        text: Any = metadata_text(rng, found)
        header["__metadata__"] = {"ticket": text} if g.chance(rng, 0.9) else text
    if g.chance(rng, 0.05):
        header = g.value(rng)
    written = json.dumps(header).encode("utf-8", "replace")
    if g.chance(rng, 0.02):
        written = g.nested(rng, "[").encode()
    length = len(written)
    if g.chance(rng, 0.05):
        length = rng.choice([0, 1, 2**31, 2**63, length + 1, length * 2, 100_000_001])
    whole = struct.pack("<Q", length % 2**64) + written + data
    return g.maybe_damaged(rng, whole, 0.1)


def npy(rng: Random, shape: Any, kind: str, data: bytes) -> bytes:
    """Write one .npy array, its header wrong now and then."""
    header: Any = {"descr": kind, "fortran_order": g.chance(rng, 0.1), "shape": shape}
    if isinstance(shape, list):
        header["shape"] = tuple(shape)
    if g.chance(rng, 0.03):
        header = rng.choice([None, [], {"descr": [("a", "<f4")]}, {**header, "x": 1}])
    text = repr(header)
    if g.chance(rng, 0.04):
        text = rng.choice(
            ["(((((", "{" * 99, "[" * 9000, "", "1", "{'a'", "\x00", "lambda"]
        )
    version = rng.choice([(1, 0)] * 24 + [(2, 0), (3, 0), (9, 9)])
    raw = text.encode()
    raw += b" " * (-(len(raw) + 11) % 64) + b"\n"
    size = "<H" if version == (1, 0) else "<I"
    length = min(len(raw), 2**16 - 1)
    return b"\x93NUMPY" + bytes(version) + struct.pack(size, length) + raw + data


def npz(rng: Random, given: dict[str, tuple[Any, bytes]] | None = None) -> bytes:
    """Write an .npz file that is wrong in its members, its headers, or nowhere."""
    found: dict[str, Any] = arrays(rng) if given is None else given
    wrong = g.chance(rng, 0.25)
    packed = io.BytesIO()
    warnings.filterwarnings("ignore", "Duplicate name")  # which is the point
    method = rng.choice(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED] * 12
        + [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    )
    with zipfile.ZipFile(packed, "w", method) as archive:
        for key, (shape, numbers) in found.items():
            kind, claimed = "<f4", shape
            if wrong and g.chance(rng, 0.3):
                kind = rng.choice(NUMPY_KINDS)
            if wrong and g.chance(rng, 0.25):
                claimed = rng.choice(SHAPES)
            if wrong and g.chance(rng, 0.1):
                numbers = numbers[: rng.randint(0, len(numbers))]
            name = key.replace("\x00", "") + (".npy" if g.chance(rng, 0.97) else "x")
            archive.writestr(
                name.encode("utf-8", "replace").decode()[:60_000],
                npy(rng, claimed, kind, numbers),
            )
        if g.chance(rng, 0.6) and given is None:
            text = metadata_text(rng, found)
            outer = json.dumps({"ticket": text}) if g.chance(rng, 0.9) else text
            raw = outer.encode("utf-32-le", "replace")
            kind = f"<U{len(raw) // 4}" if g.chance(rng, 0.9) else "<f4"
            archive.writestr("__metadata__.npy", npy(rng, (), kind, raw))
        if g.chance(rng, 0.02):
            archive.writestr(rng.choice(["../x.npy", "/x.npy", "a/", ".npy"]), b"")
    whole = bytearray(packed.getvalue())
    if g.chance(rng, 0.1):
        _mark(rng, whole)
    return g.maybe_damaged(rng, bytes(whole), 0.1)


def _mark(rng: Random, whole: bytearray) -> None:
    """Say in the zip's directory what is not so: encryption, a method, sizes."""
    directory = whole.find(b"PK\1\2")
    kind = rng.randint(0, 3)
    if kind == 0:
        whole[6] |= 1
        whole[directory + 8] |= 1
    elif kind == 1:
        method = rng.choice([98, 1, 9, 12, 14, 93, 255])
        whole[8] = whole[directory + 10] = method
    else:
        at = directory + rng.choice([16, 20, 24, 28, 30, 32, 34, 42])
        whole[at : at + 4] = struct.pack("<I", rng.choice([0, 2**31, 2**32 - 1, 99]))


def spikes(rng: Random) -> bytes:
    """Write a file of spikes: packed bits with shapes, plain arrays, or a mixture."""
    found: dict[str, tuple[Any, bytes]] = {}
    for name in layer_names(rng)[:2]:
        shape = {"a": [1, 2, 4, 2, 2], "b": [4, 2, 32]}.get(name, [2, 3])
        if g.chance(rng, 0.1):
            shape = g.mutated(rng, shape)
        sizes: list[Any] = shape if isinstance(shape, list) else [shape]
        whole = all(type(size) is int for size in sizes)  # a text times 10^9 is long
        count = math.prod(sizes) if whole else 9
        bits = rng.randbytes(-(-_small(count) // 8))
        if g.chance(rng, 0.5):
            found[f"{name}.bits"] = ([len(bits)], bits)
            sizes = [s if type(s) is int and abs(s) < 2**63 else 7 for s in sizes]
            stored = np.array(sizes, np.int64)
            if g.chance(rng, 0.9):
                found[f"{name}.shape"] = ([len(sizes)], stored.tobytes())
        else:
            ones = np.ones(_small(count), "<f4").tobytes()
            found[name] = (shape, ones)
    return _npz_of_kinds(rng, found)


def _small(count: Any) -> int:
    """Make a number of anything, for how much is written."""
    small = isinstance(count, (int, float)) and 0 <= count <= 4096
    return int(count) if small else 9


def _npz_of_kinds(rng: Random, found: dict[str, tuple[Any, bytes]]) -> bytes:
    packed = io.BytesIO()
    warnings.filterwarnings("ignore", "Duplicate name")
    with zipfile.ZipFile(packed, "w") as archive:
        for key, (shape, data) in found.items():
            kind = "<f4"
            if key.endswith(".bits"):
                kind = "|u1"
            elif key.endswith(".shape") or key.startswith("y_"):
                kind = "<i8"
            if g.chance(rng, 0.1):
                kind = rng.choice(NUMPY_KINDS)
            name = key.replace("\x00", "").encode("utf-8", "replace").decode()[:60_000]
            archive.writestr(f"{name}.npy", npy(rng, shape, kind, data))
    return g.maybe_damaged(rng, packed.getvalue(), 0.1)


def write_scores(rng: Random, folder: Path) -> Path:
    """Write scores of the layers of `seeds.good`, in either format; most are good."""
    found: dict[str, tuple[Any, bytes]] = {}
    for name, shape in (("a", [8, 4, 3, 3]), ("b", [10, 32])):
        numbers = np.random.default_rng(rng.getrandbits(32)).random(shape)
        if g.chance(rng, 0.2):
            worst = rng.choice([math.nan, math.inf, -1, 1e300, 1e-320, -0.0])
            numbers.flat[rng.randrange(numbers.size)] = worst
        if g.chance(rng, 0.1):
            numbers[...] = rng.choice([0, 1, 1e38, 1e-45])
        if g.chance(rng, 0.1):
            shape = rng.choice([shape[::-1], [numbers.size], [1, *shape], [8, 8]])
        key = rng.choice([f"{name}.score", name, f"{name}.weight", g.text(rng)])
        if g.chance(rng, 0.8):
            key = rng.choice([f"{name}.score", name])
        with np.errstate(over="ignore"):
            found[key] = (shape, numbers.astype("<f4").tobytes())
    if g.chance(rng, 0.2):
        found[g.text(rng)] = ([4], bytes(16))
    suffix, made = rng.choice([(".npz", npz), (".safetensors", safetensors)])
    path = folder / f"scores{suffix}"
    path.write_bytes(made(rng, found))
    return path


def images(rng: Random) -> bytes:
    """Write an .npz of images and labels."""
    found: dict[str, tuple[Any, bytes]] = {}
    for key in ("x_train", "y_train", "x_test", "y_test"):
        if g.chance(rng, 0.95):
            shape: Any = [6, 4, 4] if key.startswith("x") else [6]
            if g.chance(rng, 0.05):
                shape = rng.choice(SHAPES)
            labels = [0, 1, 2, 0, 1, 2]
            if g.chance(rng, 0.1):
                labels[0] = rng.choice([-1, 7, 10**6, 10**12, 2**63 - 1, -(2**63)])
            data = np.array(labels).tobytes() if key[0] == "y" else bytes(384)
            found[key] = (shape, data)
    return _npz_of_kinds(rng, found)


def sharded(rng: Random, folder: Path) -> Path:
    """Write an index and its shards into a folder."""
    index: Any = {"metadata": {"total_size": 5}, "weight_map": {}}
    for shard in ("m-1.safetensors", "m-2.safetensors"):
        data = safetensors(rng)
        if g.chance(rng, 0.95):
            (folder / shard).write_bytes(data)
        try:
            length = int.from_bytes(data[:8], "little")
            keys = [
                k for k in [*json.loads(data[8 : 8 + length])] if k != "__metadata__"
            ]
        except (ValueError, TypeError, RecursionError):
            keys = ["a.weight"]
        index["weight_map"] |= dict.fromkeys(map(str, keys), shard)
    if g.chance(rng, 0.5):
        index = g.mutated(rng, index)
    path = folder / "m.safetensors.index.json"
    text = json.dumps(index) if g.chance(rng, 0.95) else g.nested(rng, "[")
    path.write_bytes(g.maybe_damaged(rng, text.encode("utf-8", "replace"), 0.2))
    return path
