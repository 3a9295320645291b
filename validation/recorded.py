"""Real spikes: what the layers of the shipped ticket's network see of four digits.

The file holds the input spikes of `features.3`, `features.7` and `classifier` for the
first four test images, so that nothing here needs torch or trains anything, and the
numbers are the same on every processor. Masks that are balanced see the same spikes:
those of the network before it is balanced and trained again.

    python -m validation.recorded      # records it anew (needs the extra snn)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balancer import balance_ticket, open_ticket, shipped_ticket
from hwmodel import LayerWorkload, load_spikes, network_workloads, save_spikes

FILE = Path(__file__).with_name("digits-spikes.npz")
IMAGES = 4

Spikes = Mapping[str, npt.NDArray[np.generic]]


def ticket_layers(
    *, balanced: bool = False, images: int = IMAGES, spikes: Spikes | None = None
) -> list[LayerWorkload]:
    """Make the workloads of the shipped ticket's layers that see spikes.

    Parameters
    ----------
    balanced : bool
        With the masks of ``balance`` (16 PEs, `output_channel`, channels in their
        natural order) instead of the ticket's own.
    images : int
        How many of them, one inference each.
    spikes : mapping of str to ndarray, optional
        Others than the recorded ones.

    Examples
    --------
    >>> from validation.recorded import ticket_layers
    >>> [layer.name for layer in ticket_layers(images=1)]
    ['features.3', 'features.7', 'classifier']
    """
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    if balanced:
        report = balance_ticket(ticket)
        masks = {layer.name: layer.solution.mask for layer in report.solution.layers}
    seen = load_spikes(FILE) if spikes is None else spikes
    workloads = network_workloads(
        masks,
        ticket.about,
        spikes={name: given[:, :images] for name, given in seen.items()},
    ).workloads
    return [layer for layer in workloads if not layer.direct_coded]


def recorded_anew() -> dict[str, npt.NDArray[np.bool_]]:
    """Run the network on the images; another processor may flip a spike."""
    import torch

    from snn import Standardization, load_data, load_network, record_spikes

    ticket = shipped_ticket()
    images = torch.as_tensor(load_data("digits").test.images)[:IMAGES]
    standardize = Standardization.of(open_ticket(ticket).about)
    return record_spikes(load_network(ticket), standardize(images))


if __name__ == "__main__":
    save_spikes(FILE, recorded_anew())
