"""Mutants of a module: small changes of its source that ought to break a test.

A mutant replaces one stretch of the source, so its difference is what a reviewer would
see. The operators:

=============  ========================================================================
`comparison`   ``<`` and ``<=``, ``>`` and ``>=`` (the boundary); ``<`` and ``>=``,
               ``==`` and ``!=``, ``is``, ``in`` (the opposite)
`arithmetic`   ``+ -``, ``* /``, ``//``, ``%``, ``**``, ``& |``, also in ``+=``; a sign,
               ``~`` or ``not`` is left out
`boolean`      ``and`` and ``or``
`constant`     a number plus 1 (a float twice itself plus 1), True and False, another
               text where texts are compared
`condition`    the opposite of a condition that is no comparison
`extremum`     ``min`` and ``max``, ``any`` and ``all``, ``zeros`` and ``ones``, …
`argument`     a keyword argument is left out
`bound`        one end of a slice is left out
`statement`    a call, an assignment to what exists, a raise, a return is left out
=============  ========================================================================

No mutants, because no test could or should notice: docstrings, annotations, imports,
decorators, assertions (they narrow types), texts of errors, the log, arguments that are
checks or types (``strict``, ``dtype``, ...), warnings that are silenced, constants that
only tune, and what is computed from one of them: a product of tuning constant and layer
size is tuned as much as the constant.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

OPPOSITE = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "is not": ("is",),
    "is": ("is not",),
    "not in": ("in",),
    "in": ("not in",),
}
COMPARED = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
EXTREMA = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
)
EXTREMUM = dict(EXTREMA) | {second: first for first, second in EXTREMA}
# Their default is the last axis, mostly the one that was given; another one is tried.
SORTS = {"argsort", "partition", "sort", "take_along_axis"}
# Checks, types, and `kind="stable"`: the default sort is stable for few entries too.
KEPT_ARGUMENTS = {"copy", "daemon", "dtype", "kind", "name", "strict"}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes
    ----------
    path : str
        The file, relative to the repository.
    source : str
        What it holds.
    line : int
        Line of the change, from 1.
    operator : str
        Kind of the change.
    start, stop : int
        Bytes of the source that are replaced.
    text : str
        What replaces them.
    """

    path: str
    source: str
    line: int
    operator: str
    start: int
    stop: int
    text: str

    @cached_property
    def mutated(self) -> str:
        """The changed source."""
        raw = self.source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.stop :]).decode()

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What tells this mutant from the others of the same source."""
        return self.path, self.start, self.stop, self.text

    def difference(self) -> str:
        """Removed and added lines."""
        lines = difflib.unified_diff(
            self.source.splitlines(), self.mutated.splitlines(), n=0, lineterm=""
        )
        return "\n".join(list(lines)[3:])


def mutants(path: str, source: str, tuning: Collection[str] = ()) -> list[Mutant]:
    """List the mutants of a file, in the order of the source.

    `tuning` names constants of the module that are left alone.
    """
    finder = _Finder(path, source, tuning)
    finder.visit(ast.parse(source))
    unique = {mutant.key: mutant for mutant in finder.found}
    valid = [mutant for mutant in unique.values() if _parses(mutant.mutated)]
    return sorted(valid, key=lambda mutant: (mutant.start, mutant.stop, mutant.text))


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


class _Finder(ast.NodeVisitor):
    """Walks a module and collects its mutants."""

    def __init__(self, path: str, source: str, tuning: Collection[str]) -> None:
        self.path, self.source, self.tuning = path, source, tuning
        self.raw = source.encode()
        self.found: list[Mutant] = []
        lengths = [len(line) for line in self.raw.splitlines(keepends=True)]
        self.line_start = [0]
        for length in lengths:
            self.line_start.append(self.line_start[-1] + length)
        self.function: ast.FunctionDef | None = None
        self.bound: set[str] = set()

    # ----------------------------------------------------------------------- helpers

    def _start(self, node: ast.AST) -> int:
        return self.line_start[node.lineno - 1] + node.col_offset

    def _stop(self, node: ast.AST) -> int:
        return self.line_start[node.end_lineno - 1] + node.end_col_offset

    def _add(self, operator: str, start: int, stop: int, text: str) -> None:
        line = self.raw.count(b"\n", 0, start) + 1
        self.found.append(
            Mutant(self.path, self.source, line, operator, start, stop, text)
        )

    def _replace(self, operator: str, node: ast.AST, text: str) -> None:
        self._add(operator, self._start(node), self._stop(node), text)

    def _swap_between(
        self, operator: str, left: ast.AST, right: ast.AST, old: str, new: str
    ) -> None:
        """Replace the operator that stands between two nodes."""
        start, stop = self._stop(left), self._start(right)
        gap = self.raw[start:stop].decode()
        if found := re.search(re.escape(old).replace(r"\ ", r"\s+"), gap):
            self._add(operator, start + found.start(), start + found.end(), new)

    # -------------------------------------------------------------------- statements

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer = self.function, self.bound
        arguments = node.args
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
        self.function, self.bound = node, {one.arg for one in every}
        self._visit_all(node.body)
        self.function, self.bound = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not any(ast.unparse(base) == "Protocol" for base in node.bases):
            self._visit_all(node.body)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _ignore(self, node: ast.AST) -> None:
        """Neither this nor what is in it has mutants."""

    visit_Import = visit_ImportFrom = visit_Assert = visit_JoinedStr = _ignore
    visit_Global = visit_Nonlocal = _ignore

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Call):
            if not isinstance(node.value, ast.Constant):
                self.generic_visit(node)
            return
        if ast.unparse(node.value.func).startswith(("logger.", "warnings.warn")):
            return
        self._replace("statement", node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace("statement", node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        last = self.function is not None and node is self.function.body[-1]
        if not last:
            self._replace("statement", node, "pass")
        elif node.value is not None and not isinstance(node.value, ast.Constant):
            self._replace("statement", node, "return None")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._replace("statement", node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace("statement", node, "pass")

    def visit_Assign(self, node: ast.Assign) -> None:
        names = {name.id for name in ast.walk(node) if _is_stored(name)}
        if self.function is None and names & set(self.tuning):
            return
        begins = self.function is not None and self.function.name == "__init__"
        changes = any(
            isinstance(target, ast.Subscript)
            or (isinstance(target, ast.Attribute) and not begins)
            or (isinstance(target, ast.Name) and target.id in self.bound)
            for target in node.targets
        )
        if changes:
            self._replace("statement", node, "pass")
        self.bound |= names
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.bound.add(node.target.id)
        if node.value is not None and ast.unparse(node.annotation) != "TypeAlias":
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace("statement", node, "pass")
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self._swap_between(
                "arithmetic", node.target, node.value, old + "=", new + "="
            )
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    # ------------------------------------------------------------------- expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        single = isinstance(test, ast.Compare) and len(test.ops) == 1
        negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        if single or negated or isinstance(test, ast.Constant):
            return  # these have their own mutants
        text = self.raw[self._start(test) : self._stop(test)].decode()
        self._replace("condition", test, f"(not ({text}))")

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for left, op, right in zip(sides, node.ops, node.comparators, strict=False):
            old = COMPARED[type(op)]
            for new in OPPOSITE[old]:
                self._swap_between("comparison", left, right, old, new)
        for side in sides:
            parts = side.elts if isinstance(side, (ast.Tuple, ast.Set)) else [side]
            for part in parts:
                self._change_text(part)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            self._change_text(key)
        self.generic_visit(node)

    def _change_text(self, node: ast.AST | None) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._replace("constant", node, repr(f"not {node.value}"))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._swap_between("boolean", left, right, old, new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        if names & set(self.tuning):
            return
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self._swap_between("arithmetic", node.left, node.right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        width = 3 if isinstance(node.op, ast.Not) else 1
        start = self._start(node)
        self._add("arithmetic", start, start + width, "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace("constant", node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace("constant", node, repr(node.value + 1))
        elif isinstance(node.value, float):
            self._replace("constant", node, repr(2 * node.value + 1))

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg in KEPT_ARGUMENTS:
            return
        # Another axis, not one that does not exist.
        if node.arg == "axis" and isinstance(node.value, ast.Constant):
            axis = node.value.value
            self._replace("constant", node.value, repr(axis - 1 if axis else 1))
        else:
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            if isinstance(part, ast.Slice):
                for end in (part.lower, part.upper):
                    if end is not None and not _is_number(end):
                        self._replace("bound", end, "")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else ""
        name = called.id if isinstance(called, ast.Name) else name
        if name == "errstate":
            return
        if name in EXTREMUM:
            stop = self._stop(called)
            self._add("extremum", stop - len(name.encode()), stop, EXTREMUM[name])
        if name == "reshape":  # any negative number means the same there
            node.args = [one for one in node.args if ast.unparse(one) != "-1"]
        # A class needs its fields: it would complain by itself.
        if not name[:1].isupper() and name != "cls":
            self._leave_out_keywords(node, name)
        self.generic_visit(node)

    def _leave_out_keywords(self, node: ast.Call, called: str) -> None:
        given = sorted([*node.args, *node.keywords], key=self._start)
        for number, argument in enumerate(given):
            if not isinstance(argument, ast.keyword) or argument.arg is None:
                continue
            if argument.arg in KEPT_ARGUMENTS:
                continue
            if argument.arg == "axis" and called in SORTS:
                continue
            if number:
                start, stop = self._stop(given[number - 1]), self._stop(argument)
            elif len(given) > 1:
                start, stop = self._start(argument), self._start(given[1])
            else:
                start, stop = self._start(argument), self._stop(node) - 1
            self._add("argument", start, stop, "")


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _is_number(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant)
