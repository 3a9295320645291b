"""Energy: every component from its own bits, operations and cycles."""

import pytest

from hwmodel import Accelerator
from hwmodel.activity import Activity, Cycles, Operations, Traffic, Transfers
from hwmodel.energy import energy

UNITS = ("accumulate", "mac", "scratchpad", "gated", "lif", "join")
SAID = {"source": "test"}


def accelerator(**changes):
    """An accelerator of 4 PEs whose energies are all different."""
    array = {
        "mapping": "output_channel", "pes": 4, "skip": "dual", "barrier": "pixel",
        **SAID,
    }  # fmt: skip
    bits = {
        "weight_bits": 8, "index_bits": 8, "pointer_bits": 16, "membrane_bits": 16,
        **SAID,
    }  # fmt: skip
    units = {
        name: {
            "op_pj": 2.0 + number,
            "base_pj_per_pe_cycle": 0.1 * (number + 1),
            "leakage_mw_per_pe": 0.01 * (number + 2),
            **SAID,
        }
        for number, name in enumerate(UNITS)
    }
    units["control"] = {"base_pj_per_pe_cycle": 0.7, "leakage_mw_per_pe": 0.5, **SAID}
    buffers = {
        name: {
            "capacity_bytes": 1024,
            "read_pj_per_bit": 0.2 * number,
            "write_pj_per_bit": 0.3 * number,
            "leakage_mw": 0.25 * number,
            **SAID,
        }
        for number, name in enumerate(("weight", "input", "output"), 1)
    }
    description = {
        "name": "test",
        "description": "every energy another one",
        "node_nm": 45.0,
        "frequency_hz": 2e8,
        "array": array,
        "bits": bits,
        "weight_format": "csr",
        "membrane": "output_buffer",
        "pe_units": units,
        "buffers": buffers,
        "dram": {"energy_pj_per_bit": 20.0, **SAID},
        "static": {"power_mw": 3.0, **SAID},
    }
    given = {**description, **changes}
    return Accelerator.from_dict({k: v for k, v in given.items() if v is not None})


ACTIVITY = Activity(
    cycles=Cycles(compute=100, fill=7, stall=11, drain=2, busy=200, gated=90, idle=110),
    operations=Operations(
        accumulates=500, macs=40, psum_adds=13, joins=17, lif_updates=29
    ),
    traffic=Traffic(
        dram_weight=1000,
        dram_input=200,
        dram_output=30,
        dram_membrane=4,
        weight=Transfers(50, 60),
        input=Transfers(70, 80),
        output=Transfers(90, 110),
        membrane_bits=36,
    ),
)
OPERATIONS = {
    "accumulate": 513, "mac": 40, "scratchpad": 540, "gated": 90, "lif": 29, "join": 17
}  # fmt: skip
SECONDS = 120 / 2e8  # of 120 cycles in all
PE_CYCLES = 4 * 120


def test_every_component_pays_for_what_it_does():
    """Operations, PE cycles and leakage of each unit, bits of each memory."""
    parts = energy(accelerator(), ACTIVITY).components
    for number, name in enumerate(UNITS):
        part = parts[name]
        assert part.dynamic_pj == pytest.approx(OPERATIONS[name] * (2 + number))
        assert part.base_pj == pytest.approx(0.1 * (number + 1) * PE_CYCLES)
        leaked = 0.01 * (number + 2) * 1e9 * SECONDS * 4
        assert part.leakage_pj == pytest.approx(leaked)
        assert part.total_pj == pytest.approx(
            part.dynamic_pj + part.base_pj + part.leakage_pj
        )
    assert parts["control"].dynamic_pj == 0
    assert parts["control"].base_pj == pytest.approx(0.7 * PE_CYCLES)
    assert parts["control"].leakage_pj == pytest.approx(0.5 * 1e9 * SECONDS * 4)
    for number, (name, read, written) in enumerate(
        [("weight", 50, 60), ("input", 70, 80), ("output", 90, 110)], 1
    ):
        part = parts[f"{name}_buffer"]
        moved = 0.2 * number * read + 0.3 * number * written
        assert part.dynamic_pj == pytest.approx(moved)
        assert part.leakage_pj == pytest.approx(0.25 * number * 1e9 * SECONDS)
        assert part.base_pj == 0
    assert parts["dram"].total_pj == pytest.approx(1234 * 20.0)
    assert parts["static"].total_pj == pytest.approx(3.0 * 1e9 * SECONDS)


def test_the_breakdown_adds_up_to_the_total():
    """Dynamic energy by component, then base and leakage of all."""
    found = energy(accelerator(), ACTIVITY)
    parts = found.components
    assert list(found.breakdown)[-2:] == ["base", "leakage"]
    assert not {"control", "static"} & set(found.breakdown)
    assert found.breakdown["base"] == pytest.approx(
        sum(part.base_pj for part in parts.values())
    )
    assert found.breakdown["leakage"] == pytest.approx(
        sum(part.leakage_pj for part in parts.values())
    )
    assert found.total_pj == pytest.approx(
        sum(part.total_pj for part in parts.values())
    )


def test_waiting_costs_base_and_leakage_of_the_pes():
    """Idle PE cycles and cycles of the whole array, at the price of one PE cycle."""
    found = energy(accelerator(), ACTIVITY)
    names = (*UNITS, "control")
    one = (
        sum(
            found.components[name].base_pj + found.components[name].leakage_pj
            for name in names
        )
        / PE_CYCLES
    )
    assert found.idle_pj == pytest.approx(110 * one)
    assert found.stall_pj == pytest.approx((7 + 11 + 2) * 4 * one)


def test_membranes_pay_where_they_move():
    """At DRAM for its bits, at the output buffer half read and half written."""
    half = (0.2 + 0.3) * 3 * 36 / 2
    found = energy(accelerator(), ACTIVITY)
    assert found.membrane_pj == pytest.approx(4 * 20.0 + half)
    found = energy(accelerator(membrane="dram"), ACTIVITY)
    assert found.membrane_pj == pytest.approx(4 * 20.0)
    found = energy(accelerator(membrane="resident", buffers=None), ACTIVITY)
    assert found.membrane_pj == pytest.approx(4 * 20.0)


def test_what_is_not_described_costs_nothing():
    """Without units, memories and static power, everything is 0."""
    bare = accelerator(
        pe_units={"accumulate": {"op_pj": 0.0, **SAID}, "mac": {"op_pj": 0.0, **SAID}},
        buffers=None,
        dram=None,
        static=None,
        membrane="resident",
    )
    found = energy(bare, ACTIVITY)
    assert found.total_pj == found.idle_pj == found.stall_pj == found.membrane_pj == 0
    assert len(found.components) == 12


def test_nothing_done_costs_nothing():
    """No cycles, no energy, and no division by them."""
    found = energy(accelerator(), Activity())
    assert found.total_pj == found.idle_pj == found.stall_pj == 0


def test_energies_add_up_part_by_part():
    """The sum of two layers has the sum of every component and share."""
    one = energy(accelerator(), ACTIVITY)
    other = energy(accelerator(membrane="dram"), ACTIVITY + ACTIVITY)
    both = one + other
    for name, part in both.components.items():
        mine, yours = one.components[name], other.components[name]
        assert part.dynamic_pj == pytest.approx(mine.dynamic_pj + yours.dynamic_pj)
        assert part.base_pj == pytest.approx(mine.base_pj + yours.base_pj)
        assert part.leakage_pj == pytest.approx(mine.leakage_pj + yours.leakage_pj)
    assert both.idle_pj == pytest.approx(one.idle_pj + other.idle_pj)
    assert both.stall_pj == pytest.approx(one.stall_pj + other.stall_pj)
    assert both.membrane_pj == pytest.approx(one.membrane_pj + other.membrane_pj)
