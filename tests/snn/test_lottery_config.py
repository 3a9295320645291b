"""Configurations say exactly what a run is, and what is wrong with them in one line."""

import pickle
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn.lottery.config import ConfigError, LotteryConfig, read_toml
from snn.lottery.methods import METHODS

# Another accepted value of every field.
OTHERS = {
    "epochs": 11,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "momentum": 0.5,
    "weight_decay": 0.0,
    "schedule": "step",
    "augment": True,
    "precision": "float32",
    "channels_last": False,
    "compile": True,
    "early_stopping": 3,
    "threads": 2,
    "tensorboard": True,
    "dataset": "mnist",
    "data_folder": "elsewhere",
    "download": True,
    "train_size": 100,
    "validation": 0.2,
    "augmentation": "none",
    "network": "vgg5",
    "timesteps": 5,
    "method": "lth",
    "rounds": 3,
    "prune_rate": 0.5,
    "sparsities": (0.5,),
    "score": "rate",
    "budgets": "layer",
    "live_paths": False,
    "revive": False,
    "growth": "gradient",
    "balance_from": 0.5,
    "allow_empty": True,
    "latency_budget": 0.5,
    "rewind": 2,
    "search_timesteps": 2,
    "early_time_threshold": 0.1,
    "map": "banked",
    "pes": 8,
    "accelerator": "sata",
    "record_images": 2,
    "seed": 1,
}
WHERE_AND_HOW = ("data_folder", "download", "tensorboard")
BASE = {"method": "optimal", "revive": True}  # takes all maps and ways to grow


def test_every_field_has_a_description():
    """The command line's help is made of them."""
    for name, field in LotteryConfig.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("name", LotteryConfig.model_fields)
def test_the_digest_is_that_of_the_result(name):
    """It differs if and only if a field does that can change the result."""
    before = LotteryConfig.of(BASE)
    after = LotteryConfig.of(BASE | {name: OTHERS[name]})
    assert getattr(after, name) != getattr(before, name)
    assert (after.digest() == before.digest()) == (name in WHERE_AND_HOW)


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_those_of_the_method(method):
    """Ours rank by gradients along live paths, others as published; words win."""
    ours = method in ("optimal", "optimal-order", "latency")
    config = LotteryConfig.of({"method": method})
    assert (config.score, config.live_paths) == (
        ("gradient", True) if ours else ("magnitude", False)
    )
    by_lamp = ours and method != "latency"  # whose program shares them itself
    assert config.budgets == ("lamp" if by_lamp else "global")
    said = {"method": method, "score": "rate", "live_paths": not ours}
    assert LotteryConfig.of(said).score == "rate"
    assert LotteryConfig.of(said).live_paths is not ours
    # What was said is still told from what was not, in another process, too.
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert again.model_fields_set == config.model_fields_set == {"method"}
    assert config.digest() == LotteryConfig.of(config.model_dump()).digest()


@given(st.integers(0, 20), st.floats(0.01, 0.99))
def test_a_schedule_that_decides_nothing_is_not_in_the_digest(rounds, prune_rate):
    """Where sparsities are given, rounds and the rate of pruning change no result."""
    given = {"sparsities": (0.5, 0.8)}
    other = given | {"rounds": rounds, "prune_rate": prune_rate}
    before, after = LotteryConfig.of(given), LotteryConfig.of(other)
    assert after.schedule_of_sparsity == before.schedule_of_sparsity
    assert after.digest() == before.digest()


def test_digests_are_short_and_repeatable():
    """Eight characters, the same for equal configurations, others for stand-ins."""
    digest = LotteryConfig.of({}).digest()
    assert len(digest) == 8
    assert digest == LotteryConfig().digest()
    assert digest != LotteryConfig().digest("a network of the caller")


def test_files_are_read(tmp_path):
    """A TOML file gives the same configuration as the fields do."""
    path = tmp_path / "run.toml"
    path.write_text(
        'dataset = "mnist"\nmethod = "lth"\nsparsities = [0.5, 0.9]\n'
        'epochs = 20\nrewind = 0.25\nsearch_timesteps = "auto"\ndata_folder = "data"\n'
    )
    config = LotteryConfig.of(read_toml(path))
    assert config.dataset == "mnist"
    assert config.schedule_of_sparsity == (0.0, 0.5, 0.9)
    assert config.rewind_epoch == 5
    assert config.search_timesteps == "auto"
    assert config.data_folder == Path("data")


@pytest.mark.parametrize(
    "content", ["epochs = ", "[[", "a = 1\na = 2", "a = " + "[" * 3000]
)
def test_no_toml(tmp_path, content):
    """What is no TOML is an error that names the file."""
    path = tmp_path / "run.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"run\.toml: no TOML") as error:
        read_toml(path)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    """A missing file is named."""
    with pytest.raises(ConfigError, match=r"run\.toml: No such file"):
        read_toml(tmp_path / "run.toml")


def test_a_file_that_is_no_text(tmp_path):
    """Bytes that are no UTF-8 are no TOML."""
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"run\.toml: no TOML"):
        read_toml(tmp_path / "run.toml")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epoch": 3}, "no field is named 'epoch'; accepted: epochs, "),
        ({"epochs": 0}, "epochs is 0: "),
        ({"epochs": "many"}, "epochs is 'many': "),
        ({"prune_rate": 1.0}, "prune_rate is 1.0: "),
        ({"learning_rate": float("nan")}, "learning_rate is nan: "),
        ({"sparsities": []}, "sparsities is .*must rise"),
        ({"sparsities": [0.5, 0.4]}, "sparsities is .*must rise"),
        ({"sparsities": [0.0, 0.4]}, "sparsities is .*above 0"),
        ({"sparsities": [0.5, 1.0]}, "sparsities is .*below 1"),
        ({"sparsities": [float("nan")]}, r"sparsities\.0 is nan: "),
        ({"budgets": "both"}, "budgets is 'both': "),
        ({"method": "magic"}, "`method` is 'magic'; accepted: latency, lth, "),
        ({"map": "diagonal"}, "diagonal"),
        ({"map": "banked"}, "cannot order .* PE map banked; use 'optimal'"),
        ({"epochs": 10, "rewind": 10}, "rewind is 10, but training has 10 epochs"),
        ({"epochs": 10, "rewind": 0.99}, "rewind is 0.99, but training has 10 epochs"),
        (
            {"epochs": 20, "rewind": 7, "early_stopping": 5},
            "early_stopping is 5, which may stop before epoch 7",
        ),
        ({"search_timesteps": 5}, "search_timesteps is 5; accepted: 1 to 4"),
        ({"search_timesteps": 0}, "search_timesteps is 0; accepted: 1 to 4"),
        ({"search_timesteps": "auto", "validation": 0}, "needs validation images"),
        ({"seed": -1, "pes": 0}, "pes is 0: .*; seed is -1: "),
    ],
)
def test_errors_take_one_line(fields, said):
    """They say what was given, and what is accepted."""
    with pytest.raises(ConfigError, match=said) as error:
        LotteryConfig.of(fields)
    assert "\n" not in str(error.value)


@given(st.integers(0, 30), st.floats(0.01, 0.99))
def test_a_rate_makes_a_schedule(rounds, rate):
    """Every round prunes the same share of what is left."""
    sparsities = LotteryConfig(rounds=rounds, prune_rate=rate).schedule_of_sparsity
    assert len(sparsities) == rounds + 1
    assert sparsities[0] == 0
    for former, later in pairwise(sparsities):
        assert former <= later <= 1
        assert 1 - later == pytest.approx((1 - former) * (1 - rate), abs=1e-12)


@pytest.mark.parametrize(
    ("rewind", "epoch"),
    [(0, 0), (0.1, 2), (0.24, 5), (0.5, 10), (0.96, 19), (1, 1), (1.0, 1), (19, 19)],
)
def test_rewinding_takes_fractions_and_epochs(rewind, epoch):
    """Below 1 it is a fraction of the epochs, to the nearest; else an epoch."""
    assert LotteryConfig(epochs=20, rewind=rewind).rewind_epoch == epoch


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_configured(method):
    """The default map is one that all methods take; the description names them all."""
    assert LotteryConfig.of({"method": method}).method == method
    assert method in LotteryConfig.model_fields["method"].description
