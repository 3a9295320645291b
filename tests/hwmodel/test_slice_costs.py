"""Slice costs say before balancing what the hardware model says of the masks after."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import balance_network
from hwmodel import Accelerator, LayerWorkload, WorkloadError, evaluate, slice_costs

BOUND = "bandwidth_bits_per_cycle"
OWN = (
    "group=in % 2; pe=(out + row) % pes",
    "pes=6; copies=2; group=out // 3; pe=out % 3 * 2 + copy",
)


@st.composite
def accelerators(draw):
    """Arrays that skip zero weights, with and without memories."""
    name = draw(st.sampled_from(["u-ticket", "generic-45nm"]))
    data = Accelerator.load(name).model_dump(exclude_unset=True)
    mapping = draw(
        st.sampled_from(
            [
                *("output_channel", "input_channel", "banked", "grid"),
                *("output_stationary", *OWN),
            ]
        )
    )
    sides = ("rows", "cols") if mapping in ("grid", "output_stationary") else ("pes",)
    if "pes=" in mapping:
        sides = ()
    data["array"] = {
        "mapping": mapping,
        **{side: draw(st.integers(1, 5)) for side in sides},
        "skip": "weight",
        "barrier": draw(st.sampled_from(["pixel", "timestep", "tile"])),
        "timesteps_in_parallel": draw(st.sampled_from([1, 2, "all"])),
        "barrier_overhead_cycles": draw(st.integers(0, 2)),
        "source": "drawn",
    }
    for memory in (data.get("dram"), *data.get("buffers", {}).values()):
        if memory is not None:
            memory.pop(BOUND, None)
    return Accelerator.from_dict(data)


@st.composite
def networks(draw):
    """A convolution and a linear layer."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    outputs, inputs, side = (draw(st.integers(1, 7)) for _ in range(3))
    conv = rng.random((outputs, inputs, 3, 3))
    fc = rng.random((draw(st.integers(1, 9)), draw(st.integers(1, 30))))
    steps, batch = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    analog = draw(st.booleans())

    def workloads(masks):
        more = {"timesteps": steps, "batch": batch}
        image = (inputs, side, side)
        first = LayerWorkload(
            "conv", masks[0], image, padding=1, direct_coded=analog, **more
        )
        return [first, LayerWorkload("fc", masks[1], **more)]

    return {"conv": conv, "fc": fc}, workloads


@given(
    networks(), accelerators(), st.floats(0, 1), st.sampled_from(["layer", "global"])
)
def test_predicted_cycles_and_energy_are_those_of_the_evaluation(
    network, accelerator, sparsity, scope
):
    """Cycles are equal and energies close for every balanced mask."""
    layers, workloads = network
    costs = slice_costs(workloads(list(layers.values())), accelerator)
    spec, pes = accelerator.array.map_spec
    solution = balance_network(
        layers,
        sparsity=sparsity,
        scope=scope,
        pe_map=spec,
        pes=pes,
        costs=costs,
        allow_empty=True,
    )
    report = evaluate(
        workloads([layer.solution.mask for layer in solution.layers]), accelerator
    )
    assert solution.cycles == report.cycles
    assert solution.energy == pytest.approx(report.energy_pj, rel=1e-9)


def test_the_mean_weight_stands_for_all_where_spikes_are_known():
    """With real spikes cycles are exact, and the energy of all weights is."""
    rng = np.random.default_rng(0)
    spikes = rng.random((2, 1, 6, 5, 5)) < 0.3
    accelerator = Accelerator.load("u-ticket")
    layers = {"conv": rng.random((20, 6, 3, 3))}

    def workloads(mask):
        return [LayerWorkload("conv", mask, (6, 5, 5), padding=1, spikes=spikes)]

    costs = slice_costs(workloads(layers["conv"]), accelerator)
    half, full = (
        balance_network(layers, sparsity=sparsity, costs=costs)
        for sparsity in (0.5, 0.0)
    )
    for solution, tolerance in ((half, 0.1), (full, 1e-9)):
        report = evaluate(workloads(solution.layers[0].solution.mask), accelerator)
        assert solution.cycles == report.cycles
        assert solution.energy == pytest.approx(report.energy_pj, rel=tolerance)


@pytest.mark.parametrize("preset", ["sata", "loas", "eie", "generic-45nm"])
def test_arrays_whose_slices_differ_are_refused(preset):
    """Cycles that depend on spikes, positions or nothing at all have no slice cost."""
    layer = LayerWorkload("fc", np.ones((4, 4)))
    with pytest.raises(WorkloadError, match=r"slice costs need|accepted: pixel"):
        slice_costs([layer], Accelerator.load(preset))


def test_one_name_for_two_layers_is_refused():
    """Costs are told apart by the names of the layers."""
    layer = LayerWorkload("fc", np.ones((4, 4)))
    with pytest.raises(WorkloadError, match="two layers are named 'fc'"):
        slice_costs([layer, layer], Accelerator.load("u-ticket"))
