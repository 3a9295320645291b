"""Early-Time tickets: search with fewer time steps than the network will run.

After Y. Kim et al., "Exploring Lottery Ticket Hypothesis in Spiking Neural Networks",
arXiv 2207.01382: where the prediction after few steps is close to that of all, masks
are found with few steps, and only the last round trains with all of them.
"""

from __future__ import annotations

import torch


def divergences(logits: torch.Tensor) -> torch.Tensor:
    r"""Measure how far the prediction after each step is from the last one.

    With :math:`p_t` the class probabilities of the mean logits of the first t steps,

    .. math:: D_t = \frac{1}{N} \sum_n KL(p_{T,n} \| p_{t,n}), \qquad d_t = D_t / D_1 .

    Parameters
    ----------
    logits : Tensor of float [T, N, classes]
        Class scores of every time step.

    Returns
    -------
    Tensor of float64 [T]
        Relative to one step, so from 1 to 0; all 0 if one step predicts like all.
    """
    steps = torch.arange(1, len(logits) + 1, dtype=torch.float64)
    means = logits.double().cumsum(0) / steps[:, None, None]
    log_p = means.log_softmax(-1)
    distance = (log_p[-1].exp() * (log_p[-1] - log_p)).sum(-1).mean(-1)
    return distance / distance[0] if distance[0] > 0 else torch.zeros_like(distance)


def early_timesteps(logits: torch.Tensor, threshold: float) -> int:
    """Return the least number of steps whose divergence is at most the threshold."""
    return int((divergences(logits) <= threshold).nonzero()[0]) + 1
