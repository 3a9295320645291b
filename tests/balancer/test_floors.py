"""Channel floors against their definition, channel by channel."""

import numpy as np
import pytest
from cases import cases
from hypothesis import assume, given

from balancer import InfeasibleError, PEMap
from balancer.program.floors import ChannelFloors, best_of_channels


def floors_of(case, floor):
    options = case.options
    return ChannelFloors.of(
        case.pe_map,
        floor,
        scores=case.scores,
        allowed=options.get("previous_mask"),
        forced=options.get("forced"),
    )


def by_definition(case, floor):
    """Floors of groups, channels that lie inside one cell, and those that cross."""
    pe_map = case.pe_map
    cell = pe_map.cell_labels().reshape(pe_map.channels, -1)
    sizes = pe_map.cell_sizes()
    group_floor = np.zeros(pe_map.groups, dtype=int)
    inside, crossing = np.zeros((2, pe_map.channels), dtype=bool)
    for channel, least in enumerate(floor):
        mine, held = np.unique(cell[channel], return_counts=True)
        groups = {int(pe_map.cell_group[one]) for one in mine}
        if not least:
            continue
        if len(groups) == 1 and (held == sizes[mine]).all():
            (group,) = groups
            group_floor[group] = max(group_floor[group], -(-least // len(mine)))
        elif len(mine) == 1:
            inside[channel] = True
        else:
            crossing[channel] = True
    return group_floor, inside, crossing


@given(cases(80))
def test_floors_bound_groups_force_weights_or_cross(case):
    """A floor does the one of the three that its channel's cells allow."""
    floor = case.options.get("channel_floor", np.zeros(case.pe_map.channels, int))
    allowed, forced = (case.options.get(n) for n in ("previous_mask", "forced"))
    rows = case.pe_map.channels
    offer = np.ones(case.pe_map.shape, bool) if allowed is None else allowed
    offer = offer.reshape(rows, -1).sum(axis=1) if rows else np.zeros(0, int)
    short = np.flatnonzero(offer < floor)
    if short.size:
        said = f"channel {short[0]} has {offer[short[0]]} .* is {floor[short[0]]}"
        with pytest.raises(InfeasibleError, match=said):
            floors_of(case, floor)
        return
    assume(allowed is None or forced is None or (allowed | ~forced).all())
    found = floors_of(case, floor)
    group_floor, inside, crossing = by_definition(case, floor)
    np.testing.assert_array_equal(found.group_floor, group_floor)
    np.testing.assert_array_equal(found.crossing, crossing)
    if not inside.any():
        assert found.must_keep is forced
        return
    must = found.must_keep.reshape(rows, -1)
    scores = case.scores.reshape(rows, -1)
    for channel in range(rows):
        mine = must[channel]
        held = (
            np.zeros_like(mine) if forced is None else forced.reshape(rows, -1)[channel]
        )
        assert not (held & ~mine).any()
        number = int(floor[channel]) if inside[channel] else 0
        assert mine.sum() == max(number, held.sum())
        if allowed is not None:
            may = allowed.reshape(rows, -1)[channel]
            assert not (mine & ~may).any()
        else:
            may = np.ones_like(mine)
        left, chosen = may & ~mine, mine & ~held
        if left.any() and chosen.any():
            assert scores[channel][chosen].min() >= scores[channel][left].max()


def test_no_floors_ask_for_nothing():
    """Without floors forced weights are all that must be kept."""
    pe_map = PEMap.output_channel((3, 4), 2)
    forced = np.eye(3, 4, dtype=bool)
    for marked in (None, forced):
        found = ChannelFloors.of(
            pe_map,
            np.zeros(3, dtype=np.int64),
            scores=np.ones((3, 4)),
            allowed=None,
            forced=marked,
        )
        assert found.must_keep is marked
        assert not found.crossing.any()
        np.testing.assert_array_equal(found.group_floor, [0, 0])


def test_the_best_of_channels_hold_the_forced_ones():
    """Forced weights count towards the number, and all of them stay."""
    keys = np.array([[1.0, 4, 2, 3], [np.inf, 1, 5, 2], [np.inf, np.inf, 1, 2]])
    best = best_of_channels(keys, np.array([2, 2, 1]), np.isinf(keys))
    expected = [[0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(best, np.array(expected, dtype=bool))
    plain = best_of_channels(keys, np.array([1, 0, 0]), None)
    np.testing.assert_array_equal(np.flatnonzero(plain), [1])


def test_a_channel_inside_a_cell_keeps_its_best():
    """Two channels share a PE: the floor of each forces the best of its weights."""
    scores = np.arange(12.0).reshape(4, 3)
    found = ChannelFloors.of(
        PEMap.interleaved((4, 3), 2),
        np.array([1, 0, 0, 2]),
        scores=scores,
        allowed=None,
        forced=None,
    )
    expected = np.zeros((4, 3), dtype=bool)
    expected[0, 2] = expected[3, 1:] = True
    np.testing.assert_array_equal(found.must_keep, expected)
    assert not found.crossing.any()
    assert not found.group_floor.any()
