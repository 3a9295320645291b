"""Ground truth by trying every mask, straight from the formulation."""

import numpy as np
from cases import Case


def best_kept(case: Case) -> float | None:
    """Largest kept score over all masks that satisfy the case; None if none does."""
    size = case.pe_map.weights
    masks = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1
    group, pe = (labels.reshape(-1) for labels in case.pe_map.labels())
    options = case.options
    feasible = np.ones(len(masks), dtype=bool)
    fixed = case.pe_map.fixed_load
    for g in np.unique(group):
        loads = [
            masks[:, (group == g) & (pe == p)].sum(axis=1)
            for p in np.unique(pe[group == g])
        ]
        for load in loads:
            feasible &= load == loads[0]
        feasible &= loads[0] >= options.get("min_load", 0)
        feasible &= loads[0] <= options.get("max_load", size)
        if fixed is not None:
            feasible &= loads[0] == fixed[g]
    kept = masks.sum(axis=1)
    if "budget" in options:
        feasible &= kept <= options["budget"]
    floors = options.get("channel_floor", np.zeros(case.pe_map.channels, dtype=int))
    fan_in = size // max(1, case.pe_map.channels)
    for channel, floor in enumerate(floors):
        mine = masks[:, channel * fan_in : (channel + 1) * fan_in]
        feasible &= mine.sum(axis=1) >= floor
    if "previous_mask" in options:
        feasible &= ~(masks & ~options["previous_mask"].reshape(-1)).any(axis=1)
    if "forced" in options:
        feasible &= ~(~masks & options["forced"].reshape(-1)).any(axis=1)
    if not feasible.any():
        return None
    return float((masks[feasible] @ case.scores.reshape(-1).astype(float)).max())
