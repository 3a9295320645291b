"""What every process of the distributed test runs: train, evaluate, save."""

import sys
from pathlib import Path

import torch
from tiny_spiking import random_masks, tiny_data, tiny_net

from snn.training.config import TrainingConfig
from snn.training.distributed import Processes
from snn.training.trainer import Trainer


def train(processes):
    """Two epochs, with batches that do not divide evenly; masks from the main one."""
    config = TrainingConfig(epochs=2, batch_size=15, precision="float32")
    # Other weights and masks in each process: the main one's must win.
    network = tiny_net(seed=processes.rank, dropout=0.0)
    masks = processes.broadcast(random_masks(network, seed=processes.rank))
    trainer = Trainer(network, tiny_data(), config, processes)
    reports = trainer.fit(masks, seed=3)
    return {
        "weights": network.state_dict(),
        "masks": {name: torch.from_numpy(mask) for name, mask in masks.items()},
        "losses": [report.loss for report in reports],
        "accuracy": trainer.evaluate(trainer.data.test).accuracy,
        "one": trainer.evaluate(trainer.data.test.take(torch.tensor([0]))).images,
    }


if __name__ == "__main__":
    with Processes.start("cpu") as processes:
        result = train(processes) | {"rank": processes.rank, "size": processes.size}
        torch.save(result, Path(sys.argv[1]) / f"{processes.rank}.pt")
        processes.barrier()
