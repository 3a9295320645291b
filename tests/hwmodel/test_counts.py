"""Counts of weights by cell and input, weight by weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap
from hwmodel.counts import EXACT_FLOAT32, CellCounts

MAPS = ("output_channel", "input_channel", "interleaved", "banked", "grid")


@st.composite
def layers(draw):
    """A mask, its map on some array, and the groups of its convolution."""
    groups = draw(st.integers(1, 3))
    outputs, inputs = groups * draw(st.integers(1, 3)), draw(st.integers(1, 5))
    kernel = draw(st.sampled_from([(1, 1), (2, 1), (2, 2)]))
    shape = (outputs, inputs, *kernel)
    kind = draw(st.sampled_from(MAPS))
    if kind == "grid":
        pe_map = PEMap.grid(shape, draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    else:
        pe_map = getattr(PEMap, kind)(shape, draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    return mask, pe_map, groups


def by_hand(mask, pe_map, conv_groups):
    """Counts [cells by group, inputs], and the cells in that order."""
    order = np.argsort(pe_map.cell_group, kind="stable")
    label = pe_map.cell_labels()
    fan_in = mask[0].size
    share = len(mask) // conv_groups
    table = np.zeros((pe_map.n_cells, conv_groups * fan_in))
    for place in np.argwhere(mask):
        output, *inside = place
        column = np.ravel_multi_index(inside, mask.shape[1:])
        row = int(np.flatnonzero(order == label[tuple(place)])[0])
        table[row, (output // share) * fan_in + column] += 1
    return table, order


@given(layers(), st.booleans(), st.integers(0, 2**32))
def test_work_is_counts_times_spikes(drawn, narrow, seed):
    """Loads of all cells are the product of the dense counts with what is met."""
    mask, pe_map, groups = drawn
    counts = CellCounts(mask, pe_map, groups, narrow)
    table, order = by_hand(mask, pe_map, groups)
    np.testing.assert_array_equal(counts.groups, pe_map.cell_group[order])
    np.testing.assert_array_equal(counts.pes, pe_map.cell_pe[order])
    firsts = [int(np.argmax(counts.groups == g)) for g in range(pe_map.groups)]
    np.testing.assert_array_equal(counts.starts, firsts)
    met = np.random.default_rng(seed).integers(0, 5, (table.shape[1], 2, 3))
    loads = counts.loads(met)
    assert loads.dtype == (np.float32 if narrow else np.float64)
    np.testing.assert_array_equal(loads, np.einsum("ci,ijk->cjk", table, met))
    largest = counts.largest_of_group(loads)
    for group in range(pe_map.groups):
        mine = table[counts.groups == group]
        np.testing.assert_array_equal(counts.table(group), mine)
        np.testing.assert_array_equal(counts.largest_at_inputs(group), mine.max(axis=0))
        np.testing.assert_array_equal(
            largest[group], loads[counts.groups == group].max(axis=0)
        )


@given(layers())
def test_pieces_are_never_larger_than_the_weights(drawn):
    """No two pieces hold the same cell and input; all together fit into the mask."""
    mask, pe_map, groups = drawn
    counts = CellCounts(mask, pe_map, groups, True)
    seen = np.zeros((pe_map.n_cells, counts.inputs), dtype=int)
    for piece in counts.pieces:
        assert piece.counts.shape == seen[piece.cells, piece.columns].shape
        assert (np.diff(piece.cells) > 0).all()
        seen[piece.cells, piece.columns] += 1
        # Neither a cell without weights nor a column before or after them.
        assert piece.counts.any(axis=1).all()
        assert piece.counts[:, [0, -1]].any(axis=0).all()
    assert seen.max(initial=0) <= 1
    assert sum(piece.counts.size for piece in counts.pieces) <= mask.size


def test_inputs_split_over_pes_are_narrow_pieces():
    """Each block of input channels is a matrix of its own, of its columns alone."""
    mask = np.ones((4, 6, 1, 1), dtype=bool)
    counts = CellCounts(mask, PEMap.input_channel(mask.shape, 3), 1, True)
    columns = [(piece.columns.start, piece.columns.stop) for piece in counts.pieces]
    assert columns == [(0, 2), (2, 4), (4, 6)]
    assert [len(piece.cells) for piece in counts.pieces] == [4, 4, 4]


def test_channels_have_one_group():
    """The group of a channel is that of its weights."""
    mask = np.ones((5, 2, 1, 1), dtype=bool)
    tiles = CellCounts(mask, PEMap.output_channel(mask.shape, 2), 1, True)
    np.testing.assert_array_equal(tiles.heard.starts, np.arange(4) * mask[0].size)
    rows = CellCounts(mask, PEMap.banked(mask.shape, 2), 1, True)
    np.testing.assert_array_equal(rows.heard.starts, np.arange(6) * mask[0].size)


def test_narrow_floats_hold_cells_of_this_size():
    """Wide floats are taken for products that are not whole."""
    assert 2 ** (np.finfo(np.float32).nmant + 1) == EXACT_FLOAT32
    mask = np.ones((2, 2, 1, 1), dtype=bool)
    for whole, dtype in ((True, np.float32), (False, np.float64)):
        counts = CellCounts(mask, PEMap.output_channel(mask.shape, 2), 1, whole)
        assert counts.dtype == dtype


@pytest.mark.parametrize("groups", [1, 2])
def test_nothing_kept_is_no_piece(groups):
    """A mask without weights has no pieces, and loads of 0."""
    mask = np.zeros((4, 2, 1, 1), dtype=bool)
    counts = CellCounts(mask, PEMap.output_channel(mask.shape, 2), groups, True)
    assert counts.pieces == []
    assert not counts.loads(np.ones((2 * groups, 1))).any()
