"""Batch normalization by the statistics of the global batch, over all processes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from snn.training.distributed import Processes


def global_norm(processes: Processes) -> AbstractContextManager[Any]:
    """Make batch normalization in the block use the images of all processes.

    Calls of `torch.nn.functional.batch_norm` are replaced, so every module that
    normalizes by it takes part, in single and multi-step mode, under its own names:
    torch's SyncBatchNorm replaces modules and works on GPUs only. One process keeps
    torch's function.
    """
    return _GlobalNorm() if processes.size > 1 else nullcontext()


class _GlobalNorm(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class _Normalize(torch.autograd.Function):
    r"""Normalize by the global moments, which depend on the images of all processes.

    With :math:`\hat x = (x - \mu) / \sigma`, the gradient is :math:`w / \sigma`
    times :math:`\dot y - \overline{\dot y} - \hat x \, \overline{\dot y \hat x}`,
    where means are over the global batch (Ioffe and Szegedy, arXiv:1502.03167).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        moments: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        eps: float,
    ) -> torch.Tensor:
        mean, variance, count = moments
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), count)
        return functional.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (gradient,) = gradients
        x, weight, mean, inverse, count = ctx.saved_tensors
        axes, shape = _axes_and_shape(x)

        def of_channel(values: torch.Tensor) -> torch.Tensor:
            return values.view(shape)

        # In place: large new tensors cost more than the arithmetic.
        normalized = (x - of_channel(mean)).mul_(of_channel(inverse))
        of_bias = gradient.sum(axes)
        of_weight = (gradient * normalized).sum(axes)
        means = torch.stack([of_bias, of_weight])
        dist.all_reduce(means)
        mean_gradient, mean_product = means / count
        # `normalized` is not needed any more: it becomes the gradient.
        of_x = normalized.mul_(of_channel(-mean_product)).add_(gradient)
        of_x.sub_(of_channel(mean_gradient)).mul_(of_channel(weight * inverse))
        # Those of weight and bias are summed with all other gradients.
        return of_x, of_weight, of_bias, None, None


def _batch_norm(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    """Do what `functional.batch_norm` does; parameters are named as there."""
    if not training:
        return functional.batch_norm(
            input, running_mean, running_var, weight, bias, False, momentum, eps
        )
    x = input.float()
    mean, variance, count = moments = _global_moments(x.detach())
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
    weight = torch.ones_like(mean) if weight is None else weight
    bias = torch.zeros_like(mean) if bias is None else bias
    normalized: torch.Tensor = _Normalize.apply(x, weight, bias, moments, eps)
    return normalized.to(input.dtype)


def _global_moments(
    x: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean and variance of every channel, and how many values they are of.

    The variance of all values is the mean of those of the processes and of their
    means' squared distances to the mean of all, by the values of each process. A
    difference of sums of squares would lose digits.
    """
    axes, shape = _axes_and_shape(x)
    own_mean = x.mean(axes)
    # `torch.var_mean` takes ten times as long on CPUs.
    own_variance = (x - own_mean.view(shape)).square_().mean(axes)
    own_count = x.new_tensor([x.numel() / x.shape[1]])
    # One message: a row of means, then variances, then the count from each process.
    own = torch.cat([own_mean, own_variance, own_count])
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    rows = torch.stack(gathered)
    counts = rows[:, -1:]
    means, variances = rows[:, :-1].chunk(2, dim=1)
    count = counts.sum()
    mean = (means * counts).sum(0) / count
    variance = ((variances + (means - mean).square()) * counts).sum(0) / count
    return mean, variance, count


def _axes_and_shape(x: torch.Tensor) -> tuple[list[int], list[int]]:
    """All axes but that of the channels, and the shape of a number for each channel."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    return axes, [1, -1] + [1] * (x.ndim - 2)
