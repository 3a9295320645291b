"""What each lock-step group hears and finishes: inputs, channels, partial sums.

The maps of the package give whole output channels to groups, in order. Labels of your
own may spread a channel over several groups: then all but the last of them leave
partial sums behind, and all but the first take them up again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from balancer import PEMap
from balancer.array_types import IntArray


class GroupReach(NamedTuple):
    """What each group of a layer hears and finishes, all [groups].

    Attributes
    ----------
    inputs : ndarray of int64
        Inputs that weights of the group meet, over all input channels and kernel
        positions.
    input_channels : ndarray of int64
        Input channels that these belong to.
    finished : ndarray of int64
        Output channels whose last weights the group holds.
    partial : ndarray of int64
        Partial sums that the group takes up or leaves behind, for every output pixel.
    """

    inputs: IntArray
    input_channels: IntArray
    finished: IntArray
    partial: IntArray


def group_reach(pe_map: PEMap, conv_groups: int) -> GroupReach:
    """Find what each group of a layer hears and finishes.

    Parameters
    ----------
    pe_map : PEMap
        The layer's.
    conv_groups : int
        Groups of the convolution.
    """
    if not pe_map.is_gathered:
        return _of_tiles(pe_map, conv_groups)
    groups, outputs = pe_map.groups, pe_map.channels

    def count(of_group: IntArray) -> IntArray:
        return np.bincount(of_group, minlength=groups).astype(np.int64)

    heard = HeardInputs.of(pe_map, conv_groups)
    of_group = np.repeat(np.arange(groups), np.diff(heard.starts))
    channels = pe_map.shape[1] * conv_groups
    channel = heard.inputs // max(1, pe_map.weights // (outputs * pe_map.shape[1]))
    group = pe_map.labels()[0].reshape(outputs, -1).astype(np.int64)
    parts = count(_distinct(np.arange(outputs)[:, None] * groups + group) % groups)
    begun, finished = count(group.min(axis=1)), count(group.max(axis=1))
    return GroupReach(
        inputs=np.diff(heard.starts),
        input_channels=count(_distinct(of_group * channels + channel) // channels),
        finished=finished,
        partial=(parts - begun) + (parts - finished),
    )


def _of_tiles(pe_map: PEMap, conv_groups: int) -> GroupReach:
    """Find it for groups of whole output channels, in order."""
    fan_in = pe_map.weights // pe_map.channels
    size = np.bincount(
        pe_map.cell_group, pe_map.cell_sizes(), minlength=pe_map.groups
    ).astype(np.int64)
    channels = size // fan_in
    last = np.cumsum(channels)
    share = pe_map.channels // conv_groups
    read = (last - 1) // share - (last - channels) // share + 1  # of the convolution's
    return GroupReach(
        inputs=read * fan_in,
        input_channels=read * pe_map.shape[1],
        finished=channels,
        partial=np.zeros_like(channels),
    )


class HeardInputs(NamedTuple):
    """The inputs that the weights of each group meet, whether they are kept or not.

    Attributes
    ----------
    inputs : ndarray of int64
        Numbered over all input channels and kernel positions; group by group.
    starts : ndarray of int64 [groups + 1]
        First of each group.
    """

    inputs: IntArray
    starts: IntArray

    @classmethod
    def of(cls, pe_map: PEMap, conv_groups: int) -> HeardInputs:
        """List them; parameters as in `group_reach`."""
        outputs = pe_map.channels
        fan_in = pe_map.weights // outputs
        share = outputs // conv_groups
        group = pe_map.labels()[0].reshape(outputs, fan_in).astype(np.int64)
        first = np.arange(outputs)[:, None] // share * fan_in
        total = conv_groups * fan_in
        pairs = _distinct(group * total + first + np.arange(fan_in))
        starts = np.searchsorted(pairs // total, np.arange(pe_map.groups + 1))
        return cls(pairs % total, starts.astype(np.int64))

    def of_group(self, group: int) -> IntArray:
        """Return the inputs of one group, ascending."""
        return self.inputs[self.starts[group] : self.starts[group + 1]]


def _distinct(keys: IntArray) -> IntArray:
    """Sort what is there; `numpy.unique` hashes, which is slow where many are equal."""
    ascending: IntArray = np.sort(keys, axis=None)
    first = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return ascending[first]
