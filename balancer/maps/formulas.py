"""Formulas of whole numbers over the axes of a layer, as ``(out // 2 % 4) * 3 + row``.

A formula is parsed into Python's syntax tree, of which only arithmetic is accepted: no
call, attribute or name reaches anything else. It is evaluated on all weights at once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from balancer.array_types import AnyArray
from balancer.errors import BalancerError
from balancer.maps.layout import LayerShape

AXES = ("out", "in", "row", "col", "position")
SIZES = ("outs", "ins", "rows", "cols", "positions", "pes")
COPY = "copy"

# `in` is a word of the language that the parser reads.
IN = "in_"
MOST_LETTERS, MOST_NESTED, MOST_NUMBER = 500, 40, 2**62


def _part(item: AnyArray, items: AnyArray, parts: AnyArray) -> AnyArray:
    """Part of each item if all are cut as evenly as can be, the larger parts first."""
    size, longer = np.divmod(items, parts)
    behind = (item - longer) // np.maximum(size, 1)
    return np.where(item < longer * (size + 1), item // (size + 1), behind)


_OPERATORS: dict[type[ast.AST], tuple[str, Callable[..., AnyArray]]] = {
    ast.Add: ("+", np.add),
    ast.Sub: ("-", np.subtract),
    ast.Mult: ("*", np.multiply),
    ast.FloorDiv: ("//", np.floor_divide),
    ast.Mod: ("%", np.remainder),
    ast.USub: ("-", np.negative),
    ast.Lt: ("<", np.less),
    ast.LtE: ("<=", np.less_equal),
    ast.Gt: (">", np.greater),
    ast.GtE: (">=", np.greater_equal),
    ast.Eq: ("==", np.equal),
    ast.NotEq: ("!=", np.not_equal),
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., AnyArray]]] = {
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "part": (3, _part),
}
_GRAMMAR = (
    "whole numbers, + - * // % ( ), comparisons, `a if b else c`, min(a, b), "
    "max(a, b), part(item, items, parts)"
)


def axes_of(layer: LayerShape, pes: int) -> dict[str, AnyArray]:
    """Values of all names on the weights of a layer: arrays that broadcast.

    Parameters
    ----------
    layer : LayerShape
        The layer, whose weights are seen as [outputs, inputs, kernel positions].
    pes : int
        PEs of the array.

    Returns
    -------
    dict of str to ndarray of int64
        Axes of shape [outputs, 1, 1], [1, inputs, 1] or [1, 1, positions]; sizes of
        shape [1, 1, 1]. Kernels without rows have one, which is row 0.
    """
    cols = layer.shape[-1] if len(layer.shape) > 2 else 1
    position = np.arange(layer.positions)[None, None, :]
    sizes = {
        "outs": layer.outputs,
        "ins": layer.inputs,
        "rows": layer.positions // cols if cols else 0,
        "cols": cols,
        "positions": layer.positions,
        "pes": pes,
    }
    return {
        "out": np.arange(layer.outputs)[:, None, None],
        "in": np.arange(layer.inputs)[None, :, None],
        "row": position // max(1, cols),
        "col": position % max(1, cols),
        "position": position,
        **{name: np.full((1, 1, 1), size) for name, size in sizes.items()},
    }


@dataclass(frozen=True, slots=True)
class Formula:
    """One formula, parsed and checked.

    Parameters
    ----------
    name : str
        What it says, for errors: ``group``, ``pe``, …
    given : str or int
        The formula.
    names : tuple of str
        Names that it may use.

    Attributes
    ----------
    text : str
        The formula as it would be written without needless spaces and parentheses, so
        that formulas that differ in nothing else are equal.
    uses : frozenset of str
        Names that it does use.

    Raises
    ------
    BalancerError
        Anything but arithmetic on the names; the message lists what is accepted.

    Examples
    --------
    >>> from balancer.maps.formulas import Formula, axes_of
    >>> from balancer.maps.layout import LayerShape
    >>> formula = Formula("pe", "((out%4)) * 3+row")
    >>> formula.text
    'out % 4 * 3 + row'
    >>> formula.evaluate(axes_of(LayerShape.of((2, 1, 3, 1)), pes=12)).squeeze()
    array([[0, 1, 2],
           [3, 4, 5]])
    """

    name: str
    given: str | int = field(compare=False)
    names: tuple[str, ...] = (*AXES, *SIZES)
    text: str = field(init=False)
    uses: frozenset[str] = field(init=False, compare=False)
    _tree: ast.expr = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.given, bool) or not isinstance(self.given, (str, int)):
            self._refuse(f"{type(self.given).__name__} is no formula")
        text = str(self.given).strip()
        if not text:
            self._refuse("it is empty")
        if len(text) > MOST_LETTERS:
            self._refuse(f"longer than {MOST_LETTERS} letters")
        try:
            tree = ast.parse(re.sub(r"\bin\b", IN, text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self._refuse("no formula can be read")
        used: set[str] = set()
        self._check(tree, used, 0)
        shown = re.sub(rf"\b{IN}\b", "in", ast.unparse(tree))
        # A frozen dataclass sets what it derives through its base.
        object.__setattr__(self, "_tree", tree)
        object.__setattr__(self, "uses", frozenset(used))
        object.__setattr__(self, "text", shown)

    @property
    def names_an_axis(self) -> bool:
        """Whether it differs from weight to weight."""
        return not self.uses.isdisjoint((*AXES, COPY))

    def evaluate(self, values: Mapping[str, AnyArray]) -> AnyArray:
        """Evaluate it where its names have some values.

        Parameters
        ----------
        values : mapping of str to ndarray of int64
            Those of all names that it uses; they broadcast.

        Raises
        ------
        BalancerError
            A division by zero, or a number beyond 2**62.
        """
        return np.asarray(self._value(self._tree, values), dtype=np.int64)

    # ------------------------------------------------------------------------ parsing

    def _check(self, node: ast.AST, used: set[str], depth: int) -> None:
        """Refuse a tree that holds anything but arithmetic, and collect its names."""
        if depth > MOST_NESTED:
            self._refuse(f"nested deeper than {MOST_NESTED}")
        operators: list[ast.AST]
        match node:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                if value >= 2**31:
                    self._refuse(f"{value} is too large")
                return
            case ast.Name(id=name):
                name = "in" if name == IN else name
                if name not in self.names:
                    self._refuse(f"{name!r} is unknown")
                used.add(name)
                return
            case ast.BinOp(left=a, right=b, op=op):
                operators, parts = [op], [a, b]
            case ast.UnaryOp(operand=a, op=op):
                operators, parts = [op], [a]
            case ast.Compare(left=a, ops=[op], comparators=[b]):
                operators, parts = [op], [a, b]
            case ast.IfExp(test=a, body=b, orelse=c):
                operators, parts = [], [a, b, c]
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if (
                name in _FUNCTIONS and len(parts) == _FUNCTIONS[name][0]
            ):
                operators = []
            case _:
                self._refuse(f"{self._shown(node)} is not accepted")
        for operator in operators:
            if type(operator) not in _OPERATORS:
                hint = ", divide by //" if isinstance(operator, ast.Div) else ""
                self._refuse(f"{self._shown(node)} is not accepted{hint}")
        for part in parts:
            self._check(part, used, depth + 1)

    @staticmethod
    def _shown(node: ast.AST) -> str:
        return re.sub(rf"\b{IN}\b", "in", repr(ast.unparse(node)))

    def _refuse(self, why: str) -> NoReturn:
        known = ", ".join(name for name in self.names if name in (*AXES, COPY))
        sizes = ", ".join(name for name in self.names if name in SIZES)
        raise BalancerError(
            f"formula `{self.name}` {self.given!r}: {why}; accepted: {_GRAMMAR}; "
            f"axes {known or '(none)'}; sizes {sizes}"
        )

    # --------------------------------------------------------------------- evaluation

    def _value(self, node: ast.AST, values: Mapping[str, AnyArray]) -> Any:
        match node:
            case ast.Constant(value=value):
                return np.int64(value)  # type: ignore[arg-type]
            case ast.Name(id=name):
                return values["in" if name == IN else name]
            case ast.BinOp(left=a, op=op, right=b):
                return self._apply(op, self._value(a, values), self._value(b, values))
            case ast.Compare(left=a, ops=[op], comparators=[b]):
                found = self._apply(op, self._value(a, values), self._value(b, values))
                return found.astype(np.int64)
            case ast.UnaryOp(operand=a):
                return -self._value(a, values)
            case ast.IfExp(test=a, body=b, orelse=c):
                parts = [self._value(part, values) for part in (a, b, c)]
                return np.where(parts[0] != 0, parts[1], parts[2])
            case ast.Call(func=ast.Name(id=name), args=parts):
                given = [self._value(part, values) for part in parts]
                if name == "part" and np.min(given[2]) < 1:
                    self._refuse_value("cuts into less than 1 part")
                return _FUNCTIONS[name][1](*given)
        raise AssertionError(node)  # `_check` has refused all others

    def _apply(self, operator: ast.AST, a: AnyArray, b: AnyArray) -> AnyArray:
        if isinstance(operator, (ast.FloorDiv, ast.Mod)) and np.any(b == 0):
            self._refuse_value("divides by zero")
        if isinstance(operator, (ast.Add, ast.Sub, ast.Mult)):
            sides = [
                max(-int(np.min(x)), int(np.max(x))) if x.size else 0 for x in (a, b)
            ]
            both = sides[0] * sides[1] if isinstance(operator, ast.Mult) else sum(sides)
            if both > MOST_NUMBER:
                self._refuse_value("grows beyond 2**62")
        return _OPERATORS[type(operator)][1](a, b)

    def _refuse_value(self, why: str) -> NoReturn:
        raise BalancerError(f"formula `{self.name}` {self.text!r} {why}")
