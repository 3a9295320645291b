"""The residual network of 19 layers."""

from __future__ import annotations

import torch
from spikingjelly.activation_based import layer
from torch import nn

from snn.networks.neurons import lif

# Channels, blocks, and stride of the first block of each stage.
_STAGES = ((128, 3, 1), (256, 3, 2), (512, 2, 2))
_HIDDEN = 256


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, whose sum drives the second neurons.

    Parameters
    ----------
    inputs, outputs : int
        Channels. The shortcut is a 1 x 1 convolution where they or the sizes differ.
    stride : int
        Of the first convolution and the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = layer.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = layer.BatchNorm2d(outputs)
        self.neuron1 = lif()
        self.conv2 = layer.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = layer.BatchNorm2d(outputs)
        self.neuron2 = lif()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                layer.Conv2d(inputs, outputs, 1, stride, bias=False),
                layer.BatchNorm2d(outputs),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes [T, N, C, H, W] of the inputs to those of the outputs."""
        y = self.neuron1(self.norm1(self.conv1(x)))
        return self.neuron2(self.norm2(self.conv2(y)) + self.shortcut(x))


def resnet19_features(channels: int) -> tuple[list[nn.Module], int]:
    """Layers of ResNet-19 in front of its classifier.

    A convolution, eight blocks in three stages, and a linear layer with neurons, which
    with the classifier are the 19 layers of Zheng et al. 2021 (arXiv:2011.05280).

    Parameters
    ----------
    channels : int
        Of the input.

    Returns
    -------
    list of Module
        In the order in which they run.
    int
        Features that the classifier reads.
    """
    width = _STAGES[0][0]
    modules: list[nn.Module] = [
        layer.Conv2d(channels, width, 3, padding=1, bias=False),
        layer.BatchNorm2d(width),
        lif(),
    ]
    for outputs, blocks, stride in _STAGES:
        for block in range(blocks):
            modules.append(ResidualBlock(width, outputs, stride if block == 0 else 1))
            width = outputs
    modules += [
        layer.AdaptiveAvgPool2d(1),
        layer.Flatten(),
        layer.Linear(width, _HIDDEN, bias=False),
        lif(),
    ]
    return modules, _HIDDEN
