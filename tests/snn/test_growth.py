"""Growth by gradient: in a run, pruned weights return where gradients are large."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from snn import LotteryConfig, Watcher, load_network, run_lottery  # noqa: E402
from snn.lottery import rounds  # noqa: E402
from snn.lottery.configured import configured_data  # noqa: E402
from snn.lottery.pruner import round_seed  # noqa: E402
from snn.lottery.round_tickets import load_ticket  # noqa: E402
from snn.training.gradients import gradient_moments  # noqa: E402
from snn.training.trainer import Trainer  # noqa: E402

FIELDS = {
    "network": "8c3-mp2-12c3-mp2-fc10",
    "timesteps": 2,
    "epochs": 2,
    "rewind": 1,
    "train_size": 100,
    "sparsities": (0.6, 0.6),
    "budgets": "layer",
    "pes": 4,
    "revive": True,
    "growth": "gradient",
}


def config(**fields):
    return LotteryConfig.of(FIELDS | fields)


def test_weights_with_large_gradients_return(tmp_path):
    """Kept scores stay; what returns has larger gradients than what does not."""
    settings = config(method="lth")
    result = run_lottery(settings, root=tmp_path)
    first, second = (load_ticket(result.ticket(number)) for number in (1, 2))
    network = load_network(result.ticket(1))
    trainer = Trainer(network, configured_data(settings), settings)
    moments = gradient_moments(trainer, seed=round_seed(settings.seed, 1), timesteps=2)
    counts = []
    for name, kept in first.pruned.masks.items():
        sizes = moments[name].root_mean_square
        returned = second.pruned.masks[name] & ~kept
        away = ~second.pruned.masks[name] & ~kept
        assert np.array_equal(first.ranking[name][kept], first.scores[name][kept])
        assert not np.array_equal(first.ranking[name], first.scores[name])
        counts.append(np.count_nonzero(returned))
        if counts[-1]:
            assert sizes[returned].min() >= sizes[away].max()
    assert sum(counts) > 0


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({"score": "magnitude"}, 1),
        ({"score": "gradient"}, 1),
        ({"score": "taylor"}, 1),
        ({"score": "magnitude", "growth": "magnitude"}, 0),
    ],
)
def test_one_pass_serves_scores_and_growth(tmp_path, monkeypatch, fields, passes):
    """Gradients are measured once a round, whoever needs them, or never."""
    taken = []

    def counted(*args, **options):
        taken.append(options["seed"])
        return gradient_moments(*args, **options)

    monkeypatch.setattr(rounds, "gradient_moments", counted)
    result = run_lottery(config(**fields, sparsities=(0.5,)), root=tmp_path)
    assert len(taken) == len(set(taken)) == passes * len(result.outcomes)


class Stop(Watcher):
    """Interrupts a run at the first epoch that it has not done yet."""

    def epoch(self, number, report):
        raise KeyboardInterrupt


def test_resumed_after_every_epoch_it_ends_the_same(tmp_path):
    """Growth depends on nothing that a checkpoint or a ticket does not hold."""
    settings = config(method="optimal", score="gradient")
    straight = run_lottery(settings, root=tmp_path / "straight")
    options = {"root": tmp_path / "stopped", "resume": True, "checkpoint_seconds": 0}
    for _ in range(2 + 1 + 1):
        with pytest.raises(KeyboardInterrupt):
            run_lottery(settings, watcher=Stop(), **options)
    resumed = run_lottery(settings, **options)
    for number in range(3):
        ours, theirs = resumed.ticket(number), straight.ticket(number)
        assert ours.read_bytes() == theirs.read_bytes()
