"""An array of your own: 3 x 4 PEs, pairs of output channels, kernel rows apart."""

from pathlib import Path

import numpy as np

from balancer import (
    PEMap,
    RetentionProblem,
    balance_ticket,
    shipped_ticket,
    solve,
)
from hwmodel import Hardware, LayerWorkload, evaluate

# Four pairs of output channels at a time, one PE for each row of their kernels.
Path("array.yaml").write_text("""\
group: out // 8
pe: (out // 2 % 4) * 3 + row
pes: 12
""")
array = Hardware.of("u-ticket", "array.yaml")
for order in ("fixed", "optimized"):
    report = balance_ticket(
        shipped_ticket(), hardware=array, order=order, gap_limit=0.01, work_limit=0.01
    )
    kept = f"{report.solution.kept_fraction:.1%} of the magnitude"
    print(f"{order}: {report.cycles_before:,} -> {report.cycles:,} cycles, {kept}")


def place(o, i, r, c):
    """Say the same of one weight: its group and its PE."""
    return o // 8, (o // 2 % 4) * 3 + r


scores = np.random.default_rng(0).random((32, 16, 3, 3))
solution = solve(RetentionProblem(scores, PEMap.from_place(scores.shape, place), 960))
layer = LayerWorkload("conv", solution.mask, (16, 8, 8), padding=1, timesteps=4)
print(evaluate([layer], array.accelerator).cycles, "cycles for", solution.loads[:, 0])
