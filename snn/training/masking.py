"""Masks that stay: pruned weights are exactly zero after every optimizer step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from balancer.errors import BalancerError
from snn.array_types import Masks, Scores
from snn.networks.layers import prunable_layers

# Integers of as many bytes as a float has.
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class MaskError(BalancerError):
    """Masks or scores that do not fit the layers of a network."""


@contextmanager
def keep_masks(
    optimizer: torch.optim.Optimizer, network: nn.Module, masks: Masks
) -> Iterator[None]:
    """Hold pruned weights at exactly zero inside the block.

    They are zeroed on entry and again after every step of the optimizer, so whatever
    momentum, weight decay or a gradient that is not finite made of them is gone before
    the next forward pass. Layers that keep all their weights cost nothing. On exit the
    optimizer is as before, free for the masks of another round.

    Parameters
    ----------
    optimizer : Optimizer
        Any optimizer over parameters of the network.
    network : Module
        Its weights must be plain parameters: no parametrizations.
    masks : mapping of str to ndarray of bool [shape of the weights]
        True where a weight is kept, for exactly the layers of `prunable_layers`.

    Raises
    ------
    MaskError
        Unknown or missing names, wrong shapes or types.

    Examples
    --------
    >>> import torch
    >>> from snn import keep_masks
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False))
    >>> sgd = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    >>> mask = torch.tensor([[True, False]]).numpy()
    >>> with keep_masks(sgd, network, {"0": mask}):
    ...     network(torch.ones(1, 2)).sum().backward()
    ...     sgd.step()
    >>> network[0].weight[0, 1].item()
    0.0
    """
    pruned = _pruned(network, masks)

    def zero_all(*_: Any) -> None:
        for weight, bits in pruned:
            zero(weight, bits)

    zero_all()
    hook = optimizer.register_step_post_hook(zero_all)
    try:
        yield
    finally:
        hook.remove()
        zero_all()  # an interrupt may have come between a step and its hook


def layers_of_masks(network: nn.Module, masks: Masks) -> dict[str, nn.Module]:
    """Return the layers that masks are for; see `keep_masks` for what is raised."""
    layers = prunable_layers(network)
    check_masks(layers, masks)
    return layers


def check_masks(layers: Mapping[str, nn.Module], masks: Masks) -> None:
    """Refuse masks of other layers; see `keep_masks` for what is raised."""
    _check(layers, masks, "masks", np.bool_)


def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set pruned weights to zero, once; see `keep_masks` for the parameters."""
    for weight, bits in _pruned(network, masks):
        zero(weight, bits)


def update_scores(
    network: nn.Module, masks: Masks, scores: Scores | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """Remember the last magnitude of every weight that was not zero.

    Parameters
    ----------
    network : Module
        The trained network.
    masks : mapping of str to ndarray of bool [shape of the weights]
        The masks it was trained with.
    scores : mapping of str to ndarray of float32 [shape of the weights], optional
        The scores of the round before; none before the first round.

    Returns
    -------
    dict of str to ndarray of float32 [shape of the weights]
        Magnitudes of the weights that are kept and not zero, elsewhere the former
        scores. Without former scores the magnitudes of all weights.

    Raises
    ------
    MaskError
        Masks or scores that do not fit the layers.
    """
    layers = prunable_layers(network)
    _check(layers, masks, "masks", np.bool_)
    if scores is not None:
        _check(layers, scores, "scores", np.float32)
    updated = {}
    for name, module in layers.items():
        weight = weight_of(name, module).detach().cpu().float().numpy()
        magnitude = np.abs(weight, order="C")
        if scores is not None:
            fresh = masks[name] & (magnitude != 0)
            magnitude = np.where(fresh, magnitude, scores[name])
        updated[name] = magnitude
    return updated


def _pruned(
    network: nn.Module, masks: Masks
) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Weights of the layers that lose some, and what `zero` wants to know of them."""
    layers = layers_of_masks(network, masks)
    pruned = []
    for name, module in layers.items():
        if not masks[name].all():
            weight = weight_of(name, module)
            pruned.append((weight, bits_of(masks[name], weight)))
    return pruned


def bits_of(mask: npt.NDArray[np.bool_], weight: torch.Tensor) -> torch.Tensor:
    """Make the bits of a mask that `zero` takes, where and as large as the weights."""
    # In the memory format of the weights, else zeroing takes longer.
    bits = torch.empty_like(
        weight, dtype=_INTEGERS[weight.element_size()], requires_grad=False
    )
    bits.copy_(torch.from_numpy(-mask.astype(np.int8)))
    return bits


def zero(weight: torch.Tensor, bits: torch.Tensor) -> None:
    """Clear the bits of pruned weights; `bits` is -1, all ones, where one is kept.

    What was NaN, infinite or negative becomes +0, as it would not in a product with the
    mask; and this is six times as fast as `masked_fill_` on a CPU. Autograd does not
    hear of it: a layer may run several times before the backward pass.
    """
    with torch.no_grad():
        weight.data.view(bits.dtype).bitwise_and_(bits)


def weight_of(name: str, module: nn.Module) -> nn.Parameter:
    """Return the weights of a layer; `MaskError` if they are computed."""
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if weight is None:
        raise MaskError(
            f"{name} computes its weights; remove the parametrization first with "
            "torch.nn.utils.parametrize.remove_parametrizations, or pruning with "
            "torch.nn.utils.prune.remove"
        )
    return weight


def _check(
    layers: Mapping[str, nn.Module],
    arrays: Mapping[str, npt.NDArray[Any]],
    what: str,
    dtype: type[np.generic],
) -> None:
    """Cross-check names, types and shapes in both directions."""
    for name, array in arrays.items():
        if name not in layers:
            raise MaskError(
                f"`{what}` names {name}, but the layers are {', '.join(layers)}"
            )
        weight = weight_of(name, layers[name])
        if array.dtype != dtype or array.shape != tuple(weight.shape):
            raise MaskError(
                f"`{what}[{name!r}]` is {array.dtype}{list(array.shape)}; the weights "
                f"need {np.dtype(dtype)}{list(weight.shape)}"
            )
    missing = [name for name in layers if name not in arrays]
    if missing:
        raise MaskError(
            f"`{what}` lacks {', '.join(missing)}; every layer needs one, all True (or "
            "all 0) where it is dense"
        )
