"""The analytic model against the array stepped cycle by cycle, and its invariants."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import LoadMetrics
from hwmodel import Accelerator, LayerWorkload, evaluate
from hwmodel.stepped import simulate

EVEN_MAPPINGS = (
    "output_channel",
    "input_channel",
    "interleaved",
    "banked",
    "grid",
    "output_stationary",
)
# Maps of one's own: groups that share output channels, or hold them out of order, and
# PEs with copies, whose copies are other PEs in other groups.
SPLIT = (
    "group=in % 2; pe=(out + row) % pes",
    "group=(out + in) % 3; pe=position % pes",
)
COPIED = (
    "pes=6; copies=3; group=out % 2; pe=in % 2 * 3 + copy",
    "pes=6; copies=2; group=out // 2; pe=(out % 2 * 2 + copy + out // 2) % pes",
)
SCHEDULED = ("scheduled_pixels", "scheduled_outputs")
MAPPINGS = (*EVEN_MAPPINGS, "kernel:2", *SPLIT, *COPIED, *SCHEDULED)
SKIPS = ("none", "weight", "spike", "dual")
BARRIERS = ("activation", "pixel", "timestep", "tile", "layer")
COMBINATIONS = [
    combination
    for combination in product(MAPPINGS, SKIPS, BARRIERS)
    if combination[2] != "activation"
    or combination[0] not in ("output_stationary", *COPIED, *SCHEDULED)
    if combination[2] != "pixel" or combination[0] not in SCHEDULED
]
# All combinations together take about as many examples as a few single tests.
FEW = settings(max_examples=max(4, settings.default.max_examples // 20), deadline=None)

bandwidths = st.sampled_from([None, 0.7, 1, 3, 16])
energies = st.sampled_from([0, 0.25, 1.5])


@st.composite
def buffers(draw):
    return {
        "capacity_bytes": draw(st.integers(1, 24)),
        "read_pj_per_bit": draw(energies),
        "write_pj_per_bit": draw(energies),
        "bandwidth_bits_per_cycle": draw(bandwidths),
        "leakage_mw": draw(energies),
        "source": "drawn",
    }


@st.composite
def units(draw):
    return {
        "op_pj": draw(energies),
        "base_pj_per_pe_cycle": draw(energies),
        "leakage_mw_per_pe": draw(energies),
        "source": "drawn",
    }


@st.composite
def accelerators(draw, mapping=None, skip=None, barrier=None):
    """Draw an accelerator with arrays smaller and larger than the layers."""
    if mapping is None:
        mapping, skip, barrier = draw(st.sampled_from(COMBINATIONS))
    array = {"mapping": mapping, "skip": skip, "barrier": barrier, "source": "drawn"}
    if mapping in ("grid", "output_stationary"):
        array |= {"rows": draw(st.integers(1, 3)), "cols": draw(st.integers(1, 4))}
    elif "pes=" not in mapping:
        array["pes"] = draw(st.integers(1, 6))
    if barrier == "activation":
        array["fifo_depth_activations"] = draw(st.integers(1, 4))
    else:
        array["barrier_overhead_cycles"] = draw(st.sampled_from([0, 0, 2]))
    array["timesteps_in_parallel"] = draw(st.sampled_from([1, 2, "all"]))
    control = draw(units())
    del control["op_pj"]
    return Accelerator.from_dict(
        {
            "name": "drawn",
            "description": "drawn",
            "frequency_hz": 1e8,
            "array": array,
            "bits": {
                "weight_bits": 8,
                "index_bits": 3,
                "pointer_bits": 5,
                "membrane_bits": 6,
                "source": "drawn",
            },
            "weight_format": draw(st.sampled_from(["dense", "bitmap", "csr"])),
            "membrane": draw(st.sampled_from(["resident", "output_buffer", "dram"])),
            "pe_units": {
                name: draw(units())
                for name in ("accumulate", "mac", "scratchpad", "gated", "lif", "join")
            }
            | {"control": control},
            "buffers": {
                "weight": draw(st.none() | buffers()),
                "input": draw(st.none() | buffers()),
                "output": draw(buffers()),
            },
            "dram": {
                "energy_pj_per_bit": draw(energies),
                "bandwidth_bits_per_cycle": draw(bandwidths),
                "source": "drawn",
            },
            "static": {"power_mw": draw(energies), "source": "drawn"},
        }
    )


densities = st.sampled_from([0.0, 0.2, 0.6, 1.0])


@st.composite
def workloads(draw):
    """Draw a layer, convolutional (grouped, depthwise, strided, 1 x 1) or linear."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    timesteps, batch = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    density, rate = draw(densities), draw(densities)
    if draw(st.booleans()):
        outputs, inputs = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        return LayerWorkload(
            "linear",
            rng.random((outputs, inputs)) < density,
            spikes=rng.random((timesteps, batch, inputs)) < rate,
        )
    groups = draw(st.integers(1, 3))
    outputs, inputs = draw(st.integers(1, 3)) * groups, draw(st.integers(1, 3))
    pairs = {"kernel": (1, 3), "stride": (1, 2), "padding": (0, 2), "dilation": (1, 2)}
    drawn = {
        name: tuple(draw(st.lists(st.integers(*ends), min_size=2, max_size=2)))
        for name, ends in pairs.items()
    }
    kernel = drawn.pop("kernel")
    more = draw(st.lists(st.integers(0, 2), min_size=2, max_size=2))
    size = [
        max(1, dilation * (extent - 1) + 1 - 2 * padding) + extra
        for extent, dilation, padding, extra in zip(
            kernel, drawn["dilation"], drawn["padding"], more, strict=True
        )
    ]
    image = (inputs * groups, *size)
    return LayerWorkload(
        "conv",
        rng.random((outputs, inputs, *kernel)) < density,
        image,
        groups=groups,
        spikes=rng.random((timesteps, batch, *image)) < rate,
        **drawn,
    )


@pytest.mark.parametrize(("mapping", "skip", "barrier"), COMBINATIONS)
@given(st.data())
@FEW
def test_analytic_cycles_equal_stepped_ones(mapping, skip, barrier, data):
    """Every count of cycles is the integer that stepping the array finds."""
    accelerator = data.draw(accelerators(mapping, skip, barrier))
    workload = data.draw(workloads())
    cycles = evaluate([workload], accelerator).activity.cycles
    assert cycles == simulate(workload, accelerator)
    assert all(type(getattr(cycles, name)) is int for name in cycles.__slots__)


@given(accelerators(), workloads())
@settings(deadline=None)
def test_pe_cycles_add_up_to_the_array_s(accelerator, workload):
    """Busy, gated and idle PE cycles are the PEs times the compute cycles."""
    cycles = evaluate([workload], accelerator).activity.cycles
    pes = accelerator.array.size
    assert cycles.busy + cycles.gated + cycles.idle == pes * cycles.compute
    assert 0 <= cycles.idle_structural <= cycles.idle


@given(accelerators(), workloads())
@settings(deadline=None)
def test_utilization_is_the_balancer_s(accelerator, workload):
    """A report's mu is what balancer measures of the mask on the array's map."""
    pe_map = accelerator.array.pe_map((*workload.mask.shape, 1, 1)[:4])
    metrics = LoadMetrics.of(workload.mask.reshape(pe_map.shape), pe_map)
    layer = evaluate([workload], accelerator).layers[0]
    assert layer.mu == pytest.approx(metrics.mu)
    assert layer.occupancy == metrics.occupancy
    assert layer.nonzeros == metrics.nonzeros


@given(accelerators(), workloads())
@settings(deadline=None)
def test_energy_is_the_sum_of_its_parts(accelerator, workload):
    """Breakdown and components add up to the total, shares are no larger than it."""
    report = evaluate([workload, workload], accelerator)
    total = report.energy_pj
    assert sum(report.breakdown.values()) == pytest.approx(total)
    by_component = sum(part.total_pj for part in report.energy.components.values())
    assert by_component == pytest.approx(total)
    assert sum(layer.energy_pj for layer in report.layers) == pytest.approx(total)
    shares = report.energy.idle_pj + report.energy.stall_pj
    assert shares <= total * (1 + 1e-9)
    assert report.energy.membrane_pj <= total * (1 + 1e-9)


@given(accelerators(), workloads(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_more_work_never_costs_fewer_cycles(accelerator, workload, seed):
    """Adding weights to the mask and spikes to the input never saves a cycle."""
    rng = np.random.default_rng(seed)
    geometry = {
        name: getattr(workload, name)
        for name in ("input_shape", "stride", "padding", "dilation", "groups")
    }
    shape = (*workload.spikes.shape[:2], *workload.input_shape)
    spikes = workload.spikes.reshape(shape).astype(bool)
    more = LayerWorkload(
        "more",
        workload.mask | (rng.random(workload.mask.shape) < 0.2),
        spikes=spikes | (rng.random(shape) < 0.2),
        **geometry,
    )
    before = evaluate([workload], accelerator)
    after = evaluate([more], accelerator)
    assert after.cycles >= before.cycles
    assert after.activity.operations.sops >= before.activity.operations.sops


@pytest.mark.parametrize("mapping", EVEN_MAPPINGS)
@pytest.mark.parametrize("barrier", ["pixel", "timestep", "tile", "layer"])
@given(st.data())
@FEW
def test_equal_loads_have_eta_one_when_weights_are_skipped(mapping, barrier, data):
    """No PE waits if all hold equally many weights and none is empty by structure."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, cols = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    # Every (output, input) pair keeps `kept` of its four weights; sizes divide evenly.
    outputs, inputs = 2 * rows * cols, 2 * rows * cols
    kept = data.draw(st.integers(1, 4))
    mask = np.zeros((outputs, inputs, 4), dtype=bool)
    np.put_along_axis(mask, rng.random(mask.shape).argsort(2)[..., :kept], True, 2)
    two_d = mapping in ("grid", "output_stationary")
    size = {"rows": rows, "cols": cols} if two_d else {"pes": rows * cols}
    base = Accelerator.load("u-ticket")
    array = {"mapping": mapping, "skip": "weight", "barrier": barrier, "source": "test"}
    accelerator = Accelerator.from_dict(
        base.model_dump(exclude_unset=True) | {"array": array | size}
    )
    spikes = rng.random((2, 1, inputs, rows + 1, 3)) < 0.3  # output: rows x 2 pixels
    mask = mask.reshape(outputs, inputs, 2, 2)
    layer = LayerWorkload("even", mask, spikes.shape[2:], spikes=spikes)
    report = evaluate([layer], accelerator)
    assert report.eta == 1.0
    assert report.idle_cycles == 0
    assert report.utilization == 1.0
