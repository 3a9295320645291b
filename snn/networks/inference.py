"""Running a network to look at it, without a trace left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from spikingjelly.activation_based import functional
from torch import nn


@contextmanager
def inference(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode, without gradients and neurons' states.

    On leaving, every module is in the mode in which it was, and states are reset
    again. A network may mix modes, as with frozen normalizations.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    functional.reset_net(network)
    try:
        with torch.no_grad():
            yield
    finally:
        functional.reset_net(network)
        for module, training in modes.items():
            module.training = training
