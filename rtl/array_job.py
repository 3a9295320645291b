"""One run of the array: a layer, its input, and what is written to its ports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import AnyArray, IntArray
from hwmodel.sections import Barrier
from rtl.errors import RtlError
from rtl.layer import QuantizedLayer

LANES = 32
"""Inputs that are written at once."""

BARRIERS: dict[Barrier, int] = {"pixel": 0, "timestep": 1, "tile": 2}
"""Barriers that the array has, and their codes. Its tiles are loaded and fired one
after another, so that there is none of the whole layer."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayJob:
    """One sample through one layer.

    Attributes
    ----------
    layer : QuantizedLayer
        The layer.
    inputs : ndarray of int [runs, channels, height, width] or [runs, features]
        Spikes of every time step, or the codes of an analog input, once.
    barrier : str
        ``pixel``, ``timestep`` or ``tile``.
    steps : int
        Time steps of the neurons.
    """

    layer: QuantizedLayer
    inputs: AnyArray
    barrier: Barrier
    steps: int

    def __post_init__(self) -> None:
        if self.barrier not in BARRIERS:
            raise RtlError(
                f"barrier {self.barrier!r}; the array has {', '.join(BARRIERS)}"
            )
        expected = 1 if self.analog else self.steps
        if self.runs != expected:
            raise RtlError(
                f"layer {self.layer.name}: an input of {self.runs} time steps; "
                f"{expected} {'is' if expected == 1 else 'are'} needed"
            )

    @property
    def analog(self) -> bool:
        """Whether one run serves all time steps."""
        return self.layer.shape.direct_coded

    @property
    def runs(self) -> int:
        """Time steps that are computed."""
        return len(self.inputs)

    @property
    def tiles(self) -> int:
        """Tiles of output channels."""
        return self.layer.streams.groups

    @property
    def entries(self) -> int:
        """Sums of a PE for a tile."""
        return self.layer.shape.pixels * self.runs

    @property
    def outputs(self) -> int:
        """Time steps of pixels that all tiles send out."""
        return self.tiles * self.layer.shape.pixels * self.steps

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width of an input in memory."""
        _, height, width = self.layer.shape.image
        above, left = self.layer.shape.pairs("padding")
        return height + 2 * above, width + 2 * left

    @property
    def frame(self) -> int:
        """Inputs of one time step in memory."""
        height, width = self.padded_size
        return self.layer.shape.image[0] * height * width

    def registers(self) -> dict[str, int]:
        """List what the ports of the array are set to, by their names."""
        shape = self.layer.shape
        (down, right), (below, beside) = shape.pairs("stride"), shape.pairs("dilation")
        height, width = self.padded_size
        rows, columns = shape.output_size
        intervals = {"pixel": self.entries, "timestep": self.runs, "tile": 1}
        return {
            "barrier_kind": BARRIERS[self.barrier],
            "intervals": intervals[self.barrier],
            "tiles": self.tiles,
            "columns": columns,
            "rows": rows,
            "pixels": shape.pixels,
            "steps": self.steps,
            "analog": int(self.analog),
            "kernel_rows": shape.kernel[0],
            "kernel_columns": shape.kernel[1],
            "channel_size": height * width,
            "row_step": below * width,
            "column_step": beside,
            "stride": right,
            "row_stride": down * width,
            "frame": self.frame,
            "threshold": self.layer.threshold,
        }

    def lines(self, input_bits: int) -> list[int]:
        """Pack the padded input into the lines of its memory, as unsigned numbers."""
        above, left = self.layer.shape.pairs("padding")
        images = np.asarray(self.inputs).reshape(-1, *self.layer.shape.image)
        padded = np.pad(images, ((0, 0), (0, 0), (above, above), (left, left)))
        flat = padded.reshape(-1) & ((1 << input_bits) - 1)
        flat = np.pad(flat, (0, -len(flat) % LANES))
        places = np.arange(input_bits)
        bits = (
            (flat[:, None] >> places & 1)
            .astype(np.uint8)
            .reshape(-1, LANES * input_bits)
        )
        packed = np.packbits(bits, axis=1, bitorder="little")
        return [int.from_bytes(line.tobytes(), "little") for line in packed]

    @property
    def most_cycles(self) -> int:
        """Cycles after which something must be wrong: every word at every entry."""
        kept = len(self.layer.streams.codes) + self.layer.shape.outputs
        return 1000 + 2 * (kept + self.tiles) * (self.entries + 1) + 4 * self.outputs

    def biases(self) -> list[list[int]]:
        """List the biases of the PEs that hold a channel, tile by tile."""
        pes = self.layer.streams.pes
        scheduled: IntArray = self.layer.bias[self.layer.order]
        return [
            scheduled[first : first + pes].tolist()
            for first in range(0, len(scheduled), pes)
        ]
