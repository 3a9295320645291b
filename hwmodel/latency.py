"""Latency of a layer: its stages, with memory traffic double buffered behind them.

While stage b computes, every memory port moves what stage b streams, what stage b + 1
needs to start and what stage b - 1 has left behind; the stage lasts as long as the
slower of the two. Before it, the first stage's needs are filled in, and after it, what
the last leaves is drained. The equations: "Latency" in ``docs/hardware-model.md``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from balancer.array_types import AnyArray, IntArray
from hwmodel.activity import Cycles
from hwmodel.compute import Compute
from hwmodel.traffic import Port


def port_cycles(bits: IntArray, bandwidth_bits_per_cycle: float) -> IntArray:
    """Cycles to move some bits, rounded up.

    Parameters
    ----------
    bits : ndarray of int64 [n]
        Bits of each transfer.
    bandwidth_bits_per_cycle : float
        Above 0; taken as the exact fraction that the float is.
    """
    above, below = float(bandwidth_bits_per_cycle).as_integer_ratio()
    cycles = [-(-int(count) * below // above) for count in bits]
    return np.array(cycles, dtype=np.int64)


def memory_cycles(ports: Iterable[Port], stages: int) -> tuple[int, IntArray, int]:
    """Cycles that memory takes: to fill, during each stage, and to drain.

    Parameters
    ----------
    ports : iterable of Port
        Ports that work in parallel.
    stages : int
        Stages of the layer.

    Returns
    -------
    fill : int
    during : ndarray of int64 [stages]
    drain : int
    """
    fill, drain = 0, 0
    during = np.zeros(stages, dtype=np.int64)
    for port in ports:
        bandwidth = port.bandwidth_bits_per_cycle
        if bandwidth is None or not stages:
            continue
        bits = port.during.copy()
        bits[:-1] += port.before[1:]
        bits[1:] += port.after[:-1]
        during = np.maximum(during, port_cycles(bits, bandwidth))
        fill = max(fill, int(port_cycles(port.before[:1], bandwidth)[0]))
        drain = max(drain, int(port_cycles(port.after[-1:], bandwidth)[0]))
    return fill, during, drain


def layer_cycles(compute: Compute, ports: Iterable[Port], pes: int) -> Cycles:
    """Put compute and memory cycles of a layer together, over all samples.

    Parameters
    ----------
    compute : Compute
        Compute cycles of each sample and stage.
    ports : iterable of Port
        Memory traffic of one sample.
    pes : int
        PEs of the array.
    """
    samples, stages = compute.cycles.shape
    fill, during, drain = memory_cycles(ports, stages)
    total = _number(compute.cycles)
    of_stage: AnyArray = compute.cycles.sum(axis=0)
    return Cycles(
        compute=total,
        fill=fill * samples,
        stall=_number(np.maximum(0, during - compute.cycles)),
        drain=drain * samples,
        busy=compute.busy,
        gated=compute.gated,
        # Expectations are floats, whose rounding must not make idle time negative.
        idle=max(0, pes * total - compute.busy - compute.gated),
        idle_structural=_number(of_stage * (pes - compute.present)),
    )


def _number(values: AnyArray) -> int | float:
    """Sum as a Python int or float, whichever the values are."""
    return values.sum().item()  # type: ignore[no-any-return]
