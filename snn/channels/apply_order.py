"""Renumber the channels of a network, so that natural order becomes the schedule's."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from balancer import BalancerError, Schedule
from snn.channels.bindings import LayerChannels
from snn.channels.graph import channel_graph
from snn.channels.space import TensorAxis
from snn.channels.trace import copy_of

Order = npt.NDArray[np.int64]


class OrderError(BalancerError):
    """Orders that do not fit a network, or contradict each other."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerOrder:
    """What became of the order of one layer.

    Attributes
    ----------
    name : str
        The layer.
    applied : bool
        Its output channels are now in the order that was asked for.
    reason : str
        Why not; empty where it is applied.
    outputs : ndarray of int64 [output channels]
        New output channel -> old output channel.
    inputs : ndarray of int64 [size of the second axis of the weights]
        The same for its inputs: ``new = old[outputs][:, inputs]`` for weights, masks
        and scores.
    table : ndarray of int64 [output channels] or None
        The order that is left to the schedule, position -> new channel; None where it
        is natural.
    """

    name: str
    applied: bool
    reason: str
    outputs: Order
    inputs: Order
    table: Order | None


@dataclass(frozen=True, slots=True, eq=False)
class AppliedOrders:
    """A renumbered network.

    Attributes
    ----------
    network : Module
        A copy with permuted tensors; the original is as it was.
    layers : dict of str to LayerOrder
        Every convolution and linear layer, in the order of the network's modules.
    """

    network: nn.Module
    layers: dict[str, LayerOrder]

    @property
    def tables(self) -> dict[str, Order]:
        """Orders that are left to the schedule: position -> channel of the copy."""
        tables = {name: layer.table for name, layer in self.layers.items()}
        return {name: table for name, table in tables.items() if table is not None}


def apply_order(
    network: nn.Module,
    orders: Mapping[str, npt.ArrayLike | Schedule],
    *,
    leaders: Collection[str] = (),
    elementwise: tuple[type[nn.Module], ...] = (),
) -> AppliedOrders:
    r"""Permute the layers of a network so that its channels are in schedule order.

    An order :math:`\pi` of the outputs of one layer permutes the rows of its weights,
    its bias, and everything that counts the same channels: normalization and neuron
    parameters, masks, and the input channels of what reads them,

    .. math:: W'_{ij} = W_{\pi(i) j}, \qquad V'_{ki} = V_{k \pi(i)}.

    The network computes the same function. Copies and elementwise steps (normalization
    in evaluation, neurons, pooling, residual sums) give the same bits in other places;
    a convolution or linear layer adds the same products in another order, so its sums
    are equal to rounding, and to the last bit where no sum is rounded. A neuron whose
    potential is within rounding of its threshold may therefore spike differently.

    Parameters
    ----------
    network : Module
        A network of torch or spikingjelly, in single or multi-step mode. It is not
        changed.
    orders : mapping of str to Schedule or array of int [output channels]
        Schedule position -> channel, by the names of convolutions and linear layers;
        `balancer.NetworkSolution.schedules` of maps that tile output channels will do.
        Layers without one follow those whose channels they share.
    leaders : collection of str
        Layers whose order is taken where layers that share their channels, as in a
        residual stage, ask for different ones. The others keep a table. Where none is
        named, the order is taken that most of the layers ask for; of several, the one
        whose layers have more weights, then the first.
    elementwise : tuple of types
        Modules of your own that treat every channel for itself and broadcast their
        parameters against their input, as a neuron does.

    Returns
    -------
    AppliedOrders
        The permuted copy, and for every layer whether its order is applied or stays a
        table, and why. It stays one where the channels reach the network's output or a
        consumer that is not understood, where a grouped convolution mixes them, and
        where a leader's order was taken. Optimizer states do not follow.

    Raises
    ------
    OrderError
        Unknown names, no permutations, leaders of one group that disagree, a network
        that holds the state of an earlier run, or computed weights that cannot follow.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from snn import apply_order
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> applied = apply_order(network, {"0": [2, 0, 1]})
    >>> bool((applied.network[0].weight == network[0].weight[[2, 0, 1]]).all())
    True
    >>> images = torch.ones(1, 4)
    >>> torch.allclose(applied.network(images), network(images))
    True
    """
    _check_reset(network)
    graph = channel_graph(network, elementwise)
    wanted = _validated(orders, leaders, graph.layers)
    chosen: dict[int, Order] = {}
    axes: dict[TensorAxis, Order] = {}
    for group in graph.groups():
        space = graph.layers[group[0]].outputs.root()
        if space.fixed is None:
            asked = {name: wanted[name] for name in group if name in wanted}
            order = _order_of(network, space.channels, asked, leaders)
            chosen[id(space)] = order
            axes |= {axis: _expanded(order, axis.inner) for axis in space.axes}
    permuted = copy_of(network)
    _permute(permuted, axes)
    layers = {
        name: _layer_order(name, network, layer, wanted.get(name), chosen)
        for name, layer in graph.layers.items()
    }
    for layer_order in layers.values():
        _check_weights(network, permuted, layer_order)
    return AppliedOrders(permuted, layers)


def _check_reset(network: nn.Module) -> None:
    for name, module in network.named_modules():
        memories = getattr(module, "_memories", {}).values()
        if any(isinstance(value, torch.Tensor) for value in memories):
            raise OrderError(
                f"{name} holds the state of an earlier run; call "
                "spikingjelly.activation_based.functional.reset_net(network) first"
            )


def _validated(
    orders: Mapping[str, npt.ArrayLike | Schedule],
    leaders: Collection[str],
    layers: Mapping[str, LayerChannels],
) -> dict[str, Order]:
    wanted = {}
    for name, given in orders.items():
        if name not in layers:
            raise OrderError(
                f"`orders` names {name}, but the layers are {', '.join(layers)}"
            )
        if isinstance(given, Schedule) and given.axis != 0:
            raise OrderError(
                f"`orders[{name!r}]` is a schedule of input channels; only output "
                "channels can be renumbered"
            )
        order = np.asarray(given.order if isinstance(given, Schedule) else given)
        channels = layers[name].outputs.root().channels
        fits = order.dtype.kind in "iu" and order.shape == (channels,)
        if not fits or not np.array_equal(np.sort(order), np.arange(channels)):
            raise OrderError(
                f"`orders[{name!r}]` is no permutation of its {channels} channels"
            )
        wanted[name] = order.astype(np.int64)
    for name in leaders:
        if name not in wanted:
            raise OrderError(
                f"`leaders` names {name}, but `orders` only {', '.join(wanted)}"
            )
    return wanted


def _order_of(
    network: nn.Module,
    channels: int,
    asked: Mapping[str, Order],
    leaders: Collection[str],
) -> Order:
    """Choose the order of layers that share their channels and ask for some."""
    leading = [name for name in asked if name in leaders]
    for name in leading[1:]:
        if not np.array_equal(asked[leading[0]], asked[name]):
            raise OrderError(
                f"the leaders {leading[0]} and {name} share their channels but ask for "
                "different orders; name one of them in `leaders`, or none"
            )
    if not leading:
        # Who does not lead keeps a table: as few as possible.
        behind: dict[bytes, list[str]] = {}
        for name, order in asked.items():
            behind.setdefault(order.tobytes(), []).append(name)
        leading = max(
            behind.values(), default=[], key=lambda names: _votes(network, names)
        )
    return asked[leading[0]] if leading else np.arange(channels)


def _votes(network: nn.Module, names: list[str]) -> tuple[int, int]:
    """Count layers and their weights."""
    layers: list[Any] = [network.get_submodule(name) for name in names]
    return len(layers), sum(layer.weight.numel() for layer in layers)


def _expanded(order: Order, inner: int) -> Order:
    return (order[:, None] * inner + np.arange(inner)).ravel()


def _permute(network: nn.Module, axes: Mapping[TensorAxis, Order]) -> None:
    with torch.no_grad():
        for axis, order in axes.items():
            tensor: torch.Tensor = operator.attrgetter(axis.tensor)(network)
            tensor.copy_(tensor.index_select(axis.axis, _index(order, tensor)))
            tensor.grad = None


def _index(order: Order, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(order).to(like.device)


def _layer_order(
    name: str,
    network: nn.Module,
    layer: LayerChannels,
    wanted: Order | None,
    chosen: Mapping[int, Order],
) -> LayerOrder:
    module: Any = network.get_submodule(name)
    space = layer.outputs.root()
    outputs = chosen.get(id(space), np.arange(space.channels))
    inputs = np.arange(module.weight.shape[1])
    if layer.inputs is not None and id(layer.inputs.root()) in chosen:
        inputs = _expanded(chosen[id(layer.inputs.root())], layer.inner)
    # Position -> old channel -> new channel: what the renumbering left to be done.
    table = None if wanted is None else np.argsort(outputs)[wanted]
    if table is not None and np.array_equal(table, np.arange(space.channels)):
        table = None
    reason = ""
    if space.fixed is not None:
        reason = space.fixed
    elif wanted is None:
        reason = "no order was given; it follows the layers that share its channels"
    elif table is not None:
        reason = "it follows a leader that shares its channels"
    return LayerOrder(name, not reason, reason, outputs, inputs, table)


def _check_weights(network: nn.Module, permuted: nn.Module, order: LayerOrder) -> None:
    old: Any = network.get_submodule(order.name)
    new: Any = permuted.get_submodule(order.name)
    with torch.no_grad():
        weight: torch.Tensor = old.weight
        expected = weight.index_select(0, _index(order.outputs, weight))
        expected = expected.index_select(1, _index(order.inputs, weight))
        if not torch.equal(new.weight, expected):
            raise OrderError(
                f"{order.name} computes its weights by a parametrization that does not "
                "follow an order; remove it first with "
                "torch.nn.utils.parametrize.remove_parametrizations"
            )
