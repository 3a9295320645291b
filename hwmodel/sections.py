"""Sections of an accelerator description: array, bit widths, PE units, memories.

Every number has its unit in its name, and the `source` beside it says where the numbers
of its section come from. A section that is left out is not modelled: it costs neither
cycles nor energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from balancer import BalancerError, PEMap
from balancer.array_types import IntArray
from balancer.maps.own_maps import OwnMap, own_map
from balancer.maps.registry import find_kind, map_kinds
from hwmodel.errors import AcceleratorError

Skip = Literal["none", "weight", "spike", "dual"]
Barrier = Literal["activation", "pixel", "timestep", "tile", "layer"]

# Arrays multiply them with counts of weights, in 64 bits.
Whole = Annotated[int, Field(ge=1, lt=2**31)]
WholeOrZero = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Source = Annotated[str, Field(min_length=1)]


# Mappings that are two-dimensional arrays, with rows and columns.
TWO_D = ("grid", "output_stationary")
# Mappings in which PEs take tasks as they are free, and the group that a task is of:
# every PE holds all weights.
SCHEDULED = {"scheduled_pixels": "0", "scheduled_outputs": "out"}


def _as_text(mapping: Any) -> Any:
    """Write formulas for `group` and `pe`, or the file of some, as the text of a map.

    A file's content counts, not where it lies.
    """
    if isinstance(mapping, dict):
        return OwnMap.of(mapping).text
    own = own_map(mapping) if isinstance(mapping, str) else None
    return mapping if own is None else own.text


def _known_mapping(mapping: str) -> str:
    """Refuse what names no PE map that an array can have."""
    if mapping in (*TWO_D, *SCHEDULED):
        return mapping
    try:
        kind, _ = find_kind(mapping)
        if (kind.takes_pes or kind.pes) and not kind.prescribes_loads:
            return mapping
    except BalancerError:
        pass
    of_arrays = (
        kind.shown
        for kind in map_kinds()
        if kind.takes_pes and not kind.prescribes_loads
    )
    raise ValueError(
        f"is {mapping!r}; it needs one of "
        f"{', '.join((*of_arrays, *TWO_D, *SCHEDULED))}, or "
        "formulas for `group` and `pe`"
    )


MapName = Annotated[str, BeforeValidator(_as_text), AfterValidator(_known_mapping)]


class Section(BaseModel):
    """Base of all sections: immutable, no unknown fields, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PEArray(Section):
    """The PE array: how weights are mapped to PEs, what is skipped, who waits.

    Attributes
    ----------
    mapping : str
        A PE map of `balancer.map_kinds` that takes the PEs beside its text, ``grid``
        with rows and columns, or ``output_stationary``: PE (r, c) computes the pixel
        ``e % rows == r`` of the channel ``o % cols == c``. ``scheduled_pixels`` and
        ``scheduled_outputs``: a PE that is free takes the next output pixel, with all
        output channels or with one. Or one of your own:
        formulas for `group` and `pe` (`balancer.OwnMap`), as a section, as a text or
        as the name of their file; copies of a weight share the output pixels as the
        rows of an output-stationary array do.
    pes : int
        PEs of the array, for the mappings without rows and columns; not needed where
        the formulas say it.
    rows, cols : int
        The array, for ``grid`` and ``output_stationary``.
    skip : str
        Zeros that cost no cycle: ``none``, those of the weights, of the spikes, or
        both (``dual``). Zeros that are not skipped cost a gated cycle.
    barrier : str
        How often the PEs of a group wait for each other: after every input
        ``activation``, output ``pixel``, ``timestep``, group (``tile``) or ``layer``.
    fifo_depth_activations : int
        Only for the ``activation`` barrier: how many activations the fastest PE may
        be ahead of the slowest, its own included; 1 is a barrier.
    timesteps_in_parallel : int or "all"
        Time steps that a PE handles in one cycle; a weight counts once if any of them
        brings a spike.
    barrier_overhead_cycles : int
        Cycles that every barrier adds, as ``rows + cols - 2`` for a skewed systolic
        array that fills and empties at every barrier.
    counting : str
        ``array``: simulate the array's loads and traffic. ``sata_sim``: the closed
        forms of SATA_Sim, see `hwmodel.sata_sim`.
    """

    mapping: MapName
    pes: Whole | None = None
    rows: Whole | None = None
    cols: Whole | None = None
    skip: Skip
    barrier: Barrier
    fifo_depth_activations: Whole = 1
    timesteps_in_parallel: Whole | Literal["all"] = 1
    barrier_overhead_cycles: WholeOrZero = 0
    counting: Literal["array", "sata_sim"] = "array"
    source: Source

    @model_validator(mode="after")
    def _sized(self) -> PEArray:
        """Take the PEs from formulas that say them."""
        known = self.mapping in (*TWO_D, *SCHEDULED)
        if known or (said := find_kind(self.mapping)[0].pes) is None:
            return self
        if self.pes not in (None, said):
            raise ValueError(
                f"mapping has {said} PEs and `pes` is {self.pes}; leave one of them out"
            )
        # A frozen model sets what it derives through its base.
        object.__setattr__(self, "pes", said)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> PEArray:
        two_d = self.mapping in TWO_D
        if two_d != (self.rows is not None and self.cols is not None) or (
            two_d == (self.pes is not None)
        ):
            needs = "`rows` and `cols` but not `pes`" if two_d else "`pes` alone"
            raise ValueError(f"mapping {self.mapping!r} needs {needs} (whole numbers)")
        if self.mapping == "output_stationary" and self.barrier == "activation":
            raise ValueError(
                "mapping 'output_stationary' has no barrier 'activation'; "
                "accepted: 'pixel', 'timestep', 'tile', 'layer'"
            )
        if self.is_scheduled and self.barrier in ("activation", "pixel"):
            raise ValueError(
                f"mapping {self.mapping!r} has no barrier {self.barrier!r}; accepted: "
                "'timestep', 'tile', 'layer'"
            )
        if self.fifo_depth_activations > 1 and self.barrier != "activation":
            raise ValueError(
                f"`fifo_depth_activations` is {self.fifo_depth_activations} with "
                f"barrier {self.barrier!r}; it needs barrier 'activation'"
            )
        if self.barrier == "activation" and self.barrier_overhead_cycles:
            raise ValueError(
                f"`barrier_overhead_cycles` is {self.barrier_overhead_cycles} with "
                "barrier 'activation'; it needs 0 or another barrier"
            )
        if self.counting == "sata_sim" and self.mapping != "output_stationary":
            raise ValueError(
                f"counting 'sata_sim' needs mapping 'output_stationary', "
                f"not {self.mapping!r}"
            )
        return self

    @property
    def size(self) -> int:
        """PEs of the array."""
        if self.rows is not None and self.cols is not None:
            return self.rows * self.cols
        assert self.pes is not None  # the validator saw to it
        return self.pes

    @property
    def is_scheduled(self) -> bool:
        """Whether PEs take tasks as they are free, and no map tells which."""
        return self.mapping in SCHEDULED

    @property
    def is_one_stage(self) -> bool:
        """Whether the PEs go through all groups without waiting in between."""
        return self.barrier == "layer" or self.is_scheduled

    def pixel_rows(self, pe_map: PEMap) -> int:
        """Count the output pixels that the array works on at once, on a `pe_map`."""
        return (
            (self.rows or 1) if self.mapping == "output_stationary" else pe_map.copies
        )

    def pe_of_rows(self, pe_map: PEMap) -> IntArray:
        """PE that works on each pixel row for each cell, [pixel rows, cells]."""
        if self.mapping == "output_stationary":
            row = np.arange(self.rows or 1)[:, None]
            return row * (self.cols or 1) + pe_map.cell_pe
        return pe_map.pe_of_copies.astype(np.int64)

    def pe_map(self, shape: Sequence[int]) -> PEMap:
        """Map the weights of a layer to the PEs.

        Parameters
        ----------
        shape : sequence of int
            Output channels, input channels per output channel, kernel positions.

        Returns
        -------
        PEMap
            For ``output_stationary``: the map of the columns, shared by all rows.

        Raises
        ------
        AcceleratorError
            Copies of weights and a barrier at every activation.
        """
        pe_map = _pe_map(*self.map_spec, tuple(shape))
        if pe_map.copies > 1 and self.barrier == "activation":
            raise AcceleratorError(
                f"the PE map {self.mapping} holds {pe_map.copies} copies of a weight, "
                "which share the output pixels, so there is no barrier 'activation'; "
                "accepted: 'pixel', 'timestep', 'tile', 'layer'"
            )
        return pe_map

    @property
    def map_spec(self) -> tuple[str, int]:
        """Text of the PE map for `PEMap.parse`, and the PEs that it has."""
        if self.mapping == "grid":
            return f"grid:{self.rows}x{self.cols}", self.size
        if self.mapping == "output_stationary":
            return "output_channel", self.cols or 1
        if self.is_scheduled:
            copied = f"pes={self.size}; copies={self.size}"
            return f"{copied}; group={SCHEDULED[self.mapping]}; pe=copy", self.size
        return self.mapping, self.size

    def blocks_of(self, timesteps: int) -> int:
        """Count the passes over the time steps."""
        return -(-timesteps // self.parallel(timesteps))

    def parallel(self, timesteps: int) -> int:
        """Count the time steps of one pass, given how many there are."""
        together = self.timesteps_in_parallel
        return timesteps if together == "all" else min(together, timesteps)


@lru_cache(maxsize=64)
def _pe_map(spec: str, pes: int, shape: tuple[int, ...]) -> PEMap:
    """Make a map once: networks repeat shapes, and masks of one are compared."""
    return PEMap.parse(spec, shape, pes)


class BitWidths(Section):
    """Bits of one weight, sparse index, stream pointer, membrane, spike, activation.

    `pointer_bits` start each PE's stream of a group in the ``csr`` format;
    `activation_bits` are those of the analog input of a direct-coded layer.
    """

    weight_bits: Whole
    index_bits: WholeOrZero
    pointer_bits: WholeOrZero
    membrane_bits: Whole
    spike_bits: Whole = 1
    activation_bits: Whole = 8
    source: Source


class PEPower(Section):
    """What something inside every PE burns whether or not the PE works.

    Attributes
    ----------
    base_pj_per_pe_cycle : float
        Per PE and cycle, whether the PE works, waits or stalls.
    leakage_mw_per_pe : float
        Static power in one PE.
    node_nm : float
        Technology node of the numbers; default: the accelerator's.
    """

    base_pj_per_pe_cycle: NonNegative = 0.0
    leakage_mw_per_pe: NonNegative = 0.0
    node_nm: Positive | None = None
    source: Source


class PEUnit(PEPower):
    """A unit inside every PE: `op_pj` for each operation, on top of its power."""

    op_pj: NonNegative


class PEUnits(Section):
    """Units of a PE and what counts as an operation of each.

    Attributes
    ----------
    accumulate : PEUnit
        A kept weight meets a spike, or two partial sums are added.
    mac : PEUnit
        A kept weight meets a non-zero analog input (direct-coded layer).
    scratchpad : PEUnit
        The PE's own storage, once per accumulate or MAC.
    gated : PEUnit
        A cycle on a zero that the PE does not skip.
    lif : PEUnit
        One neuron's update in one time step.
    join : PEUnit
        A match of kept weight and spike found by a PE that skips both.
    control : PEPower
        Anything else a PE burns per cycle.
    """

    accumulate: PEUnit
    mac: PEUnit
    scratchpad: PEUnit | None = None
    gated: PEUnit | None = None
    lif: PEUnit | None = None
    join: PEUnit | None = None
    control: PEPower | None = None


class Buffer(Section):
    """One on-chip buffer; its bandwidth is what reads and writes share."""

    capacity_bytes: Annotated[int, Field(ge=1, lt=2**53)]
    read_pj_per_bit: NonNegative
    write_pj_per_bit: NonNegative
    bandwidth_bits_per_cycle: Positive | None = None
    leakage_mw: NonNegative = 0.0
    node_nm: Positive | None = None
    source: Source


class Buffers(Section):
    """The on-chip buffers of weights, inputs and outputs."""

    weight: Buffer | None = None
    input: Buffer | None = None
    output: Buffer | None = None


class Dram(Section):
    """Off-chip memory; without a bandwidth it never stalls the array."""

    energy_pj_per_bit: NonNegative
    bandwidth_bits_per_cycle: Positive | None = None
    source: Source


class Static(Section):
    """Static power of everything that is neither in a PE nor in a buffer."""

    power_mw: NonNegative
    node_nm: Positive | None = None
    source: Source
