"""Every map of the package said by its user: in formulas, as labels, as a place."""

from balancer import PEMap
from balancer.maps.registry import find_kind

_LAST = "(in // {m} == ins // {m}) * (ins % {m} < {n}) * (ins >= {m})"
FORMULAS = {
    "output_channel": ("out // pes", "out % pes"),
    "input_channel": ("out", "part(in, ins, pes)"),
    "interleaved": ("0", "out % pes"),
    "banked": ("out", "part(in * positions + position, ins * positions, pes)"),
    "grid:{rows}x{cols}": (
        "out // {rows}",
        "out % {rows} * {cols} + part(in, ins, {cols})",
    ),
    "kernel:{channels}": ("out // {channels}", "position % pes"),
    # A last block that cannot carry n is a group of its own.
    "{n}:{m}": (
        f"out * positions + position + {_LAST} * outs * positions",
        f"0 if {_LAST} else in // {{m}}",
        "min({n}, ins - in // {m} * {m})",
    ),
}


def in_formulas(built_in: PEMap) -> str:
    """Text in formulas of a map of the package, with the PEs it has."""
    kind, numbers = find_kind(built_in.name)
    formulas = [text.format(**numbers) for text in FORMULAS[kind.spec]]
    named = zip(("group", "pe", "load"), formulas, strict=False)
    said = "; ".join(f"{name}={formula}" for name, formula in named)
    return f"pes={built_in.pes}; {said}"


def place_of(built_in: PEMap):
    """Its labels as a function of one weight."""
    group, pe = (
        labels.reshape(*built_in.shape[:2], -1) for labels in built_in.labels()
    )
    cols = built_in.shape[-1] if len(built_in.shape) > 2 else 1

    def place(o, i, r, c):
        return int(group[o, i, r * cols + c]), int(pe[o, i, r * cols + c])

    return place
