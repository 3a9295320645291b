"""Sweeps with training: a lottery run for each row."""

import re

import pytest

from balancer import BalancerError
from hwmodel import SweepPlan, sweep
from snn import LotteryConfig, LotteryTrainer

TRAINING = {
    "network": "4c3-mp2-fc10",
    "train_size": 64,
    "timesteps": 1,
    "epochs": 1,
    "rewind": 0,
    "rounds": 2,
}


def config(**fields):
    """The configuration of a single point."""
    training = TRAINING | fields.pop("training", {})
    plan = SweepPlan.of(fields | {"training": training}, LotteryTrainer())
    return LotteryTrainer().config(plan.points[0])


def test_settings_are_those_of_a_lottery_run():
    """Array, method, order, seed and sparsity are fields of the configuration."""
    made = config(
        map="grid:2x4", method="optimal", order="optimized", seed=3, sparsity=0.75
    )
    assert made == LotteryConfig(
        **TRAINING,
        map="grid:2x4",
        pes=8,
        method="optimal-order",
        seed=3,
        sparsities=(0.5, 0.75),
    )
    assert config(method="lth", order="sorted").method == "lth-sorted"
    assert config(method="optimal-order").method == "optimal-order"
    assert config(accelerator="eie", method="lth").map == "interleaved"


BAD = {
    "no field is named 'epoch'": {"training": {"epoch": 1}},
    "`training.pes` is what `pes` says": {"training": {"pes": 8}},
    "`training.sparsities` is what `sparsity` says": {
        "training": {"sparsities": [[0.5]]}
    },
    "`method` is 'best'": {"method": "best"},
    "`order` is 'optimized' with method 'lth'": {"method": "lth", "order": "optimized"},
    "`layers` does not go with `training`": {"layers": "*"},
    "in their tickets": {"masks": True},
    "with `training` layers depend on each other": {"by_layer": True},
    "epochs": {"training": {"rewind": 5}},
}


@pytest.mark.parametrize("said", BAD)
def test_bad_settings_are_refused_before_anything_is_trained(said):
    """One line says what is wrong."""
    fields = dict(BAD[said])
    training = TRAINING | fields.pop("training", {})
    with pytest.raises(BalancerError, match=re.escape(said)) as caught:
        SweepPlan.of(fields | {"training": training}, LotteryTrainer())
    assert "\n" not in str(caught.value)


def test_a_row_is_the_last_round(tmp_path):
    """Accuracy, non-zeros, utilization and cycles are those of `run_lottery`."""
    pytest.importorskip("torch")
    from snn import run_lottery

    plan = SweepPlan.of(
        {
            "training": TRAINING,
            "method": ["lth", "optimal"],
            "pes": 4,
            "sparsity": 0.75,
            "accelerator": ["u-ticket", "loas"],
        },
        LotteryTrainer(),
    )
    assert len(plan.groups()) == 2
    rows = sweep(plan, out=tmp_path / "sweep", workers=0).rows
    for row, point in zip(rows, plan.points, strict=True):
        made = LotteryTrainer().config(point)
        last = run_lottery(made, root=tmp_path / "alone", resume=True).last
        assert (row["accuracy"], row["nonzeros"]) == (last.accuracy, last.nonzeros)
        assert row["utilization"] == pytest.approx(last.utilization)
        if row["accelerator"] == "u-ticket":
            assert row["cycles"] == pytest.approx(last.cycles)
            assert row["energy"] == pytest.approx(last.energy)
    folders = [path for path in (tmp_path / "sweep").iterdir() if path.is_dir()]
    assert {folder.name for folder in folders} == {row["run"] for row in rows}


def test_budgets_of_cycles_are_those_of_the_accelerator(tmp_path):
    """Masks that depend on the accelerator are trained for each, as it was changed."""
    pytest.importorskip("torch")
    plan = SweepPlan.of(
        {
            "training": TRAINING,
            "method": "latency",
            "latency_budget": 0.7,
            "pes": 4,
            "sparsity": 0.5,
            "accelerator": "u-ticket",
            "description": {"frequency_hz": [1e8, 2e8]},
        },
        LotteryTrainer(),
    )
    slow, fast = sweep(plan, out=tmp_path, workers=0).rows
    assert (slow["state"], fast["state"]) == ("done", "done")
    assert slow["run"] != fast["run"]
    assert slow["latency_s"] == pytest.approx(2 * fast["latency_s"])
