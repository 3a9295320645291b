"""What a layer does on an accelerator: cycles, operations and bits moved.

These are the quantities that energies multiply. They are Python ints where spikes are
real or not needed, and floats where they follow from spike rates. All of them add up
over the samples of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

Number = int | float


class Additive:
    """Base of quantities that add up over layers, field by field."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        sums = {
            item.name: getattr(self, item.name) + getattr(other, item.name)
            for item in fields(self)  # type: ignore[arg-type]
        }
        return type(self)(**sums)

    def times(self, count: int) -> Self:
        """Add up `count` of the same."""
        if count == 1:
            return self
        values = ((item.name, getattr(self, item.name)) for item in fields(self))  # type: ignore[arg-type]
        return type(self)(
            **{
                name: value.times(count)
                if isinstance(value, Additive)
                else value * count
                for name, value in values
            }
        )


@dataclass(frozen=True, slots=True)
class Cycles(Additive):
    """Cycles of the array, and what its PEs do in them.

    Attributes
    ----------
    compute : int or float
        Cycles in which the array computes, waits at barriers included.
    fill, stall, drain : int or float
        Cycles in which all PEs wait for memory: before the first stage, between
        stages, and for the last results.
    busy, gated, idle : int or float
        PE cycles: a kept weight meets a spike; a zero that is not skipped; waiting at
        a barrier. They add up to ``PEs * compute``.
    idle_structural : int or float
        The part of `idle` of PEs that hold no weights at all, which no mask can mend.
    """

    compute: Number = 0
    fill: Number = 0
    stall: Number = 0
    drain: Number = 0
    busy: Number = 0
    gated: Number = 0
    idle: Number = 0
    idle_structural: Number = 0

    @property
    def total(self) -> Number:
        """Cycles from the first bit fetched to the last one written."""
        return self.fill + self.compute + self.stall + self.drain

    @property
    def waiting(self) -> Number:
        """Cycles in which all PEs wait for memory."""
        return self.fill + self.stall + self.drain


@dataclass(frozen=True, slots=True)
class Operations(Additive):
    """Operations.

    Attributes
    ----------
    accumulates, macs : int or float
        Kept weights that meet a spike, or a non-zero analog input: the synaptic
        operations (SOP) of this package.
    fan_out : int or float
        Weights, zeros included, that meet one: SOP of the dense layer, as spikingjelly
        counts them.
    dense : int
        Weights x output pixels x time steps, zeros of both included.
    psum_adds : int or float
        Additions that join the parts of an output channel split over PEs.
    joins : int or float
        Matches found by PEs that skip zeros of both.
    lif_updates : int
        Neurons x time steps.
    spikes, inputs : int or float
        Spikes of the input, and positions where there could be one; a direct-coded
        layer has none.
    """

    accumulates: Number = 0
    macs: Number = 0
    fan_out: Number = 0
    dense: int = 0
    psum_adds: Number = 0
    joins: Number = 0
    lif_updates: int = 0
    spikes: Number = 0
    inputs: int = 0

    @property
    def sops(self) -> Number:
        """Synaptic operations: accumulates and MACs of kept weights."""
        return self.accumulates + self.macs


@dataclass(frozen=True, slots=True)
class Transfers(Additive):
    """Bits read from and written to one buffer."""

    read_bits: int = 0
    write_bits: int = 0


@dataclass(frozen=True, slots=True)
class Traffic(Additive):
    """Bits moved: between chip and DRAM by content, and at each buffer.

    Attributes
    ----------
    dram_weight, dram_input, dram_output, dram_membrane : int
        Bits to and from DRAM.
    weight, input, output : Transfers
        Bits at the buffer of that name.
    membrane_bits : int
        The part of all bits above that are membrane potentials.
    """

    dram_weight: int = 0
    dram_input: int = 0
    dram_output: int = 0
    dram_membrane: int = 0
    weight: Transfers = field(default_factory=Transfers)
    input: Transfers = field(default_factory=Transfers)
    output: Transfers = field(default_factory=Transfers)
    membrane_bits: int = 0

    @property
    def dram_bits(self) -> int:
        """All bits to and from DRAM."""
        return (
            self.dram_weight + self.dram_input + self.dram_output + self.dram_membrane
        )


@dataclass(frozen=True, slots=True)
class Activity(Additive):
    """Everything that a layer, or a network, does."""

    cycles: Cycles = field(default_factory=Cycles)
    operations: Operations = field(default_factory=Operations)
    traffic: Traffic = field(default_factory=Traffic)
