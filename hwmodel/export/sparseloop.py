"""Layers for Timeloop and Sparseloop: real masks, and the problem that names them.

Sparseloop's density model ``real-data`` (Wu et al., MICRO 2022,
10.1109/MICRO56248.2022.00096) reads a file of zeros and ones without anything between
them, one for each weight, here in the order of the ranks M, C, R, S: output channels,
input channels of a group, kernel rows, kernel columns. Like the masks that its artifact
publishes, they are in the order of the problem's ``dimensions``, the last the fastest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import TicketError
from balancer.export.mem_folder import folder_name
from balancer.files.folders import describe, replacing_folder
from hwmodel.workload import LayerWorkload

FORMAT = "sparseloop"
_INPUTS = {"E": ("R", "Hstride", "Hdilation"), "F": ("S", "Wstride", "Wdilation")}


def export_sparseloop(
    folder: str | os.PathLike[str],
    workloads: Iterable[LayerWorkload],
    *,
    inputs: Iterable[Path] = (),
) -> dict[str, Path]:
    """Write layers as problems of Timeloop whose weights have a real mask.

    Parameters
    ----------
    folder : str or path
        It gets ``NAME.weights.txt`` and ``NAME.yaml`` of each layer; it may be one of
        an earlier export.
    workloads : iterable of LayerWorkload
        Layers in the order in which the PEs take their channels; each is written as one
        call for one image and time step.
    inputs : iterable of Path
        Files that have been read and must not be lost.

    Returns
    -------
    dict of str to Path
        The YAML of each layer. It names the file of its mask, which lies beside it, so
        Timeloop is to run in the folder.

    Raises
    ------
    TicketError
        A place that cannot be written, or holds something else.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import LayerWorkload, export_sparseloop, read_mask_text
    >>> layer = LayerWorkload("fc", np.eye(3, 4, dtype=bool))
    >>> paths = export_sparseloop("sparseloop", [layer])
    >>> paths["fc"].with_name("fc.weights.txt").read_text()
    '100001000010'
    >>> read_mask_text("sparseloop/fc.weights.txt", (3, 4)).trace()
    np.int64(3)
    """
    names: dict[str, str] = {}
    problems: dict[str, LayerWorkload] = {}
    with replacing_folder(folder, inputs) as written:
        for workload in workloads:
            name = folder_name(workload.name, names.values())
            label = workload.name if workload.name not in names else name
            names[label], problems[label] = name, workload
            digits = workload.mask.reshape(-1).astype(np.uint8) + ord("0")
            (written / f"{name}.weights.txt").write_bytes(digits.tobytes())
            text = yaml.safe_dump(_problem(workload, f"{name}.weights.txt"))
            (written / f"{name}.yaml").write_text(text, encoding="utf-8")
        describe(
            written,
            FORMAT,
            order="M, C, R, S, the last fastest",
            layers=[
                {
                    "name": label,
                    "problem": f"{names[label]}.yaml",
                    "mask": f"{name}.weights.txt",
                }
                for label, name in names.items()
            ],
        )
    return {label: Path(folder) / f"{name}.yaml" for label, name in names.items()}


def read_mask_text(path: str | os.PathLike[str], shape: tuple[int, ...]) -> BoolArray:
    """Read the zeros and ones of a file that Sparseloop reads, too.

    Parameters
    ----------
    path : str or path
        The file; white space in it is skipped.
    shape : tuple of int
        Of the mask.

    Raises
    ------
    TicketError
        Other characters, or another number of them.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hwmodel import read_mask_text
    >>> _ = Path("mask.txt").write_text("0110")
    >>> read_mask_text("mask.txt", (2, 2))
    array([[False,  True],
           [ True, False]])
    """
    raw = b"".join(Path(path).read_bytes().split())
    digits: AnyArray = np.frombuffer(raw, np.uint8)
    wrong = ~np.isin(digits, (ord("0"), ord("1")))
    if wrong.any() or digits.size != np.prod(shape, dtype=int):
        raise TicketError(
            f"holds {digits.size - int(wrong.sum())} zeros and ones and "
            f"{int(wrong.sum())} other characters; {np.prod(shape, dtype=int)} zeros "
            "and ones are needed",
            about=path,
        )
    mask: BoolArray = digits == ord("1")
    return mask.reshape(shape)


def _problem(workload: LayerWorkload, mask: str) -> dict[str, Any]:
    """Describe a layer as a problem of grouped convolution."""
    outputs, inputs, rows, columns = workload.weight_shape
    height, width = workload.output_size
    sizes = {
        "G": workload.groups,
        "M": outputs // workload.groups,
        "C": inputs,
        "R": rows,
        "S": columns,
        "E": height,
        "F": width,
        "N": 1,
    }
    factors = {}
    for field, name in (("stride", "stride"), ("dilation", "dilation")):
        for axis, factor in zip("HW", workload.pairs(field), strict=True):  # type: ignore[arg-type]
            factors[f"{axis}{name}"] = factor
    return {
        "problem": {
            "shape": {
                "name": "grouped-convolution",
                "dimensions": list(sizes),
                "coefficients": [{"name": one, "default": 1} for one in factors],
                "data-spaces": _data_spaces(),
            },
            "instance": {
                **sizes,
                **factors,
                "densities": {
                    "Weights": {"distribution": "real-data", "data_file_path": mask}
                },
            },
        }
    }


def _data_spaces() -> list[dict[str, Any]]:
    """Say which ranks index weights, inputs and outputs."""

    def alone(ranks: str) -> list[list[list[str]]]:
        return [[[rank]] for rank in ranks]

    moved = [
        [[kernel, dilation], [pixel, stride]]
        for pixel, (kernel, stride, dilation) in _INPUTS.items()
    ]
    # Of these ranks the first is the fastest in the file of a mask.
    return [
        {"name": "Weights", "projection": alone("SRCMG")},
        {"name": "Inputs", "projection": [*alone("NGC"), *moved]},
        {"name": "Outputs", "projection": alone("NGMEF"), "read-write": True},
    ]
