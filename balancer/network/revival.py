"""Whether weights that were pruned before may return.

A mask that only drops weights changes the network by what it drops, and no more. One
that revives some is a plan for training, since these weights are zero. So by default
weights return only where a layer cannot keep its budget without them.
"""

from __future__ import annotations

import numpy as np

from balancer.files.ticket_layer import LayerArrays
from balancer.maps.pe_map import PEMap
from balancer.order.sorting import channel_nonzeros, sorted_schedule
from balancer.program.problem import Order


def keeps_budget(
    arrays: LayerArrays, pe_map: PEMap, budget: int | None, order: Order
) -> bool:
    """Whether some balanced mask of weights that are there keeps a layer's budget.

    Parameters
    ----------
    arrays : LayerArrays
        The layer, with its mask.
    pe_map : PEMap
        Where its weights lie.
    budget : int or None
        Most non-zeros; None is what the map implies. To keep it means to leave over
        less than the smallest slice.
    order : {"fixed", "sorted", "optimized"}
        Whether the channels may be reordered for it.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.files.ticket_layer import LayerArrays
    >>> from balancer.network.revival import keeps_budget
    >>> mask = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    >>> layer, pe_map = LayerArrays(mask * 1.0, mask), PEMap.output_channel((2, 3), 2)
    >>> [keeps_budget(layer, pe_map, budget, "fixed") for budget in (2, 3, 4)]
    [True, True, False]
    """
    present = int(np.count_nonzero(arrays.mask))
    if not arrays.has_mask or present == arrays.mask.size:
        return False  # nothing was pruned, as far as is known
    if order == "sorted" and budget != present:
        return False  # sorted by what is kept in the end
    if order == "optimized" and pe_map.order_kind == "blocks":
        return False  # blocks of input channels are not searched for within a mask
    masks = [arrays.mask] if order != "sorted" else []
    schedule = arrays.schedule_along(pe_map.order_axis)
    # The order that is there is kept with the mask that is there; see `present`.
    if schedule is not None and (order == "optimized" or budget == present):
        masks.append(schedule.apply(arrays.mask))
    if order != "fixed" and pe_map.order_axis is not None:
        counts = channel_nonzeros(arrays.mask, pe_map)
        masks.append(sorted_schedule(pe_map, counts).apply(arrays.mask))
    if not masks:
        return False  # a map without another order: the program refuses it
    if not masks:  # a map without another order, of which one was asked
        return False
    sizes = pe_map.group_sizes()
    least = [pe_map.least_of_group(pe_map.cell_loads(mask)) for mask in masks]
    if pe_map.fixed_load is not None:
        return any(
            bool((loads >= pe_map.fixed_load)[sizes > 0].all()) for loads in least
        )
    if budget is None:
        return False
    slice_ = int(sizes[sizes > 0].min(initial=pe_map.weights))
    most = max(int(loads @ sizes) for loads in least)
    return most > 0 and most > budget - max(1, slice_)
