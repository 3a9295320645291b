"""In which order the axes of a torch network's weights stand."""

from __future__ import annotations

from torch import nn

_TRANSPOSED = {
    nn.ConvTranspose1d: "iow",
    nn.ConvTranspose2d: "iohw",
    nn.ConvTranspose3d: "iodhw",
}


def weight_axes(network: nn.Module) -> dict[str, str]:
    """Name the layers whose weights do not have their outputs first.

    A state dict alone does not tell: transposed convolutions store their inputs first.

    Parameters
    ----------
    network : Module
        The network whose state dict is read.

    Returns
    -------
    dict of str to str
        What `balancer.open_ticket` takes as `axes`: by the names of the layers.

    Examples
    --------
    >>> from torch import nn
    >>> from snn import weight_axes
    >>> weight_axes(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 3, 2)))
    {'1': 'iohw'}
    """
    return {
        name: axes
        for name, module in network.named_modules()
        for kind, axes in _TRANSPOSED.items()
        if isinstance(module, kind)
    }
