"""The data and the network that a configuration names."""

from __future__ import annotations

import torch
from torch import nn

from snn.data.image_data import ImageData
from snn.data.load import load_data
from snn.lottery.config import LotteryConfig
from snn.networks.models import build_network


def configured_data(config: LotteryConfig) -> ImageData:
    """Load the data of a run, divided as its seed says; raises as `load_data` does."""
    return load_data(
        config.dataset,
        folder=config.data_folder,
        download=config.download,
        train_size=config.train_size,
        validation=config.validation,
        seed=config.seed,
        timesteps=config.timesteps,
        augmentation=config.augmentation,
    )


def configured_network(config: LotteryConfig, data: ImageData) -> nn.Module:
    """Build the network of a run with the initial weights of its seed.

    Raises
    ------
    ModelError
        An unknown network, or images too small for it.
    """
    torch.manual_seed(config.seed)
    return build_network(
        config.network, data.input_shape, data.classes, config.timesteps
    )
