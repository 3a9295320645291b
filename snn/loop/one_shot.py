"""Balance any module at once: no run, no rounds, no files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
from torch import nn

from balancer import (
    ArrayLayer,
    BalanceRequest,
    NetworkSolution,
    PEMap,
    Schedule,
    SearchLimits,
    balance_network,
)
from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from balancer.errors import BalancerError, naming
from balancer.network.job import Given
from snn.array_types import Masks, Scores
from snn.loop.loop_config import LoopError
from snn.lottery.saliency import checked_layers
from snn.networks.axes import TRANSPOSED, as_stored, outputs_first
from snn.networks.layers import prunable_layers
from snn.training.lasting_masks import LastingMasks, plain_module
from snn.training.masking import weight_of


class BalancedMasks(LastingMasks):
    """What `balance_module` returns: the masks of a module, which hold until `remove`.

    Attributes
    ----------
    solution : NetworkSolution
        What is kept of every layer, with utilization, bounds and proofs; its masks have
        outputs first.
    """

    def __init__(
        self,
        network: nn.Module,
        masks: Masks,
        layers: Mapping[str, nn.Module],
        solution: NetworkSolution,
    ) -> None:
        super().__init__(network, masks, layers=layers)
        self.solution = solution

    @property
    def schedules(self) -> dict[str, Schedule]:
        """In which order the PEs take the channels, by layer."""
        return dict(self.solution.schedules)

    def __repr__(self) -> str:
        return f"<masks of {len(self)} layers, {self.sparsity:.1%} pruned>"


def balance_module(
    network: nn.Module,
    request: BalanceRequest | None = None,
    *,
    scores: Mapping[str, Any] | None = None,
    skip: Collection[str] = (),
    limits: SearchLimits | None = None,
    solver: str = "auto",
    **given: Unpack[Given],
) -> BalancedMasks:
    """Prune the layers of a module so that all PEs have equal work.

    Its weights are pruned in place, and stay zero while it is trained on, by whatever
    loop: see `LastingMasks`.

    Parameters
    ----------
    network : Module
        Layers are its convolutions (grouped and depthwise ones, too), transposed
        convolutions and linear layers. The outputs of a transposed convolution are
        those of its results; of a grouped one every channel reads its group alone.
    request : BalanceRequest, optional
        What to keep, and for which PEs, as in `balancer.balance_network`.
    scores : mapping of str to array_like [shape of the weights], optional
        Of all layers, as `score_of` returns them. Default: magnitudes.
    skip : collection of str
        Layers to leave as they are, or modules with all layers inside.
    limits : SearchLimits, optional
        How far the search may go.
    solver : str
        As in `balancer.solve`.
    **given
        Fields of `BalanceRequest` and `SearchLimits`, as ``sparsity=0.9, pes=16``; they
        go before those of `request` and `limits`.

    Returns
    -------
    BalancedMasks
        Masks of the layers by name, in the shape of their weights.

    Raises
    ------
    LoopError
        A module without such layers, or a name to skip that is none.
    MaskError
        Weights that are computed by a parametrization.
    BalancerError
        As `balancer.balance_network` does.

    Examples
    --------
    >>> from torch import nn
    >>> from snn import balance_module
    >>> network = nn.Sequential(nn.Conv2d(8, 16, 3, groups=4), nn.ReLU())
    >>> masks = balance_module(network, sparsity=0.75, pes=4)
    >>> loads = masks["0"].sum(axis=(1, 2, 3)).reshape(-1, 4)  # of tiles and PEs
    >>> bool((loads == loads[:, :1]).all()), round(masks.sparsity, 2)
    (True, 0.75)
    >>> masks.remove()  # a plain module with zeros
    """
    network = plain_module(network)
    layers = _layers(network, skip)
    weights = {
        name: weight_of(name, layer).detach().float().abs().cpu().numpy()
        for name, layer in layers.items()
    }
    if scores is not None:
        weights = dict(checked_layers(scores, weights, "`scores`"))
    asked = (request or BalanceRequest(), given)
    if not callable(given.get("pe_map", asked[0].pe_map)):
        given = {**given, "pe_map": _maps(layers, weights, *asked)}
    solution = balance_network(
        [
            ArrayLayer(name, outputs_first(layer, weights[name]))
            for name, layer in layers.items()
        ],
        request,
        limits=limits,
        solver=solver,
        **given,
    )
    masks = {
        name: as_stored(layer, solution.masks[name]) for name, layer in layers.items()
    }
    return BalancedMasks(network, masks, layers, solution)


def _layers(network: nn.Module, skip: Collection[str]) -> dict[str, nn.Module]:
    """Find the layers, in the order of the network's modules."""
    known = prunable_layers(network)
    owned = {id(layer._parameters.get("weight")) for layer in known.values()}
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        weight = module._parameters.get("weight")
        if name in known:
            found[name] = module
        elif isinstance(module, TRANSPOSED) and id(weight) not in owned:
            owned.add(id(weight))
            found[name] = module
    if isinstance(skip, str):
        skip = (skip,)
    for one in skip:
        inside = [n for n in found if n == one or n.startswith(f"{one}.")]
        if not inside:
            raise LoopError(
                f"`skip` names {one!r}, which holds no layer; accepted: "
                f"{', '.join(found)}, or modules around them"
            )
        for name in inside:
            del found[name]
    if not found:
        raise LoopError(
            f"{type(network).__name__} has no layer to prune; accepted: a module with "
            "convolutions, transposed ones, or linear layers, spikingjelly's included"
        )
    return found


def _maps(
    layers: Mapping[str, nn.Module],
    scores: Scores,
    request: BalanceRequest,
    given: Mapping[str, Any],
) -> Callable[[tuple[int, ...]], PEMap]:
    """Make what gives every layer its PE map; in groups, inputs are counted right."""
    text = str(given.get("pe_map") or request.pe_map or DEFAULT_MAP)
    pes = given.get("pes") or request.pes or DEFAULT_PES
    found: dict[tuple[int, ...], tuple[str, bytes, PEMap]] = {}
    for name, layer in layers.items():
        shape = outputs_first(layer, scores[name]).shape
        pe_map = PEMap.parse(text, shape, pes)
        groups = int(getattr(layer, "groups", 1))
        if groups > 1:
            with naming(f"layer {name}"):
                pe_map = _in_groups(pe_map, text, pes, groups)
        told = pe_map.cell_labels().tobytes() if pe_map.name == "labels" else b""
        former = found.setdefault(shape, (name, told, pe_map))
        if former[1] != told:
            raise BalancerError(
                f"layers {former[0]} and {name} have weights of one shape, but other "
                f"groups, which the PE map {text} deals differently; balance them one "
                "after the other (`skip`), or take a map of output channels"
            )
    return lambda shape: found[tuple(shape)][2]


def _in_groups(pe_map: PEMap, text: str, pes: int, groups: int) -> PEMap:
    """Cut a grouped layer as the dense layer is cut whose other weights are zero.

    Where the map looks at input channels, those of the network count, and not their
    places in a group.
    """
    outputs, inputs, *kernel = pe_map.shape
    whole = PEMap.parse(text, (outputs, inputs * groups, *kernel), pes)
    rows = np.arange(outputs)[:, None]
    columns = rows // (outputs // groups) * inputs + np.arange(inputs)
    if whole.fixed_load is None:
        group, pe = (label[rows, columns] for label in whole.labels())
        mine = pe_map.labels()
        if np.array_equal(mine[0], group) and np.array_equal(mine[1], pe):
            return pe_map
        return PEMap.from_labels(group, pe, whole.pes)
    # n:m prescribes what a whole block keeps, so no block may lie in two groups.
    if _are_alike(pe_map.cell_labels(), whole.cell_labels()[rows, columns]):
        return pe_map
    raise BalancerError(
        f"{groups} groups of {inputs} input channels cut the blocks of the PE map "
        f"{text}; leave such layers out with `skip`"
    )


def _are_alike(one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> bool:
    """Whether two numberings of the weights make the same sets of them."""
    pairs = len(np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).T)
    return pairs == len(np.unique(one)) == len(np.unique(other))
