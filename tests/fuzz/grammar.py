"""What hostile values look like: numbers, texts, JSON, metadata, damaged bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 4, 7, 16, 255, 2**20, 2**31, 2**32, 2**53, 2**63, 2**64),
    *(10**6, 10**9, 10**12, 10**30, -(2**63), -(10**9), 10**400),
    *(0.5, 1.5, -0.0, 1e-320, 1e300, -1e300, float("nan"), float("inf")),
    -float("inf"),
)
TEXTS = (
    *("", " ", "a", "a.weight", "a.mask", "0", "1e9", "nan", "\x00", "\x1b[31m", "\n"),
    *("[/x]", "[red]x", "../../x", "/etc/passwd", "%s%n", "{0}", "\ud800", "\u202e"),
    *("é", "x" * 70_000, "a.b.c", ".weight", "weight", "=", "{}", "null", "~"),
)
ARCHITECTURES = (
    *("8c3-fc10", "8c3", "fc10", "8c3-mp2", "8c3s2-ap2-fc10", "", "-", "8c3--fc10"),
    *("4611686018427387904c3-fc10", "8c999999", "mp0", "8c3-" * 3000, "fc10-8c3"),
)


def one_of(rng: Random, *makers: Callable[[Random], T]) -> T:
    """Draw from one of several."""
    return rng.choice(makers)(rng)


def chance(rng: Random, share: float) -> bool:
    """Draw whether to do something."""
    return rng.random() < share


def number(rng: Random) -> Any:
    """Draw a number that programs stumble over, or any."""
    if chance(rng, 0.3):
        return rng.randint(-9, 99)
    return rng.choice(NUMBERS)


def text(rng: Random) -> str:
    """Draw a text that programs stumble over."""
    if chance(rng, 0.1):
        return "".join(chr(rng.randint(0, 0x2FF)) for _ in range(rng.randint(0, 20)))
    return rng.choice(TEXTS)


def value(rng: Random, depth: int = 3) -> Any:
    """Draw anything that JSON, YAML or TOML can hold."""
    kind = rng.randint(0, 9)
    if kind < 4 or not depth:
        return number(rng)
    if kind < 6:
        return text(rng)
    if kind < 7:
        return rng.choice([None, True, False])
    if kind < 9:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {text(rng): value(rng, depth - 1) for _ in range(rng.randint(0, 3))}


def mutated(rng: Random, known: Any, times: int | None = None) -> Any:
    """Change a structure of lists and mappings in some places."""
    copy = json.loads(json.dumps(known))
    for _ in range(rng.choice([1, 1, 1, 2, 4]) if times is None else times):
        copy = _changed(rng, copy)
    return copy


def _changed(rng: Random, known: Any) -> Any:
    """Replace, drop, double or add one part, at any depth."""
    if isinstance(known, dict) and known and chance(rng, 0.9):
        key = rng.choice([*known])
        action = rng.randint(0, 9)
        if action == 0:
            return {k: v for k, v in known.items() if k != key}
        if action == 1:
            return known | {text(rng): value(rng)}
        if action == 2:
            return known | {key: known[rng.choice([*known])]}
        return known | {key: _changed(rng, known[key])}
    if isinstance(known, list) and known and chance(rng, 0.8):
        place = rng.randrange(len(known))
        action = rng.randint(0, 9)
        if action == 0:
            return known[:place] + known[place + 1 :]
        if action == 1:
            return [*known, value(rng)]
        return [*known[:place], _changed(rng, known[place]), *known[place + 1 :]]
    if isinstance(known, int) and not isinstance(known, bool) and chance(rng, 0.5):
        return known + rng.choice([-1, 1, 2, 1000])
    return value(rng)


def damaged(rng: Random, data: bytes) -> bytes:
    """Change bytes as disks, downloads and attackers do."""
    for _ in range(rng.choice([1, 1, 2, 8])):
        if not data:
            return bytes(rng.randrange(256) for _ in range(rng.randint(0, 9)))
        first = rng.randrange(len(data))
        last = min(len(data), first + rng.choice([1, 2, 4, 8, 60]))
        kind = rng.randint(0, 6)
        if kind == 0:
            data = data[:first]
        elif kind == 1:
            data = data[:first] + data[last:]
        elif kind == 2:
            data = data[:last] + data[first:last] + data[last:]
        elif kind == 3:
            flipped = data[first] ^ (1 << rng.randrange(8))
            data = data[:first] + bytes([flipped]) + data[first + 1 :]
        elif kind == 4:
            fill = rng.choice([0, 0xFF, 0x80, 0x7F, 0x20])
            data = data[:first] + bytes([fill]) * (last - first) + data[last:]
        elif kind == 5:
            size = rng.choice([2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1])
            width = rng.choice([4, 8])
            stored = (size % 2 ** (8 * width)).to_bytes(width, "little")
            data = data[:first] + stored + data[first + width :]
        else:
            junk = bytes(rng.randrange(256) for _ in range(last - first))
            data = data[:first] + junk + data[last:]
    return data


def maybe_damaged(rng: Random, data: bytes, share: float = 0.3) -> bytes:
    """Leave most files whole, so that what is in them is reached."""
    return damaged(rng, data) if chance(rng, share) else data


def nested(rng: Random, opening: str, closing: str = "") -> str:
    """Open brackets inside each other, too deep to follow."""
    deep = rng.choice([50, 300, 3000, 100_000])
    return opening * deep + closing * rng.choice([0, deep])


def metadata(rng: Random, shapes: Sequence[tuple[str, tuple[int, ...]]]) -> Any:
    """Draw what a ticket says of its network, wrong in some places."""
    layers = [
        {
            "name": name,
            "input_shape": [*shape[1:2], *(4 for _ in shape[2:])],
            "stride": 1,
            "padding": 1 if len(shape) > 2 else 0,
            "dilation": 1,
            "groups": 1,
            "analog": place == 0,
            "calls": 1,
        }
        for place, (name, shape) in enumerate(shapes)
    ]
    known = {
        "architecture": rng.choice(ARCHITECTURES),
        "input_shape": [4, 2, 2],
        "timesteps": 4,
        "spike_rates": {name: 0.2 for name, _ in shapes},
        "layers": layers,
        "axes": {name: "oihw"[: len(shape)] for name, shape in shapes},
        "score": "magnitude",
        "outcome": {"round": 1},
        "map": "output_channel",
        "pes": 4,
        "version": "0.1.0",
        "connections": {name: [] for name, _ in shapes},
    }
    kept = {k: v for k, v in known.items() if chance(rng, 0.6)}
    return mutated(rng, kept) if chance(rng, 0.85) else value(rng)
