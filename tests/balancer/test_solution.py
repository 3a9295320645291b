"""Verification finds every defect of a mask or of what is said about it."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem, VerificationError, register_solver, solve
from balancer.solvers import solution as solutions
from balancer.solvers.solution import Answer, MaskCheck, Termination

SHAPE = (4, 6)
SCORES = np.arange(24.0).reshape(SHAPE)


def problem(**options):
    return RetentionProblem(SCORES, PEMap.output_channel(SHAPE, 2), 8, **options)


def swapped(mask):
    """Move one kept weight to another place of its row."""
    mask = mask.copy()
    row = mask[3]
    row[np.flatnonzero(row)[0]], row[np.flatnonzero(~row)[0]] = False, True
    return mask


@pytest.mark.parametrize(
    ("field", "damage", "message"),
    [
        ("mask", lambda s: ~s.mask, "exceed the budget"),
        ("mask", lambda s: s.mask ^ (SCORES == 0), "unequal loads"),
        ("mask", lambda s: np.zeros(SHAPE, bool), "`loads`"),
        ("mask", lambda s: swapped(s.mask), "`kept`"),
        ("loads", lambda s: s.loads + 1, "`loads`"),
        ("kept", lambda s: s.kept * 1.01, "`kept`"),
        ("bound", lambda s: s.kept - 1, "bound"),
        ("remainder", lambda s: 1, "`remainder`"),
        ("dead_channels", lambda s: 3, "`dead_channels`"),
    ],
)
def test_a_damaged_solution_is_found_out(field, damage, message):
    """Changing the mask or any claim about it fails verification."""
    solution = solve(problem())
    solution.verify(problem())
    with pytest.raises(VerificationError, match=message):
        replace(solution, **{field: damage(solution)}).verify(problem())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_load": 1}, "above `max_load`"),
        ({"min_load": [2, 2]}, "below `min_load`"),
        ({"channel_floor": [1, 1, 1, 1]}, "below its `channel_floor`"),
        ({"previous_mask": SCORES < 20}, "outside `previous_mask`"),
        ({"forced": SCORES == 0}, "forced weights are missing"),
    ],
)
def test_a_solution_of_another_problem_is_found_out(options, message):
    """A mask is checked against each constraint of the problem it is held against."""
    solution = solve(problem())
    with pytest.raises(VerificationError, match=message):
        solution.verify(problem(**options))


def test_a_wrong_solver_cannot_return_its_mask():
    """What a solver returns is verified before anyone sees it."""

    class Careless:
        def solve(self, problem, search):
            mask = np.zeros(SHAPE, dtype=bool)
            mask[0] = True
            return Answer(mask, np.inf, Termination.COMPLETED)

    register_solver("careless", Careless())
    with pytest.raises(VerificationError, match="unequal loads"):
        solve(problem(), "careless")


@pytest.mark.parametrize("order", ["fixed", "sorted", "optimized"])
@pytest.mark.parametrize("spec", ["output_channel", "input_channel", "grid:2x2", "1:2"])
def test_a_schedule_applies_to_its_mask(spec, order):
    """In the order of its schedule a mask has its shape and equal loads.

    Whatever is permuted, and although layers have fewer input than output channels.
    """
    values = np.random.default_rng(1).random((6, 4, 3, 3))
    pe_map = PEMap.parse(spec, values.shape, 2)
    budget = None if ":" in spec and "x" not in spec else 60
    given = RetentionProblem(values, pe_map, budget, order=order)
    solution = solve(given, work_limit=0.05)
    scheduled = solution.schedule.apply(solution.mask)
    assert scheduled.shape == solution.mask.shape
    assert len(solution.order) == values.shape[pe_map.order_axis]
    np.testing.assert_array_equal(solution.schedule.invert(scheduled), solution.mask)
    loads = pe_map.loads(scheduled)
    np.testing.assert_array_equal(loads, solution.loads)
    for load, here in zip(loads, pe_map.present(), strict=True):
        assert len(set(load[here])) <= 1


@pytest.mark.parametrize("spec", ["interleaved", "banked"])
def test_without_an_order_the_schedule_is_natural(spec):
    """Where nothing can be permuted the schedule leaves the mask as it is."""
    values = np.random.default_rng(1).random((6, 4, 3, 3))
    pe_map = PEMap.parse(spec, values.shape, 2)
    solution = solve(RetentionProblem(values, pe_map, 60))
    assert solution.schedule.is_natural
    assert solution.schedule.apply(solution.mask) is solution.mask


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_pieces_of_any_size_measure_a_mask_alike(shape, piece, seed):
    """Kept weights are counted and added up channel by channel, wherever it is cut."""
    rng = np.random.default_rng(seed)
    scores, mask = rng.random(shape), rng.random(shape) < rng.random()
    problem = RetentionProblem(scores, PEMap.output_channel(shape, 2), scores.size)
    with mock.patch.object(solutions, "PIECE_WEIGHTS", piece):
        check = MaskCheck(mask, problem, problem.pe_map.schedule())
    assert check.per_channel.tolist() == mask.sum(axis=1).tolist()
    assert check.nonzeros == mask.sum()
    assert check.dead_channels == (~mask.any(axis=1)).sum()
    assert check.kept == pytest.approx(scores[mask].sum(), rel=1e-12)
