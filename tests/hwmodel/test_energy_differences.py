"""Energies against differences: what is left out saves exactly what it cost."""

import numpy as np
import pytest

from hwmodel import Accelerator, LayerWorkload, evaluate

BASE = Accelerator.load("generic-45nm").model_dump(exclude_unset=True)
BUFFER = BASE["buffers"]["output"] | {"read_pj_per_bit": 0.25, "write_pj_per_bit": 0.75}
BURNING = {"base_pj_per_pe_cycle": 0.5, "leakage_mw_per_pe": 0.125, "source": "test"}
RNG = np.random.default_rng(0)
MASK, SPIKES = RNG.random((40, 6, 3, 3)) < 0.3, RNG.random((3, 2, 6, 5, 5)) < 0.4
LAYER = LayerWorkload("conv", MASK, (6, 5, 5), spikes=SPIKES)


def report_of(**changes):
    return evaluate([LAYER], Accelerator.from_dict(BASE | changes)).layers[0]


@pytest.mark.parametrize("place", ["output_buffer", "dram"])
def test_membranes_that_stay_in_the_pes_save_their_energy(place):
    """The energy of membrane potentials is what moving them adds, and no more."""
    buffers = BASE["buffers"] | {"output": BUFFER}
    moved = report_of(buffers=buffers, membrane=place)
    resident = report_of(buffers=buffers, membrane="resident")
    assert resident.energy.membrane_pj == 0
    assert moved.energy.membrane_pj == pytest.approx(
        moved.energy_pj - resident.energy_pj
    )
    assert moved.energy.membrane_pj > 0


def burning(bandwidth=None, **array):
    """An array whose PEs burn base and leakage, on memories of a bandwidth."""
    memories = {
        name: {**memory, "bandwidth_bits_per_cycle": bandwidth}
        for name, memory in {**BASE["buffers"], "dram": BASE["dram"]}.items()
    }
    dram = memories.pop("dram")
    return report_of(
        array=BASE["array"] | array,
        pe_units=BASE["pe_units"] | {"control": BURNING},
        buffers=memories,
        dram=dram,
    )


def test_a_memory_that_never_lets_wait_saves_the_stalls():
    """What PEs burn before, between and after the stages is all of the difference."""
    slow, fast = burning(bandwidth=2), burning()
    cycles = slow.activity.cycles
    assert min(cycles.fill, cycles.stall, cycles.drain) > 0
    assert fast.activity.cycles.waiting == fast.energy.stall_pj == 0
    assert slow.energy.stall_pj == pytest.approx(slow.energy_pj - fast.energy_pj)
    assert slow.energy.idle_pj == pytest.approx(fast.energy.idle_pj)


def test_every_cycle_of_a_pe_works_idles_or_stalls():
    """Base and leakage are those of work, of barriers and of memory together."""
    report = burning(bandwidth=2)
    cycles, energy = report.activity.cycles, report.energy
    working = (cycles.busy + cycles.gated) * (0.5 + 0.125e9 / BASE["frequency_hz"])
    burnt = energy.breakdown["base"] + energy.breakdown["leakage"]
    assert working + energy.idle_pj + energy.stall_pj == pytest.approx(burnt)


def test_energies_of_components_add_up():
    """The breakdown, the components and the total are one energy."""
    energy = burning(bandwidth=2).energy
    parts = [part.total_pj for part in energy.components.values()]
    assert energy.total_pj == pytest.approx(sum(parts))
    assert energy.total_pj == pytest.approx(sum(energy.breakdown.values()))
    twice = energy + energy
    for name in ("total_pj", "idle_pj", "stall_pj", "membrane_pj"):
        assert getattr(twice, name) == pytest.approx(2 * getattr(energy, name))
