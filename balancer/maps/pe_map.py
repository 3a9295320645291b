"""PE maps: the lock-step group and the processing element (PE) of every weight.

A PE map cuts a layer into **cells**: cell (g, p) holds the weights that PE p works on
while it is in **group** g, and the PEs of one group wait for each other. Whatever the
accelerator, the solvers only need to look at the weights cell by cell: `layouts` cuts
the layer, and cells of equal size form a matrix with one row per cell, see
`cell_arrays`.

Weights have the layout of every common framework: output channels first, then the input
channels that one output channel reads, then the kernel positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt

from balancer.errors import BalancerError
from balancer.maps.kinds import MapKind
from balancer.maps.labels import Place, labelled, placed
from balancer.maps.layer_cells import LayerCells
from balancer.maps.layout import LayerShape, whole_number
from balancer.maps.own_maps import OwnMap
from balancer.maps.registry import find_kind, map_kinds
from balancer.maps.schedule import Schedule


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PEMap(LayerCells):
    """Which group and PE each weight of one layer belongs to.

    Make one with `output_channel`, `input_channel`, `interleaved`, `banked`, `grid`,
    `n_m`, by its text with `parse` or, for any other accelerator, with `from_labels`.
    Layers smaller than the array and ragged last tiles are legal: a PE without weights
    is idle by structure, which `occupancy` reports, and takes part in no constraint.

    What can be read from a map is that of `LayerCells`: the attributes ``name``,
    ``shape``, ``pes``, ``groups``, …, and the methods ``loads``, ``labels``, ….
    """

    # ------------------------------------------------------------------ construction

    @classmethod
    def output_channel(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Lock-step tiles of `pes` consecutive output channels, one per PE.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        pes : int
            PEs of the array.

        Returns
        -------
        PEMap
            Group = tile, PE = position of the channel in its tile.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.output_channel((5, 3), pes=2).group_sizes()  # the last tile is ragged
        array([2, 2, 1])
        """
        return cls._named("output_channel", shape, pes=pes)

    @classmethod
    def input_channel(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """For each output channel, `pes` consecutive blocks of input channels.

        The blocks are as equal as they can be: sizes differ by one input channel at
        most. Parameters as in `output_channel`; group = output channel, PE = block.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.input_channel((1, 6), pes=4).cell_sizes()
        array([2, 2, 1, 1])
        """
        return cls._named("input_channel", shape, pes=pes)

    @classmethod
    def banked(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Each row (one output channel's weights) in `pes` consecutive banks.

        Bank-balanced sparsity (Cao et al., FPGA 2019, 10.1145/3289602.3293898): banks
        cut through the flattened row, wherever its channels end. Parameters as in
        `output_channel`; group = row, PE = bank.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.banked((1, 2, 3, 3), pes=4).cell_sizes()  # 18 weights in 4 banks
        array([5, 5, 4, 4])
        """
        return cls._named("banked", shape, pes=pes)

    @classmethod
    def grid(cls, shape: Sequence[int], rows: int, cols: int) -> PEMap:
        """Output channels over the rows of the array, input channels over its columns.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        rows, cols : int
            The array; it has ``rows * cols`` PEs.

        Returns
        -------
        PEMap
            Group = tile of `rows` output channels; PE (r, c), numbered
            ``r * cols + c``, holds the c-th of `cols` blocks of input channels of the
            tile's r-th channel.

        Examples
        --------
        >>> from balancer import PEMap
        >>> pe_map = PEMap.grid((4, 6), rows=2, cols=3)
        >>> pe_map.pes, pe_map.groups
        (6, 2)
        """
        return cls._named("grid:{rows}x{cols}", shape, rows=rows, cols=cols)

    @classmethod
    def interleaved(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Row c (one output channel's weights) on PE ``c % pes``; one group.

        The distribution of EIE (Han et al., ISCA 2016, 10.1109/ISCA.2016.30).
        Parameters as in `output_channel`.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.interleaved((5, 3), pes=2).cell_sizes()
        array([9, 6])
        """
        return cls._named("interleaved", shape, pes=pes)

    @classmethod
    def n_m(cls, shape: Sequence[int], n: int, m: int) -> PEMap:
        """Keep exactly `n` of every `m` consecutive input channels.

        Every kernel position of every output channel is cut along the input channels
        into blocks of `m`, one per PE, so the map itself fixes all loads and with them
        the non-zeros. A shorter last block keeps ``min(n, its size)`` weights.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        n, m : int
            ``1 <= n <= m``.

        Returns
        -------
        PEMap
            Group = kernel position of an output channel, PE = block. A last block with
            fewer than `n` weights forms a group of its own.

        Examples
        --------
        >>> import numpy as np
        >>> from balancer import PEMap
        >>> PEMap.n_m((1, 8), 2, 4).loads(np.tile([True, True, False, False], (1, 2)))
        array([[2, 2]])
        """
        return cls._named("{n}:{m}", shape, n=n, m=m)

    @classmethod
    def from_labels(
        cls, group: npt.ArrayLike, pe: npt.ArrayLike, pes: int | None = None
    ) -> PEMap:
        """Any accelerator: give the group and the PE of every weight yourself.

        Parameters
        ----------
        group, pe : array_like of int
            Non-negative labels that broadcast to the shape of the weights (two or more
            dimensions). Group labels need not be compact; PEs run from 0.
        pes : int, optional
            PEs of the array; default: the largest PE label plus one.

        Returns
        -------
        PEMap
            Groups are numbered in the order of their labels.

        Raises
        ------
        BalancerError
            Labels that are no integers, negative, too large, or of shapes that do not
            broadcast.

        Examples
        --------
        Sixteen PEs, each of which takes every sixteenth input channel:

        >>> import numpy as np
        >>> from balancer import PEMap
        >>> channel, row = np.arange(64), np.arange(32)[:, None]
        >>> PEMap.from_labels(group=row, pe=channel % 16).shape
        (32, 64)
        """
        layer, layout = labelled(group, pe, pes)
        return cls("labels", layer.shape, **layout._asdict())

    @classmethod
    def from_place(
        cls, shape: Sequence[int], place: Place, pes: int | None = None
    ) -> PEMap:
        """Any accelerator: give a function from a weight to its group and PE.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        place : callable
            ``place(o, i, r, c) -> (group, pe)`` of the weight at output channel o,
            input channel i, kernel row r and column c. Arithmetic is done on all
            weights at once; anything else is called weight by weight.
        pes : int, optional
            PEs of the array; default: the largest PE plus one.

        Raises
        ------
        BalancerError
            A function that does not return two whole numbers from 0.

        Examples
        --------
        >>> from balancer import PEMap
        >>> def place(o, i, r, c):
        ...     return o // 8, (o // 2 % 4) * 3 + r
        >>> PEMap.from_place((16, 8, 3, 3), place).pes
        12
        """
        layer = LayerShape.of(shape)
        return cls.from_labels(*placed(layer, place), pes)

    @classmethod
    def from_formulas(
        cls,
        shape: Sequence[int],
        group: str | int,
        pe: str | int,
        pes: int,
        copies: str | int | None = None,
        load: str | int | None = None,
    ) -> PEMap:
        """Any accelerator: give group and PE as formulas over the axes of a layer.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        group, pe, copies, load : str or int
            See `OwnMap`, as the YAML files of ``--map`` hold them.
        pes : int
            PEs of the array.

        Raises
        ------
        BalancerError
            Formulas that cannot be read, or that leave weights without a PE.

        Examples
        --------
        >>> from balancer import PEMap
        >>> shape = (16, 8, 3, 3)
        >>> pe_map = PEMap.from_formulas(shape, "out // 4", "row * 4 + out % 4", pes=12)
        >>> pe_map.groups, pe_map.n_cells
        (4, 48)
        """
        kind = OwnMap(group, pe, pes, copies, load).kind()
        return cls._made(kind, shape, {})

    @classmethod
    def parse(cls, spec: str, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Make the map that a short text names.

        Parameters
        ----------
        spec : str
            One of `balancer.map_kinds` (``output_channel``, ``grid:4x8``, ``2:4``, …),
            of the package or registered with `balancer.register_map` (hyphens may stand
            for underscores), a map in formulas (``group=out // 8; pe=out % 8``), or the
            YAML file of one.
        shape : sequence of int
            Shape of the weights.
        pes : int
            PEs of the array, where `spec` does not say it.

        Raises
        ------
        BalancerError
            A text that names no map.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.parse("grid:4x8", (64, 64, 3, 3)).pes
        32
        """
        kind, numbers = find_kind(spec)
        if kind.takes_pes:
            numbers["pes"] = pes
        return cls._made(kind, shape, numbers)

    @classmethod
    def _named(cls, spec: str, shape: Sequence[int], **numbers: int) -> PEMap:
        [kind] = (kind for kind in map_kinds() if kind.spec == spec)
        return cls._made(kind, shape, numbers)

    @classmethod
    def _made(
        cls, kind: MapKind, shape: Sequence[int], numbers: dict[str, int]
    ) -> PEMap:
        layer = LayerShape.of(shape)
        numbers = {name: whole_number(name, value) for name, value in numbers.items()}
        layout = kind.cut(layer, **numbers)
        fields = layout._asdict()
        if not kind.finds_order:
            fields["order_axis"] = kind.order_axis
        return cls(kind.spec.format(**numbers), layer.shape, **fields)

    def schedule(self, order: npt.ArrayLike | None = None) -> Schedule:
        """Make a schedule of the channels that this map permutes.

        Parameters
        ----------
        order : array_like of int, optional
            Schedule position -> channel, along `order_axis`; default: the natural
            order, for maps that permute nothing that of the output channels.

        Raises
        ------
        BalancerError
            An order that is no permutation of the channels, or one for a map whose
            channels cannot be permuted.
        """
        if order is None:
            return Schedule.natural(self.shape, self.order_axis or 0)
        if self.order_axis is None:
            raise BalancerError(f"the map {self.name!r} does not permute channels")
        schedule = Schedule(self.order_axis, order)
        channels = self.shape[self.order_axis]
        if len(schedule.order) != channels:
            raise BalancerError(
                f"`order` has {len(schedule.order)} channels; the map {self.name!r} "
                f"permutes {channels}"
            )
        return schedule

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"PEMap({self.name}, {self.pes} PEs, {self.groups} groups, of {shape})"
