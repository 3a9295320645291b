"""Arrays whose PEs take tasks as they are free: published forms, and bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel import (
    Accelerator,
    LayerWorkload,
    WorkloadError,
    evaluate,
    slice_costs,
)
from hwmodel.list_schedule import makespan
from validation.forms import mint, mint_cycles, sato_cycles, unfolded


def layer_of(seed, density=0.3, rate=0.4, timesteps=4):
    """A convolution with padding, its spikes unfolded: [time steps, pixels, inputs]."""
    rng = np.random.default_rng(seed)
    outputs, inputs = (int(n) for n in rng.integers(1, 12, 2))
    height, width = (int(n) for n in rng.integers(2, 8, 2))
    mask = rng.random((outputs, inputs, 3, 3)) < density
    spikes = rng.random((timesteps, 1, inputs, height, width)) < rate
    padded = np.pad(spikes[:, 0], ((0, 0), (0, 0), (1, 1), (1, 1)))
    unfolded = np.stack(
        [
            padded[:, :, y : y + 3, x : x + 3].reshape(timesteps, -1)
            for y in range(height)
            for x in range(width)
        ],
        axis=1,
    )
    workload = LayerWorkload("conv", mask, spikes.shape[2:], padding=1, spikes=spikes)
    return workload, unfolded, mask


def with_array(preset, **array):
    """A preset with other fields of its array."""
    described = Accelerator.load(preset).model_dump(exclude_unset=True)
    described["array"] |= array
    return Accelerator.from_dict(described)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 128]))
def test_sato_is_the_published_form(seed, pes):
    """Spikes of the busiest PE, if each row goes to the idlest, times the channels."""
    workload, _, mask = layer_of(seed)
    sato = with_array("sato", pes=pes)
    cycles = sato_cycles(unfolded(workload), len(mask), pes)
    assert evaluate([workload], sato).cycles == cycles


@given(st.integers(0, 2**32 - 1))
def test_mint_is_the_published_form(seed):
    """Spikes times the tiles of 128 output channels, on tiles that skip spikes."""
    workload, rows, mask = layer_of(seed)
    assert unfolded(workload).sum() == rows.sum()
    cycles = mint_cycles(unfolded(workload), len(mask))
    assert evaluate([workload], mint()).cycles == cycles


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 16]))
def test_loas_joins_packed_spikes_with_kept_weights(seed, pes):
    """A task joins a neuron's kept weights with inputs that spike at any time step."""
    workload, unfolded, mask = layer_of(seed)
    packed = unfolded.any(axis=0)  # [pixels, inputs]
    joins = packed.astype(int) @ mask.reshape(len(mask), -1).T.astype(int)
    finish = np.zeros(pes, dtype=int)
    for task in joins.reshape(-1):  # pixel by pixel, channel by channel
        finish[np.argmin(finish)] += task
    loas = with_array("loas-scheduled", pes=pes)
    described = loas.model_dump(exclude_unset=True)
    del described["dram"]
    cycles = evaluate([workload], Accelerator.from_dict(described)).activity.cycles
    assert cycles.compute == finish.max()
    assert cycles.busy == joins.sum()
    # Of dense weights: the packed spikes times the output channels.
    dense = LayerWorkload(
        "conv", np.ones_like(mask), workload.image, padding=1, spikes=workload.spikes
    )
    busy = evaluate([dense], loas).activity.cycles.busy
    assert busy == packed.sum() * len(mask)


@given(
    st.lists(st.integers(0, 50), max_size=40),
    st.integers(1, 6),
)
def test_list_scheduling_keeps_graham_s_bound(loads, pes):
    """No list takes longer than (2 - 1 / P) of what no schedule can go below."""
    least = max([-(-sum(loads) // pes), *loads])
    assert least <= makespan(loads, pes) <= (2 - 1 / pes) * least


@given(st.integers(0, 2**32 - 1), st.sampled_from(["sato", "loas-scheduled"]))
def test_expected_tasks_are_a_lower_bound(seed, preset):
    """With rates, cycles are at most the mean over samples, and said to be a bound."""
    workload, *_ = layer_of(seed)
    accelerator = with_array(preset, pes=3)
    known = {"input_shape": workload.image, "padding": 1, "timesteps": 2}
    rate = {"spike_rate": 0.4}
    bound = evaluate([LayerWorkload("c", workload.mask, **known, **rate)], accelerator)
    drawn = [
        evaluate(
            [
                LayerWorkload(
                    "c", workload.mask, **known, **rate, rate_mode="sample", seed=s
                )
            ],
            accelerator,
        )
        for s in range(20)
    ]
    assert bound.layers[0].basis.value == "lower bound"
    cycles = np.array([report.activity.cycles.compute for report in drawn])
    slack = 4 * cycles.std() / np.sqrt(len(cycles)) + 1e-9
    assert bound.activity.cycles.compute <= cycles.mean() + slack


def test_every_task_reads_its_weights():
    """The weight buffer is read once for every output pixel and time block."""
    workload, _, mask = layer_of(0)
    base = Accelerator.load("generic-45nm").model_dump(exclude_unset=True)
    array = {"pes": 4, "skip": "dual", "source": "test"}
    read = {}
    for mapping, barrier in (("output_channel", "tile"), ("scheduled_outputs", "tile")):
        base["array"] = array | {"mapping": mapping, "barrier": barrier}
        traffic = evaluate([workload], Accelerator.from_dict(base)).activity.traffic
        read[mapping] = traffic.weight.read_bits
    kept, bits = int(mask.sum()), 8 + 8
    assert read["output_channel"] == kept * bits + len(mask) * 16
    assert read["scheduled_outputs"] == read["output_channel"] * workload.pixels * 4


@pytest.mark.parametrize("preset", ["sato", "loas-scheduled"])
def test_scheduled_arrays_say_what_they_cannot(preset):
    """They have no barrier at every pixel, and their slices no cost."""
    with pytest.raises(ValueError, match="accepted: 'timestep', 'tile', 'layer'"):
        with_array(preset, barrier="pixel")
    accelerator = with_array(preset, skip="weight")
    with pytest.raises(WorkloadError, match="follow from the order of the tasks"):
        slice_costs([LayerWorkload("fc", np.ones((4, 4)))], accelerator)
