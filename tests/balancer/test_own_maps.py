"""Maps of one's own: formulas, places and copies mean what they say, or are refused."""

import numpy as np
import pytest
from cases import KINDS, pe_maps, scores, shapes
from hypothesis import given
from hypothesis import strategies as st
from own_maps import FORMULAS, in_formulas, place_of

from balancer import (
    BalanceRequest,
    BalancerError,
    LoadMetrics,
    PEMap,
    RetentionProblem,
    balance_network,
    solve,
    utilization,
)
from balancer.maps.layout import LayerShape
from balancer.maps.own_maps import OwnMap

PAIRS = {"group": "out // 8", "pe": "(out // 2 % 4) * 3 + row", "pes": 12}
SHAPE = (16, 8, 3, 3)

built_in_maps = pe_maps(60).filter(lambda pe_map: pe_map.name != "labels")


def test_every_map_of_the_package_is_said_in_formulas():
    """No kind of map is left out of the tests below."""
    assert {kind.spec for kind in KINDS} == FORMULAS.keys()


@given(built_in=built_in_maps, data=st.data())
def test_formulas_and_places_describe_every_map_of_the_package(built_in, data):
    """Labels, pattern and optimal mask are those of the built-in map."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.permutation(built_in.weights).reshape(built_in.shape) + 1.0
    budget = data.draw(st.integers(0, built_in.weights))
    options = {} if built_in.fixed_load is not None else {"budget": budget}
    expected = solve(RetentionProblem(values, built_in, **options))
    own = PEMap.parse(in_formulas(built_in), built_in.shape)
    placed = PEMap.from_place(built_in.shape, place_of(built_in), built_in.pes)
    for other in (own, placed):
        for one, two in zip(other.labels(), built_in.labels(), strict=True):
            np.testing.assert_array_equal(one, two)
        assert (other.pes, other.groups) == (built_in.pes, built_in.groups)
    if built_in.fixed_load is not None:
        np.testing.assert_array_equal(own.fixed_load, built_in.fixed_load)
    others = (own,) if built_in.fixed_load is not None else (own, placed)
    for other in others:
        found = solve(RetentionProblem(values, other, **options))
        np.testing.assert_array_equal(found.mask, expected.mask)
        assert LoadMetrics.of(found.mask, other) == LoadMetrics.of(
            expected.mask, built_in
        )


@given(shapes(60), st.integers(1, 5))
def test_a_place_may_decide_weight_by_weight(shape, pes):
    """A function with branches is the same map as its arithmetic."""

    def branching(o, i, r, c):
        return (0 if o < 2 else 1), min(i, pes - 1)

    def arithmetic(o, i, r, c):
        return np.minimum(o // 2, 1), np.minimum(i, pes - 1)

    one, two = (
        PEMap.from_place(shape, place, pes) for place in (branching, arithmetic)
    )
    np.testing.assert_array_equal(one.cell_labels(), two.cell_labels())


def test_the_text_is_the_map(tmp_path):
    """Spaces, comments and the file's name do not make another map."""
    file, other = tmp_path / "mine.yaml", tmp_path / "same.yml"
    file.write_text("# mine\ngroup: out // 8\npe: (out // 2 % 4) * 3 + row\npes: 12\n")
    other.write_text("pes: 12\npe: ((out//2)%4)*3 + row\ngroup: (out // 8)\n")
    first, second = (OwnMap.load_file(path) for path in (file, other))
    assert first == second == OwnMap.parse(first.text) == OwnMap(**PAIRS)
    assert PEMap.parse(str(file), SHAPE).name == first.text
    request = BalanceRequest(sparsity=0.5, pe_map=str(file))
    assert (request.pe_map, request.pes) == (first.text, 12)


def test_pairs_of_channels_and_kernel_rows_are_balanced():
    """Two channels and a kernel row make a cell; all twelve of a tile are equal."""
    values = np.random.default_rng(0).random(SHAPE)
    pe_map = PEMap.from_formulas(SHAPE, **PAIRS)
    solution = solve(RetentionProblem(values, pe_map, sparsity=0.9))
    by_hand = solution.mask.reshape(2, 4, 2, 8, 3, 3).sum(axis=(2, 3, 5))
    np.testing.assert_array_equal(solution.loads, by_hand.reshape(2, 12))
    assert utilization(solution.mask, pe_map) == 1.0
    network = balance_network({"a": values}, sparsity=0.9, pe_map=pe_map.name)
    np.testing.assert_array_equal(network.masks["a"], solution.mask)


@given(copies=st.integers(1, 3), data=st.data())
def test_the_load_counts_on_every_copy(copies, data):
    """PEs with copies have the load of the first, and the program is that of one."""
    shape = data.draw(shapes(40))
    values = data.draw(scores(int(np.prod(shape)))).reshape(shape)
    budget = data.draw(st.integers(0, values.size))
    single = PEMap.from_formulas(shape, "out // 2", "out % 2", pes=2)
    copied = PEMap.from_formulas(
        shape, "out // 2", f"out % 2 * {copies} + copy", pes=2 * copies, copies=copies
    )
    behind = PEMap.from_formulas(shape, "out // 2", "out % 2", 2 * copies, copies)
    expected = solve(RetentionProblem(values, single, budget))
    for pe_map in (copied, behind):
        found = solve(RetentionProblem(values, pe_map, budget))
        np.testing.assert_array_equal(found.mask, expected.mask)
        found.verify(RetentionProblem(values, pe_map, budget))
        assert pe_map.occupancy == single.occupancy
        metrics = LoadMetrics.of(found.mask, pe_map)
        assert metrics.eta == LoadMetrics.of(expected.mask, single).eta
        assert metrics.nonzeros == found.nonzeros
    loads = solve(RetentionProblem(values, copied, budget)).loads
    np.testing.assert_array_equal(loads, np.repeat(expected.loads, copies, axis=1))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"group": "out / 8"}, "divide by //"),
        ({"group": "outs"}, "names no axis"),
        ({"pe": "0"}, "names no axis"),
        ({"pe": "3 + pes"}, "names no axis"),
        ({"pe": "out"}, r"is 8 at \(out 8, in 0, row 0, col 0\).*PEs are 0..7"),
        ({"pe": "row - 1"}, r"is -1 at \(out 0, in 0, row 0, col 0\)"),
        ({"group": "in - 1"}, "groups count from 0"),
        ({"pe": "channel % 8"}, "'channel' is unknown; accepted: whole numbers"),
        ({"pe": "out %"}, "no formula can be read"),
        ({"pe": "out % in"}, "divides by zero"),
        ({"pe": "out % 2 ** 3"}, "is not accepted"),
        ({"pe": "out % 8.0"}, "is not accepted"),
        ({"pe": "__import__('os').getpid()"}, "is not accepted"),
        ({"pe": "(lambda: out)()"}, "is not accepted"),
        ({"pe": "[out for out in (1, 2)]"}, "no formula can be read"),
        ({"pe": "out if (out := 3) else 0"}, "is not accepted"),
        ({"pe": "out.real"}, "is not accepted"),
        ({"pe": "min(out, 1, 2)"}, "is not accepted"),
        ({"pe": "part(out, 4, 0)"}, "less than 1 part"),
        ({"pe": "out" + " + 1" * 200}, "longer than 500 letters"),
        ({"pe": "(" * 60 + "out" + ")" * 60 + "+1" * 60}, "nested deeper"),
        ({"pe": "out * 2147483647 * 2147483647 * 2147483647"}, "beyond 2"),
        ({"pe": "out * 2000000000 * (in * 2000000000)"}, "beyond 2"),
        ({"pe": "(0 - out) * 2000000000 * (in * 2000000000)"}, "beyond 2"),
        ({"pe": "out % 2147483648"}, "too large"),
        ({"pe": ""}, "it is empty"),
        ({"pe": ["out"]}, "list is no formula"),
        ({"copies": "out"}, "'out' is unknown"),
        ({"copies": "9"}, "1 to 8 PEs can hold a weight"),
        ({"copies": 2, "pe": "(out + copy) % 8"}, "either copies of the same weights"),
        ({"copies": 2, "pe": "out % 8"}, "PEs are 0..7"),
        ({"copies": 2, "pe": "out % 4 + 0 * copy"}, "no weight in common"),
        ({"load": "out"}, "one number for each group"),
        ({"load": "1000"}, "weights of its smallest PE"),
        ({"load": "out // 8 * 1000"}, "weights of its smallest PE"),
        ({"pe": "out" + " + 0" * 41}, "nested deeper"),
        ({"pes": 0}, "a whole number from 1"),
        ({"size": 3}, "the field 'size'"),
        ({"group": None}, "NoneType is no formula"),
    ],
)
def test_wrong_formulas_are_refused_in_one_line(fields, said):
    """What is wrong is named with what is accepted, and nothing is run."""
    mine = {"group": "out // 8", "pe": "out % 8", "pes": 8} | fields
    with pytest.raises(BalancerError, match=said) as caught:
        OwnMap.of(mine).kind().cut(LayerShape.of(SHAPE))
    assert "\n" not in str(caught.value)


def test_formulas_may_be_nested_as_deep_as_they_say():
    """Forty operators on each other are accepted, and change nothing here."""
    mine = {"group": "out // 8", "pe": "out % 8" + " + 0" * 39, "pes": 8}
    layout = OwnMap.of(mine).kind().cut(LayerShape.of(SHAPE))
    assert layout.cell_pe.max() == 7


def test_positions_have_a_row_and_a_column():
    """Kernels of 2 x 3: the PE is that of the column, the group that of the row."""
    mine = {"group": "row", "pe": "col", "pes": 3}
    layout = OwnMap.of(mine).kind().cut(LayerShape.of((4, 5, 2, 3)))
    assert layout.cell_group.tolist() == [0, 0, 0, 1, 1, 1]
    assert layout.cell_pe.tolist() == [0, 1, 2, 0, 1, 2]


def test_loads_of_cells_of_unequal_size():
    """A group of fewer weights has the load that the formula gives it."""
    mine = {"group": "out", "pe": "in // 2", "pes": 2, "load": "1 + out % 2"}
    layout = OwnMap.of(mine).kind().cut(LayerShape.of((4, 3, 2, 2)))
    assert len(layout.matrices) == 2  # of 8 and of 4 weights
    assert layout.fixed_load.tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("group: out // 8\n", "it lacks one"),
        ("- out\n", "needs lines as"),
        ("group: [\n", "no YAML"),
        ("group: out\npe: out @ 2\n", "formula `pe`"),
        (b"\xff\xfe\x00", "no YAML"),
    ],
)
def test_a_wrong_file_is_named(content, said, tmp_path):
    """Errors say which file is at fault."""
    file = tmp_path / "mine.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BalancerError, match=said) as caught:
        PEMap.parse(str(file), SHAPE)
    assert str(caught.value).startswith(f"{file}: ")
    with pytest.raises(BalancerError, match=r"missing\.yaml: No such file"):
        PEMap.parse("missing.yaml", SHAPE)


def test_pes_are_said_once():
    """PEs beside a map that says them are those it says, or an error."""
    own = OwnMap(**PAIRS)
    assert BalanceRequest(sparsity=0.5, pe_map=own.text, pes=12).pes == 12
    with pytest.raises(BalancerError, match="`pes` is 8, but the PE map"):
        BalanceRequest(sparsity=0.5, pe_map=own.text, pes=8)


@pytest.mark.parametrize(
    "place", [lambda o, i, r, c: 3, lambda o, i, r, c: (o, "x"), lambda o: (0, 0)]
)
def test_a_place_that_is_none_is_refused(place):
    """A function needs four coordinates and returns two whole numbers."""
    with pytest.raises(BalancerError, match="must return two whole numbers"):
        PEMap.from_place(SHAPE, place)
