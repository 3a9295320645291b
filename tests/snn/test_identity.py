"""What is given to a run is told apart by what it is, in every process alike."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from functools import partial  # noqa: E402

from torch import nn  # noqa: E402

from snn.lottery.identity import StandIns  # noqa: E402

ROOT = Path(__file__).parents[2]


class Own(nn.Module):
    """A network with any setting."""

    def __init__(self, **settings):
        super().__init__()
        vars(self).update(settings)
        self.fc = nn.Linear(2, 2)
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    def forward(self, x):
        return self.fc(x) if "name" in {"name", "other", "third", "fourth"} else x


SETTINGS = [
    *({}, {"a": 1}, {"a": 1.0}, {"a": "x"}, {"a": None}, {"b": 1}),
    *({"a": np.zeros(2)}, {"a": np.ones(2)}, {"a": np.ones((1, 2))}),
    *({"a": torch.zeros(1)}, {"a": torch.ones(1)}, {"a": {1, 2}}, {"a": {1, 3}}),
    *({"a": [1, (2, {"k": 3})]}, {"a": [1, (2, {"k": 4})]}, {"a": Own}, {"a": object}),
    *({"a": torch.relu}, {"a": torch.tanh}),
    *({"a": lambda x: x}, {"a": lambda x: x + 1}, {"a": lambda x, y=1: x}),
]


def fingerprint(settings):
    return StandIns.of(Own(**settings), None).fingerprint


def test_every_setting_makes_another_network():
    """Numbers, arrays, functions and what they are nested in; the same is the same."""
    prints = [fingerprint(settings) for settings in SETTINGS]
    assert len(set(prints)) == len(prints)
    assert prints == [fingerprint(settings) for settings in SETTINGS]
    assert fingerprint({"timesteps": 3}) == fingerprint({})  # a run sets them


def test_nothing_given_changes_nothing():
    """Without stand-ins the digest is that of the configuration alone."""
    assert StandIns.of(None, None) == StandIns()


def test_shared_weights_are_another_network_than_equal_ones():
    """They would be trained differently."""
    networks = [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2)]
    for parameter in (p for network in networks for p in network.parameters()):
        nn.init.ones_(parameter)
    networks[1][1].weight = networks[1][0].weight
    prints = {StandIns.of(network, None).fingerprint for network in networks}
    assert len(prints) == 2


def scaled(factor=1.0):
    def score(trained):
        return {n: factor * array for n, array in trained.magnitudes.items()}

    return score


def endless(trained):
    return endless(trained)


class Power:
    """A score with a setting, and a method that another one calls."""

    def __init__(self, exponent):
        self.exponent = exponent

    def __call__(self, trained):
        return self.again(trained)

    def again(self, trained):
        return {n: array**self.exponent for n, array in trained.magnitudes.items()}


SCORES = [
    *(scaled(), scaled(2.0), partial(scaled(), 1), partial(scaled(), 2)),
    *(Power(1), Power(2), Power(1).again, Power(2).again, endless),
    *(lambda trained: {}, lambda trained, k=1: {}, lambda trained, *, k=1: {}),
    *(lambda trained, *, k=2: {}, lambda trained: {"a": 1}),
]


def score_print(score):
    return StandIns.of(None, None, score).fingerprint


def test_every_score_is_told_apart():
    """By its code, defaults, closure and settings; the same is the same."""
    prints = [score_print(score) for score in SCORES]
    assert len(set(prints)) == len(prints)
    assert prints == [score_print(score) for score in SCORES]
    assert score_print(scaled(2.0)) == score_print(scaled(2.0))
    assert score_print(None) == ""


def test_what_a_score_uses_is_a_part_of_it():
    """Variables and functions beside it, but nothing that it does not name."""

    def written(constant, helper, other=0):
        space = {"__name__": "theirs"}
        exec(
            f"CONSTANT, OTHER = {constant}, {other}\n"
            f"def helper(x): return x * {helper}\n"
            "def score(t): return {n: helper(a) + CONSTANT for n, a in t.items()}",
            space,
        )
        return score_print(space["score"])

    assert written(1, 2) == written(1, 2, other=5)
    assert len({written(1, 2), written(2, 2), written(1, 3)}) == 3


def test_other_processes_know_the_network_again():
    """Hashes of texts differ from process to process, fingerprints do not."""
    code = (
        "from test_identity import *\n"
        "print(fingerprint({}), [score_print(score) for score in SCORES])"
    )
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
