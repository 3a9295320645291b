"""A layer that runs several times is charged for every call, on whatever it runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem, Schedule, solve
from hwmodel import (
    Accelerator,
    Hardware,
    LayerWorkload,
    WorkloadError,
    evaluate,
    network_workloads,
)
from hwmodel.commands.report_tables import report_notes

MASK = np.random.default_rng(0).random((6, 4, 3, 3)) < 0.4


def entry(size, calls=1, analog=False, name="conv"):
    pairs = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
    shape = {"input_shape": None if size is None else [4, *size]}
    return {"name": name, **shape, **pairs, "analog": analog, "calls": calls}


def report_of(entries, preset, **about):
    known = {"layers": entries, "timesteps": 2} | about
    workloads, _ = network_workloads({"conv": MASK}, known)
    return evaluate(workloads, Accelerator.load(preset))


ENTRIES = st.lists(
    st.builds(
        entry,
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@given(ENTRIES, st.sampled_from(["u-ticket", "eie", "sata"]), st.sampled_from([0.2, 1]))
def test_every_call_is_charged(entries, preset, rate):
    """Cycles and energy are the sums over all calls, sizes and kinds of input."""
    about = {"spike_rates": {"conv": rate}}
    report = report_of(entries, preset, **about)
    alone = [
        report_of([one | {"calls": 1}], preset, **about)
        for one in entries
        for _ in range(one["calls"])
    ]
    (layer,) = report.layers
    assert layer.calls == len(alone)
    assert report.cycles == pytest.approx(sum(one.cycles for one in alone))
    assert report.energy_pj == pytest.approx(sum(one.energy_pj for one in alone))
    assert report.idle_cycles == pytest.approx(sum(one.idle_cycles for one in alone))
    assert layer.nonzeros == np.count_nonzero(MASK)
    single = report_of([entries[0]], preset)
    assert report.footprint_bytes == single.footprint_bytes


def test_repeated_layers_are_told_to_who_reads_the_table():
    """Rows add up all calls, which a note says; nothing is said of single ones."""
    notes = list(report_notes(report_of([entry((3, 3), 2), entry((4, 4))], "eie")))
    assert "Cycles and energy are of all calls in an inference: conv 3 times." in notes
    single = report_notes(report_of([entry((3, 3))], "eie"))
    assert not any("calls" in note for note in single)


@given(ENTRIES)
def test_slices_and_masks_cost_what_all_calls_take(entries):
    """Budgets of cycles and energy count every call, as reports do."""
    hardware = Hardware.of("u-ticket", pes=3)
    about = {"layers": entries, "timesteps": 2}
    scores = np.random.default_rng(1).random(MASK.shape)
    pe_map = PEMap.output_channel(MASK.shape, pes=3)
    solution = solve(RetentionProblem(scores, pe_map, sparsity=0.5))
    layers = hardware.layers({"conv": MASK.shape}, about)
    report = hardware.report({"conv": solution.mask}, about)
    cost = layers.mask_cost("conv", solution.mask)
    assert (cost.cycles, cost.energy) == (report.cycles, report.energy_pj)
    assert layers.slice_cost("conv").cycles(solution.loads.max(1).sum()) == cost.cycles


@pytest.mark.parametrize("preset", ["u-ticket", "eie", "loas"])
def test_spikes_of_calls_stand_one_behind_the_other(preset):
    """Recorded spikes of two calls give what the two give by themselves."""
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 2, 5, 4, 3, 3)) < 0.3
    accelerator = Accelerator.load(preset)

    def report(spikes, entries):
        about = {"layers": entries, "timesteps": 2}
        both = network_workloads({"conv": MASK}, about, spikes={"conv": spikes})
        return evaluate(both.workloads, accelerator)

    once = [entry((3, 3))]
    together = report(np.concatenate([first, second], axis=1), [entry((3, 3), 2)])
    apart = [report(spikes, once) for spikes in (first, second)]
    assert together.inferences == 5
    assert together.cycles == sum(one.cycles for one in apart)
    assert together.energy_pj == pytest.approx(sum(one.energy_pj for one in apart))
    image = [entry((3, 3), analog=True), entry((3, 3))]
    mixed = report(first, image)
    assert mixed.cycles - apart[0].cycles == report_of(image[:1], preset).cycles * 5
    with pytest.raises(WorkloadError, match="inputs of several sizes"):
        report(first, [entry((3, 3)), entry((5, 5))])


def test_a_layer_that_never_runs_is_named_and_costs_nothing():
    """The other layers keep the size of their input, and their cycles."""
    masks = {"conv": MASK, "spare": np.ones((3, 2), bool)}
    about = {"layers": [entry((8, 8)), entry(None, 0, name="spare")], "timesteps": 2}
    workloads, assumption = network_workloads(masks, about)
    assert assumption == "never run, and take no cycles: spare"
    report = evaluate(workloads, Accelerator.load("u-ticket"))
    conv, spare = report.layers
    assert conv.cycles == report_of([entry((8, 8))], "u-ticket").cycles
    assert (spare.cycles, spare.energy_pj, spare.nonzeros) == (0, 0, 6)


def test_time_steps_that_nothing_tells_are_said():
    """One time step is an assumption, unless it is asked for or known."""
    masks = {"fc": np.ones((4, 4))}
    assert "time steps are unknown" in network_workloads(masks).assumption
    spikes = {"fc": np.ones((2, 1, 4))}
    for known in (
        network_workloads(masks, {"timesteps": 1}),
        network_workloads(masks, timesteps=1),
        network_workloads(masks, spikes=spikes, direct_coded=False),
    ):
        assert known.assumption is None


def test_calls_of_one_layer_share_its_mask():
    """Two masks under one name are two layers, which need two names."""
    layers = [LayerWorkload("a", mask) for mask in (MASK, ~MASK)]
    with pytest.raises(WorkloadError, match="two layers are named 'a'"):
        evaluate(layers, Accelerator.load("u-ticket"))


@pytest.mark.parametrize("calls", [-1, 1.0, True, None])
def test_calls_are_counted(calls):
    """A number of calls is whole, and not negative."""
    with pytest.raises(WorkloadError, match="`calls` holds"):
        LayerWorkload("a", MASK, calls=calls)


def test_spikes_of_half_a_call_are_refused():
    """Their samples are as many as inferences x calls; the message has all numbers."""
    spikes = np.zeros((1, 3, 4, 3, 3))
    with pytest.raises(WorkloadError, match="`calls` 2, `spikes` have 3 samples"):
        LayerWorkload("a", MASK, spikes=spikes, calls=2)


def test_rates_of_other_time_steps_name_both():
    """Rates [T, channels] are no rates of channels: the message has T and timesteps."""
    with pytest.raises(WorkloadError, match=r"axis of 2 steps and `timesteps` is 1"):
        LayerWorkload("a", MASK, spike_rate=np.full((2, 4), 0.1))


def test_orders_hold_for_every_call():
    """The channels of every call come in the order of the ticket."""
    order = Schedule(0, [5, 0, 4, 1, 3, 2])
    about = {"layers": [entry((8, 8)), entry((4, 4), 2)], "timesteps": 2}
    ordered, _ = network_workloads({"conv": MASK}, about, schedules={"conv": order})
    for call in ordered:
        np.testing.assert_array_equal(call.mask, order.apply(MASK))
