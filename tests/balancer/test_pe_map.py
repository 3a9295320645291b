"""PE maps put every weight where their documentation says, on any shape."""

import numpy as np
import pytest
from cases import pe_maps, shapes
from hypothesis import given
from hypothesis import strategies as st

from balancer import BalancerError, PEMap
from balancer.maps.cell_arrays import CHUNK_WEIGHTS


def expected(kind, shape, arrange):
    """Labels of a map, computed weight by weight from (o, i, position)."""
    outputs, inputs, *kernel = shape
    positions = int(np.prod(kernel, dtype=int))
    group, pe = np.empty((2, outputs, inputs, positions), dtype=int)
    for o in range(outputs):
        for i in range(inputs):
            for k in range(positions):
                group[o, i, k], pe[o, i, k] = arrange(o, i, k, inputs, positions)
    return group.reshape(shape), pe.reshape(shape)


def part(index, total, parts):
    """Number of the part that holds `index` if `total` things are split evenly."""
    return next(
        n
        for n, chunk in enumerate(np.array_split(np.arange(total), parts))
        if index in chunk
    )


ARRANGEMENTS = {
    "output_channel": lambda pes: (
        lambda o, i, k, inputs, positions: (
            o // pes,
            o % pes,
        )
    ),
    "input_channel": lambda pes: (
        lambda o, i, k, inputs, positions: (
            o,
            part(i, inputs, pes),
        )
    ),
    "banked": lambda pes: (
        lambda o, i, k, inputs, positions: (
            o,
            part(i * positions + k, inputs * positions, pes),
        )
    ),
    "interleaved": lambda pes: lambda o, i, k, inputs, positions: (0, o % pes),
    "kernel:3": lambda pes: lambda o, i, k, inputs, positions: (o // 3, k % pes),
}


@pytest.mark.parametrize("kind", ARRANGEMENTS)
@given(data=st.data())
def test_regular_maps_follow_their_definition(kind, data):
    """Group and PE of every weight are those of the map's definition."""
    shape, pes = data.draw(shapes(60)), data.draw(st.integers(1, 7))
    group, pe = PEMap.parse(kind, shape, pes).labels()
    expected_group, expected_pe = expected(kind, shape, ARRANGEMENTS[kind](pes))
    np.testing.assert_array_equal(group, expected_group)
    np.testing.assert_array_equal(pe, expected_pe)


@given(shape=shapes(60), rows=st.integers(1, 4), cols=st.integers(1, 4))
def test_grid_crosses_output_tiles_with_input_blocks(shape, rows, cols):
    """PE (r, c) of a grid holds block c of the inputs of the tile's channel r."""
    group, pe = PEMap.grid(shape, rows, cols).labels()
    expected_group, expected_pe = expected(
        "grid",
        shape,
        lambda o, i, k, inputs, positions: (
            o // rows,
            o % rows * cols + part(i, inputs, cols),
        ),
    )
    np.testing.assert_array_equal(group, expected_group)
    np.testing.assert_array_equal(pe, expected_pe)


@given(shape=shapes(60), m=st.integers(1, 5), data=st.data())
def test_n_m_prescribes_n_of_every_m_input_channels(shape, m, data):
    """The cells of an n:m map are runs of m inputs with load n, or a shorter rest."""
    n = data.draw(st.integers(1, m))
    pe_map = PEMap.n_m(shape, n, m)
    cell = pe_map.cell_labels().reshape(*shape[:2], -1)
    for o in range(shape[0]):
        for k in range(cell.shape[2]):
            for first in range(0, shape[1], m):
                run = cell[o, first : first + m, k]
                assert len(set(run)) == 1
                load = pe_map.fixed_load[pe_map.cell_group[run[0]]]
                assert load == min(n, len(run))
    assert len(np.unique(cell)) == pe_map.n_cells


@given(pe_maps(80))
def test_cells_partition_the_weights(pe_map):
    """Every weight is in exactly one cell, and every numbered cell holds its size."""
    sizes = np.bincount(pe_map.cell_labels().reshape(-1), minlength=pe_map.n_cells)
    np.testing.assert_array_equal(sizes, pe_map.cell_sizes())
    assert sizes.sum() == pe_map.weights
    pairs = set(zip(pe_map.cell_group, pe_map.cell_pe, strict=True))
    assert len(pairs) == pe_map.n_cells


@given(pe_maps(80), st.randoms(use_true_random=False))
def test_loads_count_the_mask_weight_by_weight(pe_map, random):
    """The table of loads equals a count over the labels."""
    mask = np.array([random.random() < 0.4 for _ in range(pe_map.weights)], dtype=bool)
    group, pe = (labels.reshape(-1) for labels in pe_map.labels())
    table = np.zeros((pe_map.groups, pe_map.pes), dtype=int)
    np.add.at(table, (group[mask], pe[mask]), 1)
    np.testing.assert_array_equal(pe_map.loads(mask.reshape(pe_map.shape)), table)
    assert not table[~pe_map.present()].any()


@given(pe_maps(80))
def test_labels_rebuild_every_map(pe_map):
    """`from_labels` with the labels of any map is the same map."""
    group, pe = pe_map.labels()
    again = PEMap.from_labels(group, pe, pe_map.pes)
    for one, other in zip(again.labels(), (group, pe), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.occupancy == pe_map.occupancy


@pytest.mark.parametrize("spec", ["output_channel", "interleaved", "2:4", "grid:4x4"])
def test_cells_are_the_same_in_pieces(spec):
    """Cells read in cache-sized pieces are the cells."""
    shape = (70, 1024, 3, 3)
    pe_map = PEMap.parse(spec, shape)
    flat = np.arange(pe_map.weights)
    pieces = 0
    for matrix in pe_map.matrices:
        whole = matrix.read(flat)
        for rows, chunk in matrix.chunks():
            np.testing.assert_array_equal(chunk.read(flat), whole[rows])
            pieces += 1
    assert pe_map.weights > CHUNK_WEIGHTS
    assert pieces > len(pe_map.matrices)


def test_occupancy_reports_what_is_idle_by_structure():
    """Ten channels on 16 PEs occupy ten of them, and 20 occupy 20 of two tiles."""
    assert PEMap.output_channel((10, 8), 16).occupancy == 10 / 16
    assert PEMap.output_channel((20, 8), 16).occupancy == 20 / 32
    assert PEMap.input_channel((4, 3, 3, 3), 16).occupancy == 3 / 16


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 0, 3, 3)])
@pytest.mark.parametrize(
    "spec", ["output_channel", "input_channel", "interleaved", "banked", "2:4"]
)
def test_empty_layers_have_no_groups(shape, spec):
    """A layer without weights has neither groups nor cells, and is fully occupied."""
    pe_map = PEMap.parse(spec, shape)
    assert (pe_map.groups, pe_map.n_cells, pe_map.occupancy) == (0, 0, 1.0)
    assert pe_map.loads(np.zeros(shape, dtype=bool)).shape == (0, pe_map.pes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PEMap.output_channel((4,)), "two or more dimensions"),
        (lambda: PEMap.output_channel((4, -1)), "two or more dimensions"),
        (lambda: PEMap.output_channel((4, 4), 0), "`pes` is 0"),
        (lambda: PEMap.output_channel((4, 4), 2.0), "`pes` is 2.0"),
        (lambda: PEMap.output_channel((4, 4), 10**12), "more than"),
        (lambda: PEMap.interleaved((4, 4), 10**12), "more than"),
        (lambda: PEMap.n_m((4, 4), 3, 2), "n must be at most m"),
        (lambda: PEMap.grid((4, 4), 0, 2), "`rows` is 0"),
        (lambda: PEMap.parse("diagonal", (4, 4)), "accepted: output_channel"),
        (lambda: PEMap.parse("2:x", (4, 4)), "accepted: output_channel"),
        (lambda: PEMap.from_labels([[0.5]], [[0]]), "`group` are float64"),
        (lambda: PEMap.from_labels([[0]], [[-1]]), "`pe` start at -1"),
        (lambda: PEMap.from_labels([[0, 1]], [[0, 1, 2]]), "do not broadcast"),
        (lambda: PEMap.from_labels([[0]], [[4]], pes=4), "numbered 0..3"),
        (lambda: PEMap.from_labels([[0]], [[10**9]]), "more than"),
        (lambda: PEMap.from_labels([0], [1]), "two or more dimensions"),
        (
            lambda: PEMap.output_channel((4, 4)).loads(np.ones((4, 4))),
            "needs bool",
        ),
    ],
)
def test_impossible_maps_are_refused(make, message):
    """Every argument that describes no map is refused with what is accepted."""
    with pytest.raises(BalancerError, match=message):
        make()
