"""Masks along live paths: equal loads as before, and no fewer weights that work."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch import nn  # noqa: E402

from balancer import (  # noqa: E402
    InfeasibleError,
    PairProblem,
    PEMap,
    RetentionProblem,
    solve_pair,
)
from snn import LotteryConfig, Pruning, Watcher, run_lottery  # noqa: E402
from snn.lottery.live_paths import live_weights  # noqa: E402
from snn.lottery.methods import METHODS  # noqa: E402
from snn.lottery.neighbours import neighbours  # noqa: E402
from snn.lottery.pair_search import jointly  # noqa: E402
from snn.lottery.path_search import effective  # noqa: E402
from snn.lottery.pruning import Pruned, natural_schedules  # noqa: E402
from snn.lottery.round_tickets import load_ticket  # noqa: E402


def chain(widths):
    parts = []
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def question(widths, sparsity, seed):
    """Dense layers of random scores, and what is alive in a chain of them."""
    network, rng = chain(widths), np.random.default_rng(seed)
    shapes = {
        name: tuple(module.weight.shape)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
    }
    every = {name: np.ones(shape, bool) for name, shape in shapes.items()}
    example = torch.zeros(1, widths[0])
    pruning = Pruning(
        scores={name: rng.random(shape) ** 3 for name, shape in shapes.items()},
        masks=every,
        carried=every,
        sparsity=sparsity,
        step=sparsity,
        pes=2,
    )
    return pruning, lambda masks: live_weights(network, masks, example)


class StopAfterOne(Watcher):
    """Kills a run when its first round is over."""

    def round(self, outcome):
        if outcome.round == 1:
            raise KeyboardInterrupt


@settings(max_examples=25)
@given(
    widths=st.lists(st.sampled_from([2, 4, 6, 8]), min_size=3, max_size=4),
    sparsity=st.sampled_from([0.5, 0.7, 0.85]),
    method=st.sampled_from(["optimal", "optimal-order"]),
    seed=st.integers(0, 10**6),
)
def test_no_weight_less_works(widths, sparsity, method, seed):
    """Loads are equal, budgets are those of before, effective weights are no fewer."""
    pruning, live = question(widths, sparsity, seed)
    try:
        plain = METHODS[method](pruning)
    except InfeasibleError:
        return  # no room for a slice of every layer
    found = METHODS[method](replace(pruning, live=live))
    assert effective(found.masks, live(found.masks)) >= effective(
        plain.masks, live(plain.masks)
    )
    budget = sum(mask.sum() for mask in plain.masks.values())
    assert sum(mask.sum() for mask in found.masks.values()) <= budget + 2
    for name, mask in found.masks.items():
        pe_map = PEMap.parse("output_channel", mask.shape, 2)
        loads = pe_map.cell_loads(found.schedules[name].apply(mask))
        assert np.array_equal(loads, pe_map.largest_of_group(loads)[pe_map.cell_group])


def test_weights_without_a_path_are_moved():
    """The largest scores of the second layer read what the first does not make."""
    pruning, live = question([2, 4, 2], 0.5, seed=0)
    first = np.array([[9.0, 9], [8, 8], [1, 1], [1, 1]])
    second = np.array([[1.0, 2, 9, 9], [1, 2, 9, 9]])
    pruning = replace(pruning, scores={"0": first, "2": second}, budgets="layer")
    plain = METHODS["optimal-order"](pruning)
    found = METHODS["optimal-order"](replace(pruning, live=live))
    assert effective(plain.masks, live(plain.masks)) < 8
    assert effective(found.masks, live(found.masks)) == 8


@pytest.mark.parametrize("score", ["gradient", "taylor", "rate"])
def test_runs_with_scores_and_live_paths_repeat(score, tmp_path):
    """Tickets hold what was ranked, and the magnitudes beside it; resuming repeats."""
    config = LotteryConfig(
        network="8c3-mp2-8c3-mp2-fc10",
        timesteps=2,
        epochs=2,
        train_size=100,
        sparsities=(0.6, 0.8),
        pes=4,
        rewind=1,
        score=score,
        budgets="lamp",
        live_paths=True,
    )
    once = run_lottery(config, root=tmp_path / "once")
    with pytest.raises(KeyboardInterrupt):
        run_lottery(config, root=tmp_path / "again", watcher=StopAfterOne())
    again = run_lottery(config, root=tmp_path / "again", resume=True)
    assert again.ticket().read_bytes() == once.ticket().read_bytes()
    ticket = load_ticket(once.ticket())
    assert not np.array_equal(ticket.ranking["classifier"], ticket.scores["classifier"])
    for name, weights in ticket.scores.items():
        assert ticket.ranking[name].shape == weights.shape
        kept = ticket.pruned.masks[name] & (ticket.state[f"{name}.weight"] != 0)
        stored = np.abs(ticket.state[f"{name}.weight"])
        assert np.array_equal(weights[kept], stored[kept])
    assert once.last.utilization == 1.0


def neighbouring(network):
    """What reads what, and with how many inputs for a channel."""
    return {(one.writer, one.reader, one.inner) for one in neighbours(network)}


def test_neighbours_are_layers_that_read_what_others_write():
    """Through pooling and flattening, both branches of a sum, and no grouped layer."""
    network = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.Flatten(), nn.Linear(6 * 16, 3)),
    )
    assert neighbouring(network) == {("0", "3", 1), ("3", "5", 16)}

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 4), nn.Linear(2, 4)
            self.out = nn.Linear(4, 2)

        def forward(self, x):
            return self.out(self.a(x) + self.b(x))

    assert neighbouring(Residual()) == {("a", "out", 1), ("b", "out", 1)}
    shared = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 1))
    shared[2].weight = shared[0].weight
    assert all({one[0], one[1]} <= {"0", "3"} for one in neighbouring(shared))
    grouped = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2))
    assert neighbouring(grouped) == set()


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.sampled_from([2, 4, 6, 8]), min_size=3, max_size=4),
    sparsity=st.sampled_from([0.5, 0.7, 0.85]),
    method=st.sampled_from(["optimal", "optimal-order"]),
    seed=st.integers(0, 10**6),
)
def test_pairs_keep_more_on_paths_at_the_same_loads(widths, sparsity, method, seed):
    """No less score, no fewer working weights, no more weights or slices anywhere."""
    pruning, live = question(widths, sparsity, seed)
    layers = neighbours(chain(widths))
    try:
        before = METHODS[method](replace(pruning, live=live))
    except InfeasibleError:
        return
    after = jointly(replace(pruning, live=live, neighbours=layers), before)

    def working(pruned):
        alive = live(pruned.masks)
        kept = {name: mask & alive[name] for name, mask in pruned.masks.items()}
        return kept, sum(pruning.scores[name][kept[name]].sum() for name in kept)

    (old, least), (new, score) = working(before), working(after)
    assert score >= least
    assert sum(map(np.sum, new.values())) >= sum(map(np.sum, old.values()))
    for name, mask in after.masks.items():
        pe_map, schedule = pruning.map_of(name), after.schedules[name]
        loads, former = (
            pe_map.cell_loads(schedule.apply(one)) for one in (mask, before.masks[name])
        )
        largest = pe_map.largest_of_group(loads)
        assert np.array_equal(loads, largest[pe_map.cell_group])
        assert mask.sum() <= before.masks[name].sum()
        assert largest.sum() <= pe_map.largest_of_group(former).sum()


@settings(max_examples=30, deadline=None)
@given(
    channels=st.sampled_from([2, 4, 6]),
    flat=st.booleans(),
    sparsity=st.sampled_from([0.6, 0.8, 0.9]),
    seed=st.integers(0, 10**6),
)
def test_what_the_pair_program_calls_working_is_on_a_path(
    channels, flat, sparsity, seed
):
    """Of the only two layers of a network, and what it calls idle is on none."""
    second = nn.Linear(4 * channels, 4) if flat else nn.Conv2d(channels, 4, 1)
    parts = [nn.Conv2d(2, channels, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    network = nn.Sequential(*parts, *[nn.Flatten()] * flat, second)
    (pair,) = neighbours(network)
    rng = np.random.default_rng(seed)
    problem = PairProblem(
        *(
            RetentionProblem(
                rng.random(shape),
                PEMap.output_channel(shape, pes=2),
                sparsity=sparsity,
                previous_mask=rng.random(shape) < 0.7,
            )
            for shape in (
                tuple(network.get_submodule(name).weight.shape)
                for name in (pair.writer, pair.reader)
            )
        )
    )
    for solver in ("cp-sat", "alternation"):
        solution = solve_pair(problem, solver)
        masks = {pair.writer: solution.first, pair.reader: solution.second}
        live = live_weights(network, masks, torch.zeros(1, 2, 4, 4))
        works = problem.working((solution.first, solution.second))
        for name, working in zip(masks, works, strict=True):
            assert np.array_equal(masks[name] & live[name], working)
        idle = sum(int((mask & ~live[name]).sum()) for name, mask in masks.items())
        assert solution.idle == idle


def test_a_channel_that_neither_layer_would_wake_alone_is_woken():
    """The second layer cannot read a channel without weights, nor the first feed it."""
    pruning, live = question([2, 2, 2], 0.5, seed=0)
    scores = {"0": np.array([[9.0, 8], [7, 1]]), "2": np.array([[2.0, 5], [1, 5]])}
    masks = {
        "0": np.array([[1, 1], [0, 0]], bool),
        "2": np.array([[1, 0], [1, 0]], bool),
    }
    every = {name: np.ones((2, 2), bool) for name in scores}
    asked = replace(
        pruning,
        scores=scores,
        masks=every,
        carried=every,
        live=live,
        neighbours=neighbours(chain([2, 2, 2])),
        pe_map="output_channel",
        pes=1,
    )
    stuck = Pruned(masks, masks, natural_schedules(scores, "output_channel"))
    found = jointly(asked, stuck)
    works = live(found.masks)
    assert all((mask <= works[name]).all() for name, mask in found.masks.items())
    kept = sum(scores[name][mask].sum() for name, mask in found.masks.items())
    assert kept == 9 + 7 + 2 + 5
