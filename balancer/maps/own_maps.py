"""PE maps of your own, said in formulas: in a small YAML file, or as a text.

The text holds all of the map, so whatever names a map by its text (tickets, reports,
accelerators, lottery runs) holds it too, whether or not the file is still there; and
two files that say the same are the same map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from balancer.array_types import AnyArray, IntArray
from balancer.errors import BalancerError, naming
from balancer.maps.formulas import AXES, COPY, SIZES, Formula, axes_of
from balancer.maps.kinds import MapKind
from balancer.maps.labels import labelled
from balancer.maps.layout import LayerShape, Layout, whole_number
from balancer.text_files import read_text_file

FIELDS = ("group", "pe", "pes", "copies", "load")
NAMES = {
    "group": (*AXES, *SIZES),
    "pe": (*AXES, COPY, *SIZES),
    "copies": SIZES,
    "load": (*AXES, *SIZES),
}
ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class OwnMap:
    """A PE map in formulas over the axes of a layer.

    Parameters
    ----------
    group, pe : str or int
        Lock-step group and PE of a weight, as formulas (see `Formula`) of its output
        channel ``out``, input channel ``in``, kernel ``row`` and ``col`` (or
        ``position`` in the kernel), and of the sizes ``outs``, ``ins``, ``rows``,
        ``cols``, ``positions`` and ``pes``. All but the number 0 for `group` (the
        whole layer waits for its slowest PE) must name an axis.
    pes : int, optional
        PEs of the array; default: said beside the map, as by ``--pes``.
    copies : str or int, optional
        How many PEs of a group hold each weight, as a formula of the sizes. Then `pe`
        may also name ``copy``, the number of the copy; if it does not, the copies lie
        behind each other.
    load : str or int, optional
        What every PE of the group keeps, as n of an n:m pattern.

    Raises
    ------
    BalancerError
        Formulas that cannot be read, or that name no axis.

    Examples
    --------
    Output channels in pairs over the rows of a 3 x 4 array, kernel rows over columns:

    >>> from balancer.maps.own_maps import OwnMap
    >>> own = OwnMap("out // 8", "(out // 2 % 4) * 3 + row", pes=12)
    >>> own.text
    'pes=12; group=out // 8; pe=out // 2 % 4 * 3 + row'
    >>> OwnMap.parse(own.text) == own
    True
    """

    group: Formula
    pe: Formula
    pes: int | None
    copies: Formula | None
    load: Formula | None

    def __init__(
        self,
        group: str | int,
        pe: str | int,
        pes: int | None = None,
        copies: str | int | None = None,
        load: str | int | None = None,
    ) -> None:
        given = {"group": group, "pe": pe, "copies": copies, "load": load}
        for name, formula in given.items():
            left_out = formula is None and name in ("copies", "load")
            made = None if left_out else Formula(name, formula, NAMES[name])  # type: ignore[arg-type]
            # A frozen dataclass sets its fields through its base.
            object.__setattr__(self, name, made)
        for made in (self.group, self.pe):
            one_group = (made.name, made.text) == ("group", "0")
            if not made.names_an_axis and not one_group:
                zero = ", or is 0" if made.name == "group" else ""
                raise BalancerError(
                    f"formula `{made.name}` {made.text!r} names no axis, so all "
                    f"weights get the same; accepted: one that names "
                    f"{', '.join(AXES)}{zero}"
                )
        size = None if pes is None else whole_number("pes", pes)
        object.__setattr__(self, "pes", size)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> OwnMap:
        """Make a map of what a file says.

        Raises
        ------
        BalancerError
            Missing or unknown fields, or wrong ones.
        """
        unknown = [str(name) for name in fields if name not in FIELDS]
        if unknown or not {"group", "pe"} <= fields.keys():
            wrong = f"it has the field {unknown[0]!r}" if unknown else "it lacks one"
            raise BalancerError(
                f"a PE map in formulas needs `group` and `pe`, and may have "
                f"{', '.join(FIELDS[2:])}; {wrong}"
            )
        return cls(**fields)

    @classmethod
    def load_file(cls, path: str | Path) -> OwnMap:
        """Read a map from a YAML file; errors name it.

        Raises
        ------
        BalancerError
            A file that cannot be read, or holds no such map.
        """
        with naming(path):
            data = read_text_file(
                "YAML", Path(path), BalancerError, "a PE map is a YAML file"
            )
            if not isinstance(data, dict):
                raise BalancerError(
                    "a PE map needs lines as `group: out // 8` and `pe: out % 8`"
                )
            return cls.of(data)

    @classmethod
    def parse(cls, text: str) -> OwnMap:
        """Read a map from its text, ``group=out // 8; pe=out % 8``.

        Raises
        ------
        BalancerError
            A text that is no such map.
        """
        fields: dict[str, Any] = {}
        for part in text.split(";"):
            # What is compared stands behind the name, so the first sign is ours.
            name, _, formula = part.partition("=")
            name = name.strip()
            if name in fields:
                raise BalancerError(f"the PE map {text!r} says `{name}` twice")
            fields[name] = formula.strip()
        size = fields.get("pes")
        if size is not None and size.isdecimal():
            fields["pes"] = int(size)
        return cls.of(fields)

    @property
    def text(self) -> str:
        """All of the map as one line, which `parse` reads."""
        size = None if self.pes is None else f"pes={self.pes}"
        formulas = (self.copies, self.group, self.pe, self.load)
        said = (f"{one.name}={one.text}" for one in formulas if one is not None)
        return "; ".join([*filter(None, [size]), *said])

    def kind(self) -> MapKind:
        """State what is known of it as of any map that has a name."""
        if self.pes is None:
            cut = self._cut
        else:
            size = self.pes

            def cut(layer: LayerShape) -> Layout:  # type: ignore[misc]
                return self._cut(layer, size)

        return MapKind(
            self.text,
            "formulas of your own",
            cut,
            prescribes_loads=self.load is not None,
            pes=self.pes,
            finds_order=True,
        )

    # ----------------------------------------------------------------------- geometry

    def _cut(self, layer: LayerShape, pes: int) -> Layout:
        """Cut a layer into cells.

        Raises
        ------
        BalancerError
            Weights without a group or PE, copies that are no copies, or loads that
            differ in a group; a weight is named.
        """
        if not layer.weights:
            return Layout.of(pes, 0, [])
        values = axes_of(layer, pes)
        shape = (layer.outputs, layer.inputs, layer.positions)
        group = self._labels(self.group, values, layer, None)
        copies = self._number_of_copies(values, pes)
        named = COPY in self.pe.uses
        pe = []
        for copy in range(copies if named else 1):
            at = {**values, COPY: np.full((1, 1, 1), copy)}
            pe.append(self._labels(self.pe, at, layer, pes))
        if not named:
            span = int(pe[0].max()) + 1
            pe = [pe[0] + copy * span for copy in range(copies)]
            self._check_range(self.pe, pe[-1], layer, pes)
        layout = labelled(group, pe[0], pes, shape)[1]
        fixed = None
        if self.load is not None:
            fixed = self._loads(layout, values, layer)
        copy_pe = None
        if copies > 1:
            copy_pe = np.stack(
                [self._pe_of_cells(layout, one, shape) for one in pe]
            ).astype(np.int32)
            self._check_distinct(layout, copy_pe)
        return layout._replace(fixed_load=fixed, copy_pe=copy_pe)

    def _labels(
        self,
        formula: Formula,
        values: Mapping[str, AnyArray],
        layer: LayerShape,
        below: int | None,
    ) -> IntArray:
        found = formula.evaluate(values)
        self._check_range(formula, found, layer, below)
        return found

    def _check_range(
        self, formula: Formula, found: IntArray, layer: LayerShape, below: int | None
    ) -> None:
        """Refuse labels of weights that have no such group or PE."""
        wrong = found < 0 if below is None else (found < 0) | (found >= below)
        if not wrong.any():
            return
        at = tuple(int(place[0]) for place in np.nonzero(wrong))
        cols = layer.shape[-1] if len(layer.shape) > 2 else 1
        accepted = "groups count from 0" if below is None else f"PEs are 0..{below - 1}"
        raise BalancerError(
            f"formula `{formula.name}` {formula.text!r} is {int(found[at])} at (out "
            f"{at[0]}, in {at[1]}, row {at[2] // cols}, col {at[2] % cols}) of a layer "
            f"{'x'.join(map(str, layer.shape))}; {accepted}: change the formula"
            + ("" if below is None else " or `pes`")
        )

    def _number_of_copies(self, values: Mapping[str, AnyArray], pes: int) -> int:
        if self.copies is None:
            return 1
        number = int(self.copies.evaluate(values).max())
        if not 1 <= number <= pes:
            raise BalancerError(
                f"formula `copies` {self.copies.text!r} is {number}; 1 to {pes} PEs "
                "can hold a weight"
            )
        return number

    @staticmethod
    def _pe_of_cells(layout: Layout, pe: IntArray, shape: tuple[int, ...]) -> IntArray:
        """PE of each cell under other labels, -1 where they tear it apart, [cells]."""
        flat = np.ascontiguousarray(np.broadcast_to(pe, shape)).reshape(-1)
        found = []
        for matrix in layout.matrices:
            rows = matrix.read(flat)
            same = (rows == rows[:, :1]).all(axis=1)
            found.append(np.where(same, rows[:, 0], -1))
        return np.concatenate(found).astype(np.int64)

    def _check_distinct(self, layout: Layout, copy_pe: AnyArray) -> None:
        """Refuse copies that lie apart, or two weights' on one PE."""
        torn = (copy_pe < 0).any()
        group = np.broadcast_to(layout.cell_group.astype(np.int64), copy_pe.shape)
        places = (group * layout.pes + copy_pe).reshape(-1)
        if torn or len(np.unique(places)) < places.size:
            raise BalancerError(
                f"formula `pe` {self.pe.text!r}: PEs of one group hold either copies "
                "of the same weights or no weight in common; give every copy PEs of "
                "its own, as by `pe * copies + copy`"
            )

    def _loads(
        self, layout: Layout, values: Mapping[str, AnyArray], layer: LayerShape
    ) -> IntArray:
        assert self.load is not None  # the caller saw to it
        shape = (layer.outputs, layer.inputs, layer.positions)
        each = np.broadcast_to(self.load.evaluate(values), shape)
        flat = np.ascontiguousarray(each).reshape(-1)
        loads = np.full(layout.groups, -1, dtype=np.int64)
        first = 0
        for matrix in layout.matrices:
            rows = matrix.read(flat)
            group = layout.cell_group[first : first + matrix.n_cells]
            first += matrix.n_cells
            loads[group] = np.where(loads[group] < 0, rows[:, 0], loads[group])
            low, high = int(rows.min()), int(rows.max(axis=1).max())
            if low < 0 or high > matrix.width or (rows != loads[group][:, None]).any():
                raise BalancerError(
                    f"formula `load` {self.load.text!r} needs one number for each "
                    "group, from 0 to the weights of its smallest PE"
                )
        return loads


def own_map(spec: str) -> OwnMap | None:
    """Read a map in formulas from its text or file; None if a text names another map.

    Raises
    ------
    BalancerError
        Something that is meant as one, and is none.
    """
    if spec.strip().lower().endswith(ENDINGS):
        return OwnMap.load_file(spec.strip())
    return OwnMap.parse(spec) if "=" in spec else None
