"""A loop of one's own with two optimizers, which a test kills: `test_tickets`.

Arguments: the folder, the optimizer, and where processes are killed, one after the
other: ``ROUND.EPOCH`` after an epoch of the first method, ``METHOD-ROUND`` between two
rounds. The last process comes to the end.
"""

import os
import random
import signal
import sys

import numpy as np
import torch
import torch._dynamo  # with these, processes that are forked need not load them
from ortools.sat.python import cp_model  # noqa: F401
from spikingjelly.activation_based.functional import reset_net
from tiny_spiking import tiny_data, tiny_net
from torch import nn

from snn import Tickets

EPOCHS, REWIND = 3, 1


def train(network, ticket, data, optimizer, kill):
    """Dropout and noise of NumPy and Python: every kind of random number is drawn."""
    if optimizer == "sgd":
        steps = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    else:
        steps = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(steps, 1, gamma=0.5)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(data.train.images, data.train.labels),
        batch_size=16,
        shuffle=True,
    )
    network.train()
    for epoch in ticket.epochs(EPOCHS, steps, schedule, rewind=REWIND):
        for x, y in loader:
            noise = 0.1 * np.random.rand() + 0.1 * random.random()  # noqa: NPY002
            steps.zero_grad()
            logits = network(x + noise).mean(0)
            nn.functional.cross_entropy(logits, y).backward()
            steps.step()
            reset_net(network)
        schedule.step()
        if kill == f"{ticket.round}.{epoch}":
            os.kill(os.getpid(), signal.SIGKILL)


def test(network, data):
    """Accuracy on the test images."""
    network.eval()
    with torch.no_grad():
        hits = network(data.test.images).mean(0).argmax(1) == data.test.labels
    return hits.float().mean()


def main(folder, optimizer="sgd", kill=""):
    """Run the loop."""
    torch.set_num_threads(1)
    network, data = tiny_net(), tiny_data()
    tickets = Tickets(
        network,
        example=data.test.images,
        method=["optimal", "lth"],
        sparsities=[0.5, 0.8],
        pes=4,
        root=folder,
        settings={"optimizer": optimizer},
        checkpoint_seconds=0,
    )
    for ticket in tickets:
        if kill == f"{ticket.method}-{ticket.round}":
            os.kill(os.getpid(), signal.SIGKILL)
        train(
            network, ticket, data, optimizer, kill if ticket.method == "optimal" else ""
        )
        ticket.record(test(network, data))
    return tickets


if __name__ == "__main__":
    folder, optimizer, *kills = sys.argv[1:]
    for kill in (*kills, ""):
        # Forked: a process of its own that need not load torch again.
        child = os.fork()
        if not child:
            main(folder, optimizer, kill)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == (-signal.SIGKILL if kill else 0), (kill, status)
