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


class _GlobalSum(torch.autograd.Function):
    """Sum over the processes; the gradient of a sum is summed in turn."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


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
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    local = x.new_tensor([x.numel() / x.shape[1]])
    sums: torch.Tensor = _GlobalSum.apply(torch.cat([x.sum(axes), local]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = x - mean.view(shape)
    # In two passes: the difference of large sums of squares would lose digits.
    variance: torch.Tensor = _GlobalSum.apply(centred.square().sum(axes)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
    normalized = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None and bias is not None:
        normalized = normalized * weight.view(shape) + bias.view(shape)
    return normalized.to(input.dtype)
