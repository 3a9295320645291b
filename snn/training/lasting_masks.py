"""Masks that stay with a module, whoever trains it and however.

`masking.keep_masks` watches one optimizer that it is given. Here nothing is known of
the training: the masks lie with the layers themselves, and pruned weights become zero

- after every step of any of torch's optimizers that has them,
- before every forward pass, whatever has changed them: an optimizer of one's own,
  weights that were loaded,
- before a state dict is made.

So no module changes its type, parameters or keys, gradients of pruned weights arrive as
always, and a copy, a compiled form or a `DistributedDataParallel` of the module keeps
the masks, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from snn.array_types import Masks
from snn.networks.layers import prunable_layers
from snn.training.masking import bits_of, check_masks, weight_of, zero

# Of a masked layer: the bits of its mask, as `masking.zero` takes them. No buffer: it
# is part of no state dict, and is not sent around by `DistributedDataParallel`.
_BITS = "_kept_bits"
# Whose masks they are: those of one object may have been replaced by another's.
_OWNER = "_kept_by"
_owners = count()

# All masked layers of this process, copies included.
_masked: WeakSet[nn.Module] = WeakSet()
_watching: RemovableHandle | None = None


def plain_module(network: nn.Module) -> nn.Module:
    """Look behind `torch.compile` and `DistributedDataParallel`, whose names differ."""
    while True:
        inner = getattr(network, "_orig_mod", None)
        if isinstance(network, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = network.module
        if not isinstance(inner, nn.Module):
            return network
        network = inner


class LastingMasks(Mapping[str, npt.NDArray[np.bool_]]):
    """The masks of a module, by layer, which hold until they are removed.

    Parameters
    ----------
    network : Module
        Whose convolutions and linear layers have plain weights: no parametrizations.
        It may be compiled, or wrapped by `DistributedDataParallel`, before or after.
    masks : mapping of str to ndarray of bool [shape of the weights]
        True where a weight is kept, for exactly the layers. Masks that the module has
        already are replaced.
    layers : mapping of str to Module, optional
        Modules with a ``weight`` inside the network, by name. Default: those of
        `prunable_layers`.

    Raises
    ------
    MaskError
        Unknown or missing names, wrong shapes or types.

    Examples
    --------
    >>> import torch
    >>> from snn import LastingMasks
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False))
    >>> masks = LastingMasks(network, {"0": torch.tensor([[True, False]]).numpy()})
    >>> adam = torch.optim.Adam(network.parameters(), lr=0.1)
    >>> network(torch.ones(1, 2)).sum().backward()
    >>> adam.step()
    >>> network[0].weight[0, 1].item()
    0.0
    >>> masks.remove()
    """

    def __init__(
        self,
        network: nn.Module,
        masks: Masks,
        *,
        layers: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self.network = plain_module(network)
        self._masks: dict[str, npt.NDArray[np.bool_]] = {}
        self._layers = prunable_layers(self.network) if layers is None else layers
        check_masks(self._layers, masks)
        self._owner = next(_owners)
        self._holders = {
            name: _modules_of(self.network, weight_of(name, layer))
            for name, layer in self._layers.items()
        }
        for holders in self._holders.values():
            for module in holders:
                _forget(module)
                _hold(module, self._owner)
        self.replace(masks)

    def __getitem__(self, name: str) -> npt.NDArray[np.bool_]:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def sparsity(self) -> float:
        """Fraction of the weights of all layers that are pruned."""
        kept = sum(int(np.count_nonzero(mask)) for mask in self.values())
        return 1 - kept / max(1, sum(mask.size for mask in self.values()))

    def replace(self, masks: Masks) -> None:
        """Keep other masks from now on; raises as the class does."""
        check_masks(self._layers, masks)
        self._masks = dict(masks)
        for name, layer in self._layers.items():
            bits = None
            if not masks[name].all():
                bits = bits_of(masks[name], weight_of(name, layer))
            for module in self._holders[name]:
                setattr(module, _BITS, bits)
            _zero_weight(layer)

    def zero(self) -> None:
        """Make pruned weights zero now; every forward pass and step does, too."""
        for layer in self._layers.values():
            _zero_weight(layer)

    def remove(self) -> None:
        """Leave a plain module, whose pruned weights are zero and free to change."""
        for holders in self._holders.values():
            for module in holders:
                if getattr(module, _OWNER, None) == self._owner:  # not of later masks
                    _zero_weight(module)
                    _forget(module)


def forget_masks(network: nn.Module) -> None:
    """Remove all masks from a module, such as a copy of a masked one, as it is."""
    for module in network.modules():
        _forget(module)


# Functions of this module, and nothing that knows a network: they are copied and
# pickled with the layers that they belong to.


def _modules_of(network: nn.Module, weight: nn.Parameter) -> list[nn.Module]:
    """Find all modules that compute with a weight, shared as it may be."""
    return [one for one in network.modules() if one._parameters.get("weight") is weight]


def _hold(module: nn.Module, owner: int) -> None:
    """Watch a module; its mask may change later without anything being hooked anew."""
    _watch(module)
    setattr(module, _OWNER, owner)
    # Before the hooks of others: they see the weights that the module computes with.
    module.register_forward_pre_hook(_before_forward, prepend=True)
    module.register_state_dict_pre_hook(_before_state_dict)  # type: ignore[no-untyped-call]


def _forget(layer: nn.Module) -> None:
    """Remove the mask of a layer with all hooks, also of a copy or of other masks."""
    for hooks, ours in (
        (layer._forward_pre_hooks, _before_forward),
        (layer._state_dict_pre_hooks, _before_state_dict),
    ):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
    for name in (_BITS, _OWNER):
        layer.__dict__.pop(name, None)
    _masked.discard(layer)


def _before_forward(layer: nn.Module, _: Any) -> None:
    if not torch.compiler.is_compiling():
        _watch(layer)  # it may be a copy that nobody has heard of
    _zero_weight(layer)


# `snn.channels` may pass through: channels stay what they are, and the bits follow an
# order as the weights do.
_before_forward.keeps_channels = True  # type: ignore[attr-defined]


def _before_state_dict(layer: nn.Module, *_: Any) -> None:
    _zero_weight(layer)


def _zero_weight(layer: nn.Module) -> None:
    bits = getattr(layer, _BITS, None)
    if bits is None:
        return
    weight: Any = layer.weight
    if bits.device != weight.device or bits.element_size() != weight.element_size():
        bits = bits_of((bits != 0).cpu().numpy(), weight)
        setattr(layer, _BITS, bits)
    zero(weight, bits)


def _watch(layer: nn.Module) -> None:
    """Zero the pruned weights of a layer after the steps of optimizers."""
    global _watching
    _masked.add(layer)
    if _watching is None:
        _watching = register_optimizer_step_post_hook(_after_step)


def _after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Zero what is pruned of the weights that an optimizer has changed."""
    if not _masked:
        return
    changed = {id(one) for group in optimizer.param_groups for one in group["params"]}
    for layer in list(_masked):
        if id(layer._parameters.get("weight")) in changed:
            _zero_weight(layer)
