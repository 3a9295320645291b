"""Tickets of a residual spiking network in a training loop of your own."""

import torch
from sklearn.datasets import load_digits
from spikingjelly.activation_based import functional, layer, neuron
from torch.utils.data import DataLoader, TensorDataset

from snn import Tickets


class Spiking(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.conv = (layer.Conv2d(i, 16, 3, padding=1) for i in (1, 16))
        self.fire, self.again = neuron.LIFNode(tau=4 / 3), neuron.LIFNode(tau=4 / 3)
        self.pool, self.head = layer.MaxPool2d(2), torch.nn.Linear(256, 10)
        functional.set_step_mode(self, "m")

    def forward(self, x):
        functional.reset_net(self)
        x = self.fire(self.stem(x.expand(4, *x.shape)))  # four time steps
        return self.head(self.pool(x + self.again(self.conv(x))).flatten(2)).mean(0)


x, y = map(torch.tensor, load_digits(return_X_y=True))
x = x.float().view(-1, 1, 8, 8) / 16
train = DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=64, shuffle=True)
torch.manual_seed(0)
net, methods = Spiking(), ["optimal-order", "lth"]
tickets = Tickets(net, example=x[1500:], method=methods, sparsities=[0.8, 0.9], pes=16)
for ticket in tickets:
    adam = torch.optim.Adam(net.parameters(), lr=0.005)
    for _ in ticket.epochs(3, adam):
        for images, labels in train:
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            adam.step()
    print(ticket.record((net(x[1500:]).argmax(1) == y[1500:]).float().mean()))
tickets.compare("lth").plot("own_loop.png")
