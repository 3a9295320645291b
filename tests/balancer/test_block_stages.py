"""Stages: one channel of each of some blocks, assigned anew where they keep most."""

from itertools import permutations

import numpy as np
import pytest
from block_cases import Watched, layers, worth
from cases import search_of
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem, solve
from balancer.order import block_stages, blocks
from balancer.order.block_stages import BlockStages
from balancer.order.blocks import Blocks
from balancer.order.clock import SearchClock


def started(drawn, **limits):
    """Begin with far more work than is needed, lest a fault make the stages endless."""
    weights, block, order, loads = drawn
    clock = SearchClock(search_of(**({"work_limit": 0.1} | limits)))
    return BlockStages(Blocks(weights, block, order, loads, clock), clock)


def large(seed=0, channels=64, rows=12):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(channels, rows, 1)) ** 2
    return weights, np.arange(channels) // 4, np.arange(channels), np.full(rows, 2)


def check(stages, drawn):
    """What is known of the present and the best partition is true; return its worth."""
    weights, block, _, loads = drawn
    found = stages.blocks
    np.testing.assert_array_equal(np.sort(found.order), np.arange(len(weights)))
    present = np.concatenate(found.members)
    np.testing.assert_array_equal(found.of_channel[present], block)
    assert worth(weights, block, present, loads) == pytest.approx(found.kept)
    kept = worth(weights, block, found.order, loads)
    assert kept == pytest.approx(found.best)
    return kept


@given(layers(most=12, uneven=True))
def test_stages_never_keep_less(drawn):
    """The partition stays one, its worth is that of the definition, and not below."""
    weights, block, order, loads = drawn
    stages = started(drawn)
    stages.run(np.inf)
    if stages.blocks.matter:
        assert check(stages, drawn) >= worth(weights, block, order, loads) * (1 - 1e-6)
    else:
        np.testing.assert_array_equal(stages.blocks.order, order)


@given(layers(most=10, uneven=True), st.integers(0, 5))
def test_a_stage_is_the_best_assignment(drawn, seed):
    """Of all ways to put one channel of each block back, none is worth more."""
    weights, block, _, loads = drawn
    stages = started(drawn, seed=seed)
    if not stages.blocks.matter or block[-1] > 4:
        return
    stages.blocks.read()
    before = [members.copy() for members in stages.blocks.members]
    sizes = [len(members) for members in before]
    rng = np.random.default_rng([seed, 1])
    places = rng.integers(0, np.array(sizes))
    stages._stage(stages.blocks.all)
    stages.blocks.remember()
    out = [members[place] for members, place in zip(before, places, strict=True)]
    best = 0.0
    for back in permutations(out):
        for members, place, channel in zip(before, places, back, strict=True):
            members[place] = channel
        best = max(best, worth(weights, block, np.concatenate(before), loads))
    assert check(stages, drawn) == pytest.approx(best, rel=1e-5)


def test_more_work_begins_with_less():
    """Whatever the limit, the same is found one after the other, and ends alike."""
    heard, kept = [], []
    for work in (1.5e-5, 3e-5, 0.1, 0.1):
        heard.append([])
        stages = started(large(), work_limit=work, progress=heard[-1].append)
        stages.run(1e9)
        kept.append(check(stages, large()))
    found = [[report.kept for report in reports] for reports in heard]
    assert 0 < len(found[0]) < len(found[1]) < len(found[2])
    assert found[1][: len(found[0])] == found[0]
    assert found[2][: len(found[1])] == found[1]
    assert found[2] == found[3]
    assert kept == sorted(kept)
    assert kept[2] == kept[3]


def test_another_seed_deals_other_sets():
    """The seed decides which channels meet."""
    orders = set()
    for seed in (1, 1, 2, 3):
        stages = started(large(), seed=seed)
        stages.run(1e9)
        orders.add(tuple(stages.blocks.order.tolist()))
    assert len(orders) == 3


def test_sets_grow_up_to_the_most(monkeypatch):
    """After so many passes twice as many blocks; it ends among the largest sets."""
    monkeypatch.setattr(block_stages, "FIRST_BLOCKS", 2)
    monkeypatch.setattr(block_stages, "MOST_BLOCKS", 9)
    widths = []

    class Told(BlockStages):
        def _pass(self, width):
            widths.append(width)
            super()._pass(width)

        def _stage(self, numbers):
            assert 0 < len(numbers) <= widths[-1]
            assert len(set(numbers.tolist())) == len(numbers)
            super()._stage(numbers)

    stages = started(large())
    Told(stages.blocks, stages._clock).run(1e9)
    assert widths[:7] == [2, 2, 4, 4, 8, 8, 9]
    assert set(widths[7:]) == {9}


def test_nothing_more_is_tried_within_the_gap_limit():
    """Where the start is near enough to the bound, the order stays."""
    drawn = large()
    stages = started(drawn, gap_limit=0.5)
    stages.run(1.5 * worth(*drawn))
    np.testing.assert_array_equal(stages.blocks.order, drawn[2])
    assert check(stages, drawn) > 0


@pytest.mark.parametrize("most", [0, 1, 2, 5, 20, 100])
def test_stages_stop_where_they_are(monkeypatch, most):
    """From one look at the clock to the next is one piece of work, and none follows."""
    monkeypatch.setattr(blocks, "CHUNK_ENTRIES", 200)
    clock, drawn = Watched(most), large()
    stages = BlockStages(Blocks(*drawn, clock), clock)
    stages.run(1e9)
    # The largest piece: the members of all blocks of a stage, and a row of V.
    assert clock.longest <= 16 * 12 * (4 + 2)
    assert clock.looks <= most + 2
    if stages.blocks.best:
        assert check(stages, drawn) >= worth(*drawn) * (1 - 1e-6)


@pytest.mark.parametrize("pattern", ["2:4", "1:4", "4:8"])
def test_a_wide_layer_gains_with_less_work_than_all_exchanges_take(pattern):
    """With a fifth of the work of one look at all exchanges it keeps clearly more."""
    scores = np.random.default_rng(2).exponential(size=(48, 512))
    pe_map = PEMap.parse(pattern, scores.shape, 4)
    work = scores.shape[1] ** 2 * scores.shape[0] * 2 / 5e8
    fixed = solve(RetentionProblem(scores, pe_map)).kept
    problem = RetentionProblem(scores, pe_map, order="optimized")
    found = [solve(problem, work_limit=work / 5) for _ in range(2)]
    assert found[0].kept > 1.01 * fixed
    assert (found[0].order == found[1].order).all()


@given(
    layers(most=16),
    st.sampled_from([1e-8, 1e-6, 1e-4]),
    st.sampled_from(["2:4", "1:3", "input_channel"]),
)
def test_no_optimized_order_keeps_less_than_the_natural_one(drawn, work, spec):
    """Wherever the limit falls, in the first step or later."""
    scores = drawn[0][:, :, 0].T
    pe_map = PEMap.parse(spec, scores.shape, 3)
    budget = None if pe_map.fixed_load is not None else scores.size // 2
    fixed = solve(RetentionProblem(scores, pe_map, budget))
    problem = RetentionProblem(scores, pe_map, budget, order="optimized")
    solution = solve(problem, work_limit=work)
    assert solution.kept >= fixed.kept * (1 - 1e-9)
    solution.verify(problem)
