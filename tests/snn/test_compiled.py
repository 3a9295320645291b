"""A function is compiled when that pays, and nobody can tell from its results."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from snn.networks import neurons  # noqa: E402
from snn.networks.compiled import CompiledOnce  # noqa: E402
from snn.networks.models import build_network  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compiler():
    """torch's compiler for the CPU, which needs another one for C++."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2))
    except Exception as error:
        pytest.skip(f"torch.compile does not work here: {str(error).splitlines()[:1]}")


def doubled(x):
    return x * 2, x + x


def known_to_be_compiled(x):
    return x + 1 if torch.compiler.is_compiling() else x


def zero_whose_sign_differs(x):
    return -x if torch.compiler.is_compiling() else x


def reads_a_file(x):
    raise OSError("no such file")


def said(caplog):
    name = "snn.networks.compiled"
    ours = [one.getMessage() for one in caplog.records if one.name == name]
    return [message.split(".")[-1] for message in ours]


def test_it_is_compiled_once_it_has_seen_enough(compiler, caplog):
    """Calls of other lengths, or of tensors with gaps, are counted apart."""
    caplog.set_level(logging.INFO, "snn.networks.compiled")
    function = CompiledOnce(doubled, worth=12)
    flat, long = torch.arange(6.0).view(2, 3), torch.arange(9.0).view(3, 3)
    for given in (flat, long, flat.t().contiguous().t()):
        function(given)
    assert said(caplog) == []
    for _ in range(3):
        twice, added = function(flat)
        assert torch.equal(twice, flat * 2)
        assert torch.equal(added, flat * 2)
    assert said(caplog) == ["doubled is compiled"]
    function(long)
    assert said(caplog) == ["doubled is compiled"] * 2


@pytest.mark.parametrize("function", [known_to_be_compiled, zero_whose_sign_differs])
def test_a_function_that_would_differ_stays(compiler, caplog, function):
    """Where the compiled function returns other bits, it is not used, and not tried."""
    caplog.set_level(logging.INFO, "snn.networks.compiled")
    one = CompiledOnce(function, worth=1)
    for _ in range(3):
        assert torch.equal(one(torch.zeros(3)), torch.zeros(3))
        assert not torch.signbit(one(torch.zeros(3))).any()
    assert said(caplog) == [
        f"{function.__name__} is not compiled: the results would differ"
    ]


def test_not_a_number_is_equal_to_itself(compiler, caplog):
    """A result that is no number does not keep a function from being compiled."""
    caplog.set_level(logging.INFO, "snn.networks.compiled")
    CompiledOnce(doubled, worth=1)(torch.tensor([float("nan"), 1.0]))
    assert said(caplog) == ["doubled is compiled"]


WITHOUT_COMPILER = """
import logging, torch
from snn.networks.neurons import CompiledOnce
logging.basicConfig(format="%(message)s")
logging.getLogger("snn").setLevel(logging.INFO)
function = CompiledOnce(torch.abs, worth=1)
for _ in range(3):
    assert torch.equal(function(-torch.ones(5)), torch.ones(5))
"""


def test_without_a_compiler_it_stays_and_says_why(tmp_path):
    """A compiler that is not there costs one line in the log, once."""
    env = {**os.environ, "CXX": "no-such-compiler"}
    env |= {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITHOUT_COMPILER]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if "compiled" in line]
    assert len(lines) == 1, ran.stderr
    assert "abs is not compiled: " in lines[0]


def test_errors_of_the_function_are_its_own():
    """What a function raises is raised, compiled or not."""
    with pytest.raises(OSError, match="no such file"):
        CompiledOnce(reads_a_file, worth=1)(torch.ones(1))


def test_training_does_not_depend_on_when_it_switches(compiler, monkeypatch):
    """Weights after some steps are the same bits, whenever neurons are compiled."""

    def trained(worth):
        steps = [CompiledOnce(f, worth) for f in (neurons._forward, neurons._backward)]
        monkeypatch.setattr(neurons, "_FORWARD", steps[0])
        monkeypatch.setattr(neurons, "_BACKWARD", steps[1])
        torch.manual_seed(0)
        network = build_network("6c3-mp2-5c3-fc10", (1, 8, 8), classes=10, timesteps=3)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9)
        for step in range(6):
            images = torch.rand(9 - (step == 5), 1, 8, 8)  # the last batch is smaller
            optimizer.zero_grad()
            network(images).mean(0).square().mean().backward()
            optimizer.step()
        return network.state_dict(), [len(one._compiled) for one in steps]

    never, at_once, on_the_way = trained(10**9), trained(1), trained(7_000)
    assert never[1] == [0, 0]
    assert all(at_once[1])
    assert all(on_the_way[1])
    for name, tensor in never[0].items():
        assert torch.equal(tensor, at_once[0][name]), name
        assert torch.equal(tensor, on_the_way[0][name]), name
