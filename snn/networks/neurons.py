"""The spiking neuron of all networks of this package."""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch.autograd.function import once_differentiable

from snn.networks.compiled import CompiledOnce

THRESHOLD = 1.0
LEAK = 4.0 / 3.0


def lif() -> neuron.LIFNode:
    """Make leaky integrate-and-fire neurons, one for each element of their input.

    With input x and threshold 1, as in Kim et al. 2022 (arXiv:2207.01382) and Yin et
    al. 2024 (arXiv:2302.06746):

        v <- v + (x - v) / tau,  tau = 4/3;   spike if v >= 1, and then v <- 0.

    Gradients pass a spike by the derivative of an arctangent, and not its reset.
    """
    return FusedLIF(
        tau=LEAK,
        decay_input=True,
        v_threshold=THRESHOLD,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="m",
    )


class FusedLIF(neuron.LIFNode):
    """The neurons of `lif`, whose time steps are one function on the CPU.

    Spikes, potentials and gradients are those of `neuron.LIFNode`, to the bit. What
    the function does not know (a state of before, other settings, devices or types of
    numbers) takes the way of that class.
    """

    def multi_step_forward(
        self, x_seq: torch.Tensor, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run all time steps.

        Parameters
        ----------
        x_seq : Tensor of float [T, N, …]
            Input currents.

        Returns
        -------
        Tensor [T, N, …]
            Spikes, 0 or 1, of the input's dtype.
        """
        if args or kwargs or not self._is_known(x_seq):
            spikes: torch.Tensor = super().multi_step_forward(x_seq, *args, **kwargs)
            return spikes
        alpha = float(self.surrogate_function.alpha)
        spikes, self.v = _Steps.apply(x_seq, float(self.tau), alpha)  # type: ignore[no-untyped-call]
        return spikes

    def _is_known(self, x_seq: torch.Tensor) -> bool:
        curve = self.surrogate_function
        return (
            type(x_seq) is torch.Tensor
            and x_seq.device.type == "cpu"  # elsewhere spikingjelly has kernels
            and x_seq.dtype == torch.float32
            and x_seq.ndim > 1
            and x_seq.numel() > 0
            and not torch.compiler.is_compiling()  # which fuses what it is given
            and isinstance(self.v, float)
            and (self.v, self.v_reset, self.v_threshold) == (0.0, 0.0, THRESHOLD)
            and self.decay_input
            and self.detach_reset
            and not self.store_v_seq
            and type(curve) is surrogate.ATan
            and curve.spiking
        )


class _Steps(torch.autograd.Function):
    """All time steps, from rest."""

    @staticmethod
    def forward(
        ctx: Any, x_seq: torch.Tensor, tau: float, alpha: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # In the order of the memory: one kind of array, whatever the layers are.
        strides: tuple[int, ...] = x_seq.stride()
        order = sorted(range(1, x_seq.ndim), key=lambda axis: -strides[axis])
        permuted = x_seq.permute(0, *order)
        spikes, charged, v = _FORWARD(permuted.reshape(len(x_seq), -1), tau)
        ctx.save_for_backward(charged)
        ctx.constants = tau, alpha
        ctx.order, ctx.shape = order, x_seq.shape
        ctx.set_materialize_grads(False)
        last = v.view(permuted.shape[1:]).permute(_inverse([i - 1 for i in order]))
        return spikes.view(permuted.shape).permute(_inverse([0, *order])), last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_spikes: torch.Tensor | None, of_last: torch.Tensor | None
    ) -> Any:
        (charged,) = ctx.saved_tensors
        tau, alpha = ctx.constants
        order = [0, *ctx.order]
        if of_spikes is None:
            flat = torch.zeros_like(charged)
        else:
            flat = of_spikes.permute(order).reshape(charged.shape)
        if of_last is None:  # as always where states are reset after a call
            made = _BACKWARD(charged, flat, tau, alpha)
        else:
            of_v = of_last.permute([axis - 1 for axis in ctx.order]).reshape(-1)
            made = _backward(charged, flat, tau, alpha, of_v)
        shape = [ctx.shape[axis] for axis in order]
        return made.view(shape).permute(_inverse(order)), None, None


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _forward(
    x_seq: torch.Tensor, tau: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return spikes and charged potentials of all steps, and the last potential."""
    v = torch.zeros_like(x_seq[0])
    spikes, charged = [], []
    for x in x_seq.unbind():
        h = v + (x - v) / tau
        fires = h >= THRESHOLD
        spikes.append(fires.to(x.dtype))
        charged.append(h)
        v = torch.where(fires, 0.0, h)
    return torch.stack(spikes), torch.stack(charged), v


def _backward(
    charged: torch.Tensor,
    of_spikes: torch.Tensor,
    tau: float,
    alpha: float,
    of_v: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the gradients of the input currents of all steps.

    `of_spikes` are those of the spikes, `of_v` that of the last potential.
    """
    made: list[torch.Tensor] = []
    for h, of_spike in zip(
        reversed(charged.unbind()), reversed(of_spikes.unbind()), strict=True
    ):
        # The derivative of arctan(pi / 2 alpha x) / pi, of x = h - threshold.
        bent = (math.pi / 2 * alpha) * (h - THRESHOLD)
        of_h = of_spike * (alpha / 2 / (1.0 + bent * bent))
        if of_v is not None:  # a spike resets the potential: nothing passes
            of_h = of_h + torch.where(h >= THRESHOLD, 0.0, of_v)
        made.append(of_h / tau)
        of_v = of_h - made[-1]
    return torch.stack(made[::-1])


_FORWARD = CompiledOnce(_forward)
_BACKWARD = CompiledOnce(_backward)
