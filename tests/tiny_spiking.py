"""A small spiking network and images that it can learn, for the tests of training."""

import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import nn

from snn.data.image_data import ImageData, Split


def lif():
    return neuron.LIFNode(
        tau=4 / 3,
        v_threshold=1.0,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="m",
    )


class TinyNet(nn.Module):
    """Direct encoding, normalization in single and multi-step mode, dropout."""

    def __init__(self, dropout=0.2):
        super().__init__()
        self.timesteps = 2
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.body = nn.Sequential(
            lif(),
            layer.Conv2d(6, 8, 3, padding=1, bias=False, step_mode="m"),
            layer.BatchNorm2d(8, step_mode="m"),
            lif(),
            layer.Flatten(step_mode="m"),
            layer.Dropout(dropout, step_mode="m"),
        )
        self.head = nn.Linear(8 * 6 * 6, 3)

    def forward(self, x):
        x = self.stem(x)
        x = x.unsqueeze(0).expand(self.timesteps, *x.shape)
        return self.head(self.body(x))


def tiny_net(seed=0, dropout=0.2):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return TinyNet(dropout)


def tiny_data(train=70, validation=21):
    """Images [1, 6, 6] of three classes: noise, and a bright row that tells them."""
    generator = torch.Generator().manual_seed(0)

    def split(images):
        labels = torch.randint(0, 3, (images,), generator=generator)
        noise = torch.rand(images, 1, 6, 6, generator=generator)
        noise[torch.arange(images), 0, 2 * labels] += 1
        return Split(noise, labels)

    return ImageData(
        name="rows",
        train=split(train),
        validation=split(validation),
        test=split(30),
        classes=3,
        mean=torch.tensor([0.6]),
        std=torch.tensor([0.4]),
        augmentation="none",
    )


def random_masks(network, kept=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand(module.weight.shape, generator=generator) < kept).numpy()
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
