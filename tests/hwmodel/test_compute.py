"""Busy, gated and idle PE cycles, and operations, of layers small enough to count."""

import numpy as np
import pytest

from hwmodel import Accelerator, LayerWorkload, evaluate

BASE = Accelerator.load("generic-45nm").model_dump(exclude_unset=True)
MASK = np.zeros((20, 4, 3, 3), dtype=bool)
MASK[:, 0] = True  # 9 of 36 weights kept in every channel: 180 of 720
MASK[0, 1, 0, 0] = True
PIXELS, STEPS = 9, 3


def activity(layer, **array):
    """What a layer does on 16 PEs: a tile of 16 channels and one of 4."""
    described = BASE["array"] | {"skip": "dual", "barrier": "pixel"} | array
    return evaluate(
        [layer], Accelerator.from_dict(BASE | {"array": described})
    ).activity


@pytest.mark.parametrize("parallel", [1, 2, "all"])
@pytest.mark.parametrize("skip", ["none", "weight", "spike", "dual"])
def test_without_spikes_every_input_counts(skip, parallel):
    """What is kept is busy in every pass; zeros that are not skipped are gated."""
    layer = LayerWorkload("conv", MASK, (4, 5, 5), timesteps=STEPS)
    done = activity(layer, skip=skip, timesteps_in_parallel=parallel)
    passes = {1: 3, 2: 2, "all": 1}[parallel] * PIXELS
    keeps_zeros = skip in ("none", "spike")
    assert done.cycles.busy == 181 * passes
    assert done.cycles.gated == (720 - 181) * passes * keeps_zeros
    slowest = [36, 36] if keeps_zeros else [10, 9]
    assert done.cycles.compute == sum(slowest) * passes
    assert done.operations.accumulates == 181 * PIXELS * STEPS
    assert done.operations.fan_out == 720 * PIXELS * STEPS
    assert done.operations.spikes == 100 * STEPS


@pytest.mark.parametrize("known", ["spikes", "rates"])
def test_spikes_count_where_weights_meet_them(known):
    """One channel fires in one step, everywhere: real or expected, it is the same."""
    spikes = np.zeros((STEPS, 1, 4, 5, 5), dtype=bool)
    spikes[1, :, 1] = True
    if known == "spikes":
        layer = LayerWorkload("conv", MASK, (4, 5, 5), spikes=spikes)
        fired = 1
    else:
        layer = LayerWorkload(
            "conv",
            MASK,
            (4, 5, 5),
            timesteps=STEPS,
            spike_rate=np.array([0, 1.0, 0, 0]),
        )
        fired = STEPS
    done = activity(layer)
    assert done.cycles.busy == pytest.approx(PIXELS * fired)
    assert done.cycles.gated == 0
    assert done.operations.accumulates == pytest.approx(PIXELS * fired)
    assert done.operations.fan_out == pytest.approx(20 * 9 * PIXELS * fired)
    assert done.operations.spikes == pytest.approx(25 * fired)
    # Channel 0 alone works: 15 PEs of its tile wait, and so do all of the other tile.
    assert done.cycles.compute == pytest.approx(PIXELS * fired)
    assert done.cycles.idle == pytest.approx(15 * PIXELS * fired)
    gated = activity(layer, skip="spike").cycles.gated
    assert gated == pytest.approx((20 * 9 - 1) * PIXELS * fired)
    dense = activity(layer, skip="none").cycles
    assert dense.busy + dense.gated == pytest.approx(720 * PIXELS * STEPS)
    assert dense.busy == pytest.approx(PIXELS * fired)


def test_steps_in_parallel_meet_a_spike_once():
    """Inputs that fire twice in a block are busy once, but two operations."""
    spikes = np.zeros((STEPS, 1, 4, 5, 5), dtype=bool)
    spikes[:2, :, 1] = True
    layer = LayerWorkload("conv", MASK, (4, 5, 5), spikes=spikes)
    done = activity(layer, timesteps_in_parallel=2)
    assert done.cycles.busy == PIXELS
    assert done.operations.accumulates == 2 * PIXELS
    assert done.operations.fan_out == 2 * 20 * 9 * PIXELS
    assert done.operations.spikes == 2 * 25


def test_padding_holds_no_spikes():
    """Spikes of the input are counted without the zeros around it."""
    spikes = np.ones((1, 2, 4, 3, 2), dtype=bool)
    layer = LayerWorkload("conv", MASK, (4, 3, 2), padding=(2, 1), spikes=spikes)
    done = activity(layer)
    assert done.operations.spikes == 2 * 4 * 3 * 2


@pytest.mark.parametrize(
    ("barrier", "overheads"),
    [("pixel", PIXELS * STEPS), ("timestep", STEPS), ("tile", 1), ("layer", 0.5)],
)
@pytest.mark.parametrize("skip", ["weight", "dual"])
def test_every_barrier_costs_its_overhead(barrier, overheads, skip):
    """Once for each pixel, time step, or tile of each group; once for the layer."""
    layer = LayerWorkload(
        "conv", MASK, (4, 5, 5), spikes=np.ones((STEPS, 1, 4, 5, 5), dtype=bool)
    )
    plain, dear = (
        activity(layer, barrier=barrier, skip=skip, barrier_overhead_cycles=overhead)
        for overhead in (0, 5)
    )
    more = dear.cycles.compute - plain.cycles.compute
    assert more == 2 * 5 * overheads


def test_an_input_that_very_many_outputs_read_counts_them_all():
    """2**16 kept weights of one input, more than 16 bits can hold."""
    spikes = np.ones((1, 1, 1, 1, 1), dtype=bool)
    mask = np.ones((2**16, 1, 1, 1), dtype=bool)
    done = activity(LayerWorkload("wide", mask, (1, 1, 1), spikes=spikes))
    assert done.operations.accumulates == done.operations.fan_out == 2**16
    assert done.cycles.busy == 2**16
