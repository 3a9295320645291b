"""Errors name the file and the layer they are about, each once."""

import numpy as np
import pytest

from balancer import (
    BalancerError,
    InfeasibleError,
    TicketError,
    balance_network,
    balance_ticket,
    open_ticket,
)
from balancer.errors import naming
from balancer.files.array_files import save_arrays


def test_every_culprit_is_named_once():
    """Whoever knows a file or layer says so, unless it was said before."""
    with (
        pytest.raises(TicketError) as caught,
        naming("net.npz"),
        naming("layer a"),
        naming("net.npz"),
        naming("layer a"),
    ):
        raise TicketError("no weights", about="layer a")
    assert str(caught.value) == "net.npz: layer a: no weights"
    assert caught.value.culprits == ("net.npz", "layer a")


def test_an_error_keeps_its_kind_and_its_cause():
    """Naming changes the text alone, and nothing that is no error of ours."""
    with pytest.raises(InfeasibleError) as caught, naming("layer b"):
        raise InfeasibleError("too little")
    assert str(caught.value) == "layer b: too little"
    assert str(caught.value.__cause__) == "too little"
    with pytest.raises(KeyError), naming("layer b"):
        raise KeyError("c")


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_layer_that_cannot_be_balanced_is_named_once(tmp_path, scope):
    """However deep the error arose, file and layer stand in it once."""
    path = tmp_path / "net.npz"
    weights = np.ones((4, 4), dtype=np.float32)
    weights[0, 0] = np.nan
    save_arrays(path, {"conv.weight": weights}, {})
    with pytest.raises(BalancerError, match=r"score \(0, 0\)") as caught, naming(path):
        balance_ticket(open_ticket(path), sparsity=0.5, scope=scope)
    assert str(caught.value).count("conv") == 1
    assert str(caught.value).count("net.npz") == 1
    with pytest.raises(BalancerError, match=r"^layer conv: score \(0, 0\)"):
        balance_network(open_ticket(path), sparsity=0.5, scope=scope)


def test_a_file_is_named_once(tmp_path):
    """A file that is missing or unreadable is named once, by its path."""
    for name in ("missing.npz", "text.npz", "odd.xyz"):
        path = tmp_path / name
        if name.startswith("text"):
            path.write_text("no ticket")
        with pytest.raises(TicketError) as caught, naming(path):
            open_ticket(path)
        assert str(caught.value).count(name) == 1
