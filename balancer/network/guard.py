"""The guard of the layers: none loses its last slice unless that was asked for.

A network without one of its layers computes nothing. Where a budget has no room for the
smallest slice of a layer, the layer gets that much all the same, and the layers with
most non-zeros pay for it, so that the network keeps its budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from balancer.array_types import IntArray
from balancer.errors import InfeasibleError
from balancer.files.ticket_layer import LayerArrays
from balancer.maps.pe_map import PEMap
from balancer.program.problem import RetentionProblem

ASK = "or let layers be emptied (`allow_empty`, --allow-empty)"


def smallest_slice(pe_map: PEMap, most_load: IntArray) -> int:
    """Least non-zeros of a balanced mask that keeps any; 0 if none can.

    Parameters
    ----------
    pe_map : PEMap
        The groups.
    most_load : ndarray of int [groups]
        Greatest load that each of them can have.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.network.guard import smallest_slice
    >>> pe_map = PEMap.output_channel((6, 8), pes=4)  # tiles of 4 and of 2 channels
    >>> [smallest_slice(pe_map, np.array(most)) for most in ([8, 8], [8, 0], [0, 0])]
    [2, 4, 0]
    """
    sizes = pe_map.group_sizes()
    able = sizes[(sizes > 0) & (most_load > 0)]
    return int(able.min()) if able.size else 0


def least_nonzeros(arrays: LayerArrays, problem: RetentionProblem) -> int | None:
    """Least non-zeros of a layer that must not be emptied; None if it cannot be helped.

    A layer whose mask keeps nothing has nothing to lose.
    """
    if problem.least or not arrays.mask.any():
        return problem.least
    return smallest_slice(problem.pe_map, problem.upper) or None


def share_out(
    wanted: Mapping[str, int],
    least: Mapping[str, int],
    most: Mapping[str, int],
    *,
    total: int | None = None,
    units: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Settle the budgets of layers, of which each needs some non-zeros at least.

    Every layer gets the whole units that are nearest to what it wants, and at least
    what it needs. What that takes too much, or leaves over, is made good where it
    matters least: in the layers with most non-zeros.

    Parameters
    ----------
    wanted, least, most : mapping of str to int
        Non-zeros that each layer should have, needs, and can have.
    total : int, optional
        Most non-zeros of all layers; default: what all want.
    units : mapping of str to int, optional
        What each layer keeps a multiple of; default: 1.

    Raises
    ------
    InfeasibleError
        All layers together need more than the total; the message says how much each.

    Examples
    --------
    >>> from balancer.network.guard import share_out
    >>> wanted, most = {"a": 90, "b": 5}, {"a": 100, "b": 40}
    >>> share_out(wanted, least={"a": 16, "b": 16}, most=most)
    {'a': 79, 'b': 16}
    """
    total = sum(wanted.values()) if total is None else total
    refuse_too_little(total, least)
    units = units or dict.fromkeys(wanted, 1)
    budgets = {
        name: min(most[name], max(round(wanted[name] / unit) * unit, least[name]))
        for name, unit in units.items()
    }
    owed = total - sum(budgets.values())
    for name in sorted(wanted, key=lambda name: -wanted[name]):
        unit = units[name]
        whole = (budgets[name] + owed) // unit * unit
        whole = min(max(whole, min(budgets[name], least[name])), most[name])
        owed += budgets[name] - whole
        budgets[name] = whole
        if owed >= 0:
            break
    return budgets


def refuse_too_little(total: int, least: Mapping[str, int]) -> None:
    """Refuse a budget of all layers below what they need.

    Raises
    ------
    InfeasibleError
        The message says which layers need how much.
    """
    needed = sum(least.values())
    if needed <= total:
        return
    raise InfeasibleError(
        f"`budget` is {total} for all layers; floors and a slice of each need "
        f"at least {needed} ({_listed(least)}); raise the budget, take fewer PEs {ASK}"
    )


def refuse_own_budgets(own: Mapping[str, int], least: Mapping[str, int]) -> None:
    """Refuse budgets of single layers that have no room for a slice.

    Raises
    ------
    InfeasibleError
        The message says which layers need how much.
    """
    raise InfeasibleError(
        f"`budget` allows {_listed(own)}; the smallest slice needs "
        f"{_listed({name: least[name] for name in own})}; raise the budget, take fewer "
        f"PEs {ASK}"
    )


def refuse_hopeless(names: Sequence[str]) -> None:
    """Refuse layers that every balanced mask empties, if there are any.

    Raises
    ------
    InfeasibleError
        The message names them.
    """
    if names:
        raise InfeasibleError(
            f"no balanced mask keeps any weight of {', '.join(names)}: in every group "
            "some PE has none that may be kept; let pruned weights return (without "
            f"`nested`, --nested) {ASK}"
        )


def _listed(nonzeros: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in nonzeros.items() if count)
