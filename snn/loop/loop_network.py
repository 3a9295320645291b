"""The network of a loop of the user's own: its weights, masks, and what it shows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
from spikingjelly.activation_based.functional import reset_net
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from snn.array_types import Masks, Scores
from snn.data.own_random import seed_all
from snn.loop.loop_config import LoopError
from snn.lottery.network_scores import Batches, Loss, loss_backward
from snn.lottery.saliency import Rates, Score, Trained, grown
from snn.networks.calls import observe_calls
from snn.networks.geometry import list_layers
from snn.networks.layers import prunable_layers
from snn.networks.spikes import SpikeError, input_rates
from snn.training.gradients import GradientMoments, moments_of_batches
from snn.training.lasting_masks import LastingMasks, plain_module

State = dict[str, torch.Tensor]


class LoopNetwork:
    """A network that somebody else trains.

    Parameters
    ----------
    network : Module
        With convolutions or linear layers; it may be compiled or distributed.
    example : Tensor
        Some inputs.
    batches, loss : iterable and callable, optional
        What gradients are measured with, as `score_of` takes them.

    Attributes
    ----------
    module : Module
        What is behind `torch.compile` and `DistributedDataParallel`.
    about : dict
        What metadata of tickets say of its layers and time steps.

    Raises
    ------
    LoopError
        A network without such layers, or one that does not run on the example.
    """

    def __init__(
        self,
        network: nn.Module,
        example: torch.Tensor,
        batches: Batches | None,
        loss: Loss | None,
    ) -> None:
        self.module = plain_module(network)
        kind = type(self.module).__name__
        if not prunable_layers(self.module):
            raise LoopError(
                f"{kind} has no layer to prune; accepted: a module with convolutions "
                "(Conv1d, Conv2d, Conv3d) or linear layers, spikingjelly's included"
            )
        if not isinstance(example, torch.Tensor) or not example.numel():
            raise LoopError(
                f"`example` is {_said(example)}; some inputs of {kind} are needed, a "
                "tensor [N, …]"
            )
        self._batches, self._loss = batches, loss
        parameter = next(self.module.parameters())
        self.example = example.to(parameter.device)
        try:
            calls = observe_calls(self.module, self.example)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            said = " ".join(str(error).split())
            raise LoopError(
                f"{kind} does not run on `example` of shape {list(example.shape)} "
                f"({said}); give inputs as its forward takes them"
            ) from error
        timed = example.ndim > 3
        self.about: dict[str, Any] = {
            "architecture": kind,
            "dataset": "own-loop",
            "input_shape": list(example.shape[-3:] if timed else example.shape[1:]),
            "timesteps": calls.timesteps,
            "layers": list_layers(self.module, calls),
        }
        self.masks: LastingMasks | None = None
        self._begun: State = {}
        self._optimizers: WeakSet[torch.optim.Optimizer] = WeakSet()
        self._strangers: set[str] = set()
        self._watching: RemovableHandle | None = None

    def state(self) -> State:
        """Copy parameters and buffers, on the CPU."""
        return {
            name: tensor.detach().cpu().clone()
            for name, tensor in self.module.state_dict().items()
        }

    def load(self, state: State) -> None:
        """Put parameters and buffers into the module, in their places."""
        self.module.load_state_dict(state)
        reset_net(self.module)

    def begin(self, state: State, masks: Masks, seed: int) -> None:
        """Begin a round: weights, masks, random numbers; optimizers forget the last.

        Parameters
        ----------
        state : dict of str to Tensor
            The weights to begin with, pruned ones included.
        masks : mapping of str to ndarray of bool [shape of the weights]
            Of all layers.
        seed : int
            Of torch, NumPy and Python.
        """
        self.load(state)
        self.hold(masks)
        for parameter in self.module.parameters():
            parameter.grad = None
        for optimizer in self._optimizers:
            optimizer.state.clear()
        self._begun, self._strangers = self.state(), set()
        if self._watching is None:
            self._watching = register_optimizer_step_post_hook(self._see_step)
        seed_all(seed)

    def hold(self, masks: Masks) -> None:
        """Keep masks from now on."""
        if self.masks is None:
            self.masks = LastingMasks(self.module, masks)
        else:
            self.masks.replace(masks)

    def end(self) -> None:
        """See no more optimizers; masks stay."""
        if self._watching is not None:
            self._watching.remove()
            self._watching = None

    def check_trained(self, number: int) -> None:
        """Refuse a round in which nothing has changed.

        Raises
        ------
        LoopError
            No parameter is another than at the beginning of the round.
        """
        if self.masks is not None:
            self.masks.zero()
        for name, parameter in self.module.named_parameters():
            if not torch.equal(parameter.detach().cpu(), self._begun[name]):
                return
        kind = type(self.module).__name__
        if self._strangers:
            raise LoopError(
                f"{', '.join(sorted(self._strangers))} stepped in round {number}, but "
                f"none of its parameters belong to {kind}; build it from the "
                "parameters() of the module that `Tickets` was given"
            )
        raise LoopError(
            f"round {number} ends with the weights that it began with; train {kind} "
            "(some optimizer step that changes it) before `record`"
        )

    def rates(self) -> Rates:
        """Count the spikes that the example causes; nothing if they are none."""
        return self._rates([self.example])

    def ranking(
        self,
        score: Score,
        magnitudes: Scores,
        masks: Masks,
        *,
        needs_rates: bool,
        growth: bool,
        seed: int,
    ) -> Scores:
        """Score all weights of the trained network, as the next round ranks them.

        Parameters
        ----------
        score : callable
            By what.
        magnitudes : mapping of str to ndarray of float32 [shape of the weights]
            Last non-zero magnitude of every weight.
        masks : mapping of str to ndarray of bool [shape of the weights]
            Of this round.
        needs_rates : bool
            Spikes are counted: those that the batches cause, or else the example.
        growth : bool
            Pruned weights score by their gradients.
        seed : int
            Of what is random while gradients are measured.

        Raises
        ------
        LoopError
            Gradients without batches or loss.
        """

        @cache  # one pass is enough for all that need it
        def gradients() -> dict[str, GradientMoments]:
            return self._gradients(seed)

        rates = self._rates(self._inputs()) if needs_rates else {}
        scores = score(Trained(magnitudes, rates, gradients))
        return grown(scores, masks, gradients()) if growth else scores

    def check_gradients(self) -> None:
        """Refuse to measure gradients without batches or loss.

        Raises
        ------
        LoopError
            One of them was not given.
        """
        if self._batches is None or self._loss is None:
            raise LoopError(
                "gradients are asked for, which need `batches` and `loss`; give both "
                "to `Tickets`, or take score='magnitude'"
            )

    def _inputs(self) -> Iterable[torch.Tensor]:
        if self._batches is None:
            return [self.example]
        return (x for x, _ in self._batches)

    def _gradients(self, seed: int) -> dict[str, GradientMoments]:
        self.check_gradients()
        assert self._batches is not None
        assert self._loss is not None
        backward = loss_backward(self.module, self._loss)
        with torch.random.fork_rng(self._cuda()):
            torch.manual_seed(seed)
            reset_net(self.module)
            return moments_of_batches(self.module, self._batches, backward)

    def remove(self) -> None:
        """Leave a plain module, pruned weights zero."""
        self.end()
        if self.masks is not None:
            self.masks.remove()
            self.masks = None

    def _rates(self, inputs: Iterable[torch.Tensor]) -> Rates:
        try:
            return input_rates(self.module, inputs)
        except SpikeError:
            return {}

    def _cuda(self) -> list[torch.device]:
        devices = {one.device for one in self.module.parameters()}
        return [device for device in devices if device.type == "cuda"]

    def _see_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        ours = {id(one) for one in self.module.parameters()}
        theirs = (one for group in optimizer.param_groups for one in group["params"])
        if any(id(one) in ours for one in theirs):
            self._optimizers.add(optimizer)
        else:
            self._strangers.add(type(optimizer).__name__)


def _said(example: object) -> str:
    if isinstance(example, torch.Tensor):
        return f"a tensor of shape {list(example.shape)}"
    return f"a {type(example).__name__}"
