"""Prune by a score of your own: in a lottery run, and in a loop of your own."""

import torch
from torch.nn.functional import cross_entropy

from balancer import balance_ticket
from snn import (
    LotteryConfig,
    Standardization,
    Trained,
    load_data,
    load_network,
    run_lottery,
    score_of,
)


def busy_gradient(trained: Trained) -> dict:
    """Root Fisher information, more of it where the input spikes often."""
    moments, scores = trained.gradients(), {}
    for name, magnitude in trained.magnitudes.items():
        rates = trained.rates.get(name)  # [time steps, input channels] of spikes
        mean = 1.0 if rates is None else float(rates.mean())
        scores[name] = magnitude * moments[name].root_mean_square * (1 + mean)
    return scores


config = LotteryConfig(sparsities=(0.5, 0.8), epochs=1, timesteps=2, train_size=200)
result = run_lottery(config, score=busy_gradient, resume=True)
ticket = result.ticket()

# The same score outside of a run: any network, any batches, any loss.
data = load_data("digits")
images = Standardization(data.mean, data.std)(data.train.images[:256])
batches = list(zip(images.split(32), data.train.labels[:256].split(32), strict=True))


def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over time steps and images."""
    return cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))


scores = score_of(load_network(ticket), batches, loss, busy_gradient)
report = balance_ticket(ticket, scores=scores, sparsity=0.9, budgets="lamp")
print(report)
print(f"ranked by {report.ranked_by}: {report.solution.budget:,} weights are left")
