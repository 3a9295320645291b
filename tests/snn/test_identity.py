"""What is given to a run is told apart by what it is, in every process alike."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

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


def test_other_processes_know_the_network_again():
    """Hashes of texts differ from process to process, fingerprints do not."""
    code = "from test_identity import Own, fingerprint; print(fingerprint({}))"
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
