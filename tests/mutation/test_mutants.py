"""The operators of mutation testing, and what they leave alone."""

import pytest
from mutation.mutants import mutants


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("x = a < b", ["x = a <= b", "x = a >= b"]),
        ("x = a is not None", ["x = a is None"]),
        ("x = (a) + (b)", ["x = (a) - (b)"]),
        ("x = -a", ["x = a"]),
        ("x = a and b and c", ["x = a and b or c", "x = a or b and c"]),
        (
            "x = 3, 0.5, True",
            ["x = 3, 0.5, False", "x = 3, 2.0, True", "x = 4, 0.5, True"],
        ),
        ("x = a.reshape(-1)", []),
        ("x = np.sort(a, axis=1)", ["x = np.sort(a, axis=0)"]),
        ("x = a == 'one'", ["x = a != 'one'", "x = a == 'not one'"]),
        ("x = a if b else c", ["x = a if (not (b)) else c"]),
        ("x = np.minimum(a, b)", ["x = np.maximum(a, b)"]),
        ("x = a.sum(axis=1)", ["x = a.sum()", "x = a.sum(axis=0)"]),
        ("x = f(first=a, last=b)", ["x = f(first=a)", "x = f(last=b)"]),
        ("x = a[:n]", ["x = a[:]"]),
        ("f(a)", ["pass"]),
        ("x += a", ["pass", "x -= a"]),
        ("x[i] = a", ["pass"]),
    ],
)
def test_a_mutant_changes_one_thing(source, changed):
    """Every operator gives the sources it promises, and no others."""
    assert sorted(mutant.mutated for mutant in mutants("m.py", source)) == changed


def test_leaving_out_keeps_the_program_whole():
    """Early returns, errors and second assignments go; first assignments stay."""
    source = (
        "def f(a):\n    if a:\n        return a\n    b = a\n    b = g(b)\n"
        "    raise Error('no ' + b)\n"
    )
    left_out = [m.line for m in mutants("m.py", source) if m.text == "pass"]
    assert left_out == [3, 5, 6]


@pytest.mark.parametrize(
    "source",
    [
        '"""Text."""',
        "import a.b as c",
        "x: Literal[3] | None",
        "assert a < 3",
        "logger.warning('lost %d', 3)",
        "x = f'{a + 1}'",
        "x = zip(a, b, strict=True)",
        "MOST = 2**20",
    ],
)
def test_what_no_test_should_notice_stays(source):
    """Texts, types, checks and constants that only tune have no mutants."""
    assert mutants("m.py", source, tuning={"MOST"}) == []


def test_what_is_computed_from_a_tuning_constant_only_tunes():
    """A product with one has no mutants; what is beside it has."""
    changed = mutants("m.py", "x = max(a, MOST // (2 * b))", tuning={"MOST"})
    assert [m.mutated for m in changed] == ["x = min(a, MOST // (2 * b))"]


def test_silenced_warnings_are_no_behaviour():
    """Which warnings are silenced has no mutants."""
    source = "with np.errstate(divide='ignore'):\n    x = a / b"
    assert [m.operator for m in mutants("m.py", source)] == ["arithmetic"]
