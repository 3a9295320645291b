"""Running what was exported to SANA-FE."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from balancer.errors import ExportError, TicketError
from balancer.export.optional_packages import optional_package
from balancer.files.folders import description_of
from hwmodel.export.sanafe_files import ARCHITECTURE, FORMAT, NETWORK

TIMINGS = ("simple", "detailed", "cycle")


def run_sanafe(
    folder: str | os.PathLike[str], timing: str = "simple"
) -> dict[str, float]:
    """Run the layers that `export_sanafe` wrote.

    Parameters
    ----------
    folder : str or path
        The folder of the export.
    timing : str
        SANA-FE's timing model: ``simple`` (the slowest core of every time step),
        ``detailed`` or ``cycle`` (with the network on chip).

    Returns
    -------
    dict of str to float
        Cycles of each layer, all its samples together: SANA-FE's seconds, since a
        spike takes a core one second.

    Raises
    ------
    ExportError
        SANA-FE is not installed, or another timing.
    TicketError
        Another folder.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import LayerWorkload, export_sanafe, run_sanafe
    >>> spikes = np.ones((2, 1, 4), np.uint8)
    >>> layer = LayerWorkload("fc", np.eye(3, 4, dtype=bool), spikes=spikes)
    >>> _ = export_sanafe("cores", [layer])
    >>> run_sanafe("cores")  # doctest: +SKIP
    {'fc': 2.0}
    """
    if timing not in TIMINGS:
        raise ExportError(
            f"`timing` is {timing!r}; accepted are {', '.join(map(repr, TIMINGS))}"
        )
    folder = Path(folder)
    known = description_of(folder)
    if known.get("format") != FORMAT:
        raise TicketError(
            "no export to SANA-FE; `export_sanafe` writes one", about=folder
        )
    sanafe = optional_package("sanafe", "validate")
    return {
        entry["name"]: _seconds(
            sanafe, folder / entry["folder"], entry["timesteps"], timing
        )
        for entry in known["layers"]
    }


def _seconds(sanafe: Any, folder: Path, timesteps: int, timing: str) -> float:
    architecture = sanafe.load_arch(str(folder / ARCHITECTURE))
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(str(folder / NETWORK), architecture))
    with redirect_stdout(StringIO()):  # it prints its progress
        return float(chip.sim(timesteps, timing_model=timing)["sim_time"])
