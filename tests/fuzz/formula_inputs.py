"""Hostile PE maps in formulas: most are maps, of whatever shape."""

from __future__ import annotations

from random import Random
from typing import Any

from . import grammar as g
from . import seeds
from .text_inputs import yaml_text

NAMES = (
    *("out", "in", "row", "col", "position", "copy", "copies"),
    *("outs", "ins", "rows", "cols", "positions", "pes"),
)
OPERATORS = ("+", "*", "//", "%", "-", "//", "%", "&", "|", "^", "<<", ">>", "**", "/")


def formula(rng: Random, depth: int = 3) -> str:
    """Draw a formula over the axes of a weight."""
    if not depth or g.chance(rng, 0.3):
        names = NAMES if g.chance(rng, 0.3) else NAMES[:5]
        return rng.choice(names) if g.chance(rng, 0.7) else str(rng.randint(0, 9))
    operator = rng.choice(OPERATORS if g.chance(rng, 0.2) else OPERATORS[:4])
    right = formula(rng, depth - 1)
    if operator in ("//", "%") and g.chance(rng, 0.8):  # mostly by no zero
        right = str(rng.randint(1, 9))
    return f"({formula(rng, depth - 1)}) {operator} ({right})"


def pe_map(rng: Random) -> bytes:
    """Write a map whose formulas are drawn, known or wrong."""
    known: dict[str, Any] = dict(rng.choice(seeds.MAPS))
    for part in known:
        if g.chance(rng, 0.4):
            known[part] = _part(rng, part)
    if g.chance(rng, 0.3):
        return yaml_text(rng, known)
    text = "".join(f"{part}: {one}\n" for part, one in known.items())
    return g.maybe_damaged(rng, text.encode("utf-8", "replace"), 0.05)


def _part(rng: Random, part: str) -> Any:
    if part in ("pes", "copies"):
        return rng.choice([1, 2, 3, 4, 16, g.number(rng)])
    if g.chance(rng, 0.15):
        return rng.choice(seeds.FORMULAS)
    drawn = formula(rng)
    if part == "pe":
        return f"({drawn}) % pes"
    return f"({drawn}) // {rng.randint(1, 9)}" if g.chance(rng, 0.5) else drawn
