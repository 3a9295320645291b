"""Which weights lie on a path from the network's input to its output.

A weight works only if something reaches its input channel and somebody reads its output
channel. The network itself says so: with a 1 for every weight that is kept, and no
normalization or neuron between, its output depends on a weight exactly if there is a
path through it. So residual sums, concatenations, groups and flattening need no rules
of their own, and neither does padding: a kernel position that only ever meets padding
is on no path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from balancer.array_types import BoolArray
from balancer.errors import BalancerError
from snn.array_types import Masks
from snn.channels.module_rules import LAYERS, Treatment, treatment_of
from snn.channels.trace import copy_of
from snn.networks.inference import inference
from snn.networks.layers import prunable_layers
from snn.training.lasting_masks import forget_masks
from snn.training.masking import layers_of_masks

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Functions that change every entry for itself, or all by what the others are.
_ENTRYWISE = frozenset(
    (
        *("relu", "relu_", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu"),
        *("gelu", "silu", "mish", "sigmoid", "tanh", "softplus", "hardtanh"),
        *("hardswish", "hardsigmoid", "softmax", "log_softmax", "dropout"),
        *("dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"),
        *("batch_norm", "group_norm", "layer_norm", "instance_norm", "neg", "abs"),
        *("exp", "sqrt", "square", "clamp", "sign"),
    )
)


class PathError(BalancerError):
    """A network whose paths cannot be followed."""


def live_weights(
    network: nn.Module, masks: Masks, example: torch.Tensor
) -> dict[str, BoolArray]:
    """Find the weights whose input is reached and whose output is read.

    Parameters
    ----------
    network : Module
        It stays as it is; neurons, normalization and biases play no part.
    masks : mapping of str to ndarray of bool [shape of the weights]
        Weights that are kept, for exactly the layers of `prunable_layers`.
    example : Tensor of float
        An input of the network; only its shape counts.

    Returns
    -------
    dict of str to ndarray of bool [shape of the weights]
        True where a weight is on a path, or would be if it alone were added. The kept
        weights among them are the *effective* ones: ``masks[name] & live[name]``.

    Raises
    ------
    MaskError
        Masks that do not fit the layers.
    PathError
        A network that does not run where values are only passed on.

    Notes
    -----
    Modules whose inner paths are not known, such as attention or recurrent ones, count
    as reading all of their input for each of their outputs.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from torch import nn
    >>> from snn import live_weights
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> masks = {"0": np.array([[1, 0], [0, 0]], bool), "2": np.array([[1, 1]], bool)}
    >>> live = live_weights(network, masks, torch.ones(1, 2))
    >>> (masks["2"] & live["2"]).tolist()  # nothing reaches the second channel
    [[True, False]]
    """
    return NetworkPaths(network, example).live(masks)


def effective_weights(
    network: nn.Module, masks: Masks, example: torch.Tensor
) -> dict[str, int] | None:
    """Count the kept weights of each layer that lie on a path; see `live_weights`.

    Returns
    -------
    dict of str to int or None
        None for a network whose paths cannot be followed.
    """
    try:
        live = live_weights(network, masks, example)
    except PathError:
        return None
    return {n: int(np.count_nonzero(mask & live[n])) for n, mask in masks.items()}


class NetworkPaths:
    """The paths of a network, to be asked for the masks of many answers.

    Parameters
    ----------
    network, example : Module, Tensor
        As in `live_weights`; the network is copied.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from torch import nn
    >>> from snn import NetworkPaths
    >>> paths = NetworkPaths(nn.Sequential(nn.Linear(2, 1)), torch.ones(1, 2))
    >>> paths.live({"0": np.array([[True, False]])})["0"].tolist()
    [[True, True]]
    """

    def __init__(self, network: nn.Module, example: torch.Tensor) -> None:
        paths: Any = copy_of(network)
        forget_masks(paths)  # what is kept is asked anew every time
        self._network, self._paths = network, paths
        self._example = torch.ones_like(example, dtype=torch.float32)
        self._weights: dict[str, nn.Parameter] = {}
        names = prunable_layers(network)
        for parameter in paths.parameters():
            parameter.data.fill_(1)
        for name, module in paths.named_modules():
            if isinstance(module, (*LAYERS, *_TRANSPOSED)):
                weight: Any = nn.Parameter(torch.ones_like(module.weight).float())
                module.weight, module.bias = weight, None
                if name in names:
                    self._weights[name] = weight
            _follow(module)
        if example.ndim == 4 and hasattr(paths, "timesteps"):
            paths.timesteps = 1  # all of them have the same paths

    def live(self, masks: Masks) -> dict[str, BoolArray]:
        """Find the weights that are on a path; see `live_weights`."""
        layers_of_masks(self._network, masks)
        for name, weight in self._weights.items():
            weight.data.copy_(torch.from_numpy(masks[name]))
        try:
            with inference(self._paths), torch.enable_grad(), _OnlyPaths():
                logits = self._paths(self._example)
            gradients = torch.autograd.grad(
                logits.sum(), list(self._weights.values()), allow_unused=True
            )
        except Exception as error:  # whatever a network does with values it never sees
            said = " ".join(str(error).split())
            raise PathError(
                f"the paths of {type(self._network).__name__} cannot be followed "
                f"({said})"
            ) from error
        return {
            name: np.zeros(masks[name].shape, np.bool_)
            if gradient is None
            else (gradient > 0).cpu().numpy()
            for name, gradient in zip(self._weights, gradients, strict=True)
        }


class _Reached(torch.autograd.Function):
    """1 where something arrives; backwards, 1 where somebody reads.

    What adds up stays in range, however many paths there are.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.gt(x, 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return torch.gt(gradient, 0).to(gradient.dtype)


class _OnlyPaths(TorchFunctionMode):
    """Run functions without what hides a path: signs, maxima, thresholds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one of torch's functions, or what stands for it."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in _ENTRYWISE:
            return args[0] if args else kwargs["input"]
        if name in ("sub", "rsub", "sub_", "__sub__", "__rsub__"):
            return torch.add(*args[:2])
        if name in ("max_pool1d", "max_pool2d", "max_pool3d"):
            return _mean_pool(name, *args, **kwargs)
        return func(*args, **kwargs)


def _mean_pool(
    name: str, x: torch.Tensor, size: Any, *options: Any, **named: Any
) -> Any:
    """Let every pixel of a window count, not only the largest."""
    names = ("stride", "padding", "dilation", "ceil_mode")
    given = {**dict(zip(names, options, strict=False)), **named}
    dilation = given.pop("dilation", 1)
    if dilation not in (1, (1,), (1, 1), (1, 1, 1), [1], [1, 1], [1, 1, 1]):
        return getattr(torch, name)(x, size, dilation=dilation, **given)
    given.pop("return_indices", None)
    return getattr(functional, name.replace("max", "avg"))(x, size, **given)


def _follow(module: nn.Module) -> None:
    """Let a module pass on what reaches it, in the way in which it treats channels."""
    treatment = treatment_of(module)
    if treatment is Treatment.LAYER:
        module.register_forward_hook(lambda _, given, made: _Reached.apply(made))
    elif treatment is Treatment.ENTRYWISE:
        module.forward = _as_it_is
    elif treatment is Treatment.UNKNOWN:
        module.register_forward_hook(_all_of_all)


def _as_it_is(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Stand for a module whose output has the paths of its input."""
    return x


def _all_of_all(module: nn.Module, given: tuple[Any, ...], made: Any) -> Any:
    """Let every entry of the output depend on every entry of the input."""
    parts = [x.float().mean() for x in given if isinstance(x, torch.Tensor)]
    total = torch.stack(parts).sum() if parts else torch.ones(())
    if isinstance(made, torch.Tensor):
        return total.expand(made.shape)
    return tuple(
        total.expand(one.shape) if isinstance(one, torch.Tensor) else one
        for one in made
    )
