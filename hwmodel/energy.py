"""Energy of what a layer does, split by component and by kind.

Bits that move, operations of the PE units, and what PEs and chip burn in the meantime:
see "Energy" in ``docs/hardware-model.md``. Every PE unit has its own base and leakage,
so each component's full share is known too.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwmodel.accelerator import Accelerator
from hwmodel.activity import Activity, Number
from hwmodel.sections import Buffer, PEPower, PEUnit

PJ_PER_MW_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class ComponentEnergy:
    """Energy of one component in pJ: by its operations, per PE cycle, and leaked."""

    dynamic_pj: float = 0.0
    base_pj: float = 0.0
    leakage_pj: float = 0.0

    @property
    def total_pj(self) -> float:
        """All three."""
        return self.dynamic_pj + self.base_pj + self.leakage_pj


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of a layer or a network.

    Attributes
    ----------
    components : dict of str to ComponentEnergy
        ``dram``, ``weight_buffer``, ``input_buffer``, ``output_buffer``, the PE units
        (``accumulate``, ``mac``, ``scratchpad``, ``gated``, ``lif``, ``join``,
        ``control``) and ``static``.
    idle_pj, stall_pj : float
        Base and leakage of the PEs while they wait at barriers, and for memory: parts
        of the total, not additions to it.
    membrane_pj : float
        Energy of moving membrane potentials, a part of the total too.
    """

    components: dict[str, ComponentEnergy]
    idle_pj: float
    stall_pj: float
    membrane_pj: float

    @property
    def total_pj(self) -> float:
        """Energy of everything."""
        return sum(self.breakdown.values())

    @property
    def breakdown(self) -> dict[str, float]:
        """Dynamic energy of each component, then all base and all leakage, in pJ."""
        parts = {
            name: part.dynamic_pj
            for name, part in self.components.items()
            if name not in ("control", "static")  # they have no operations
        }
        parts["base"] = sum(part.base_pj for part in self.components.values())
        parts["leakage"] = sum(part.leakage_pj for part in self.components.values())
        return parts

    def __add__(self, other: Energy) -> Energy:
        components = {
            name: ComponentEnergy(
                part.dynamic_pj + other.components[name].dynamic_pj,
                part.base_pj + other.components[name].base_pj,
                part.leakage_pj + other.components[name].leakage_pj,
            )
            for name, part in self.components.items()
        }
        return Energy(
            components,
            self.idle_pj + other.idle_pj,
            self.stall_pj + other.stall_pj,
            self.membrane_pj + other.membrane_pj,
        )


def energy(accelerator: Accelerator, activity: Activity) -> Energy:
    """Calculate the energy of an activity.

    Parameters
    ----------
    accelerator : Accelerator
        Energies and powers.
    activity : Activity
        Of a layer or a network.
    """
    cycles, traffic = activity.cycles, activity.traffic
    pes = accelerator.array.size
    pe_cycles = pes * cycles.total
    seconds = cycles.total / accelerator.frequency_hz
    components: dict[str, ComponentEnergy] = {}

    dram = accelerator.dram
    bits = traffic.dram_bits
    components["dram"] = ComponentEnergy(bits * dram.energy_pj_per_bit if dram else 0.0)
    membrane_pj = traffic.dram_membrane * dram.energy_pj_per_bit if dram else 0.0

    # A model's own iterator is slow.
    buffers: dict[str, Buffer | None] = vars(accelerator.buffers)
    for name, buffer in buffers.items():
        if buffer is None:
            components[f"{name}_buffer"] = ComponentEnergy()
            continue
        moved = getattr(traffic, name)
        components[f"{name}_buffer"] = ComponentEnergy(
            dynamic_pj=moved.read_bits * buffer.read_pj_per_bit
            + moved.write_bits * buffer.write_pj_per_bit,
            leakage_pj=buffer.leakage_mw * PJ_PER_MW_SECOND * seconds,
        )
    output = accelerator.buffers.output
    if accelerator.membrane == "output_buffer" and output is not None:
        half = traffic.membrane_bits / 2
        membrane_pj += half * (output.read_pj_per_bit + output.write_pj_per_bit)

    operations = _operations(activity)
    units: dict[str, PEPower | None] = vars(accelerator.pe_units)
    for name, unit in units.items():
        if unit is None:
            components[name] = ComponentEnergy()
            continue
        components[name] = ComponentEnergy(
            dynamic_pj=operations[name] * unit.op_pj
            if isinstance(unit, PEUnit)
            else 0.0,
            base_pj=unit.base_pj_per_pe_cycle * pe_cycles,
            leakage_pj=unit.leakage_mw_per_pe * PJ_PER_MW_SECOND * seconds * pes,
        )
    static_mw = accelerator.static.power_mw if accelerator.static else 0.0
    components["static"] = ComponentEnergy(
        leakage_pj=static_mw * PJ_PER_MW_SECOND * seconds
    )
    waiting_pe = sum(
        components[name].base_pj + components[name].leakage_pj for name in units
    )
    share = waiting_pe / pe_cycles if pe_cycles else 0.0
    return Energy(
        components=components,
        idle_pj=share * cycles.idle,
        stall_pj=share * cycles.waiting * pes,
        membrane_pj=membrane_pj,
    )


def _operations(activity: Activity) -> dict[str, Number]:
    """Operations of each PE unit."""
    done = activity.operations
    return {
        "accumulate": done.accumulates + done.psum_adds,
        "mac": done.macs,
        "scratchpad": done.sops,
        "gated": activity.cycles.gated,
        "lif": done.lif_updates,
        "join": done.joins,
    }
