"""Latency: rounding of transfers, and what overlaps with what."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from hwmodel.compute import Compute
from hwmodel.latency import layer_cycles, memory_cycles, port_cycles
from hwmodel.traffic import Port


@pytest.mark.parametrize("bandwidth", [0.1, 1, 3, 64, 2.5, 1e-3])
def test_transfers_are_rounded_up_exactly(bandwidth):
    """A transfer takes its bits over the bandwidth, rounded up without any slack."""
    bits = np.array([0, 1, 2, 3, 63, 64, 65, 2**40 + 1])
    expected = [ceil(Fraction(int(count)) / Fraction(bandwidth)) for count in bits]
    np.testing.assert_array_equal(port_cycles(bits, bandwidth), expected)


def port(bandwidth, before, during, after):
    return Port(bandwidth, *(np.array(bits) for bits in (before, during, after)))


# Bits of three stages: to start with, meanwhile, and left behind.
FIRST = port(10, [100, 25, 5], [40, 0, 7], [30, 11, 62])
SECOND = port(1, [3, 2, 1], [2, 8, 0], [1, 1, 9])


def test_a_stage_moves_its_own_its_neighbours_first_and_last_bits():
    """Behind a stage come the next one's start and the last one's results."""
    fill, during, drain = memory_cycles([FIRST], 3)
    # (40 + 25) / 10, (0 + 5 + 30) / 10 and (7 + 11) / 10.
    assert (fill, during.tolist(), drain) == (10, [7, 4, 2], 7)


def test_the_slowest_port_counts():
    """Ports work in parallel; each transfer waits for the largest of them."""
    fill, during, drain = memory_cycles([FIRST, SECOND], 3)
    # The second: 2 + 2, 8 + 1 + 1 and 0 + 1.
    assert (fill, during.tolist(), drain) == (10, [7, 10, 2], 9)
    assert memory_cycles([SECOND], 3)[0] == 3


def test_ports_without_bandwidth_and_layers_without_stages_take_no_time():
    """A port that never stalls the array, or has no stages, counts for nothing."""
    endless = port(None, [9, 9, 9], [9, 9, 9], [9, 9, 9])
    fill, during, drain = memory_cycles([endless, SECOND], 3)
    assert (fill, during.tolist(), drain) == (3, [4, 10, 1], 9)
    fill, during, drain = memory_cycles([port(1, [], [], [])], 0)
    assert (fill, during.tolist(), drain) == (0, [], 0)


def test_the_bits_of_a_port_stay_as_they_are():
    """Looking at a port does not change it."""
    memory_cycles([SECOND], 3)
    np.testing.assert_array_equal(SECOND.during, [2, 8, 0])


def computed(**changes):
    """Two samples of three stages on 4 PEs; the last stage has weights on one."""
    fields = {
        "cycles": np.array([[5, 12, 1], [9, 10, 1]]),
        "present": np.array([4, 3, 1]),
        "busy": 60,
        "gated": 20,
        "operations": 0,
        "fan_out": 0,
        "spikes": 0,
    }
    return Compute(**(fields | changes))


def test_a_layer_adds_up_its_samples():
    """Stalls are found in each sample; fill and drain come with every one."""
    cycles = layer_cycles(computed(), [FIRST, SECOND], 4)
    assert cycles.compute == 38
    assert (cycles.fill, cycles.drain) == (2 * 10, 2 * 9)
    assert cycles.stall == (7 - 5) + (2 - 1) + (2 - 1)
    assert (cycles.busy, cycles.gated) == (60, 20)
    assert cycles.idle == 4 * 38 - 60 - 20
    assert cycles.idle_structural == 22 * (4 - 3) + 2 * (4 - 1)
    assert all(type(value) is int for value in (cycles.compute, cycles.stall))


def test_rounding_never_makes_idle_time_negative():
    """Expected cycles may add up to a hair more than there are PE cycles."""
    cycles = layer_cycles(computed(busy=152.0000001, gated=0), [], 4)
    assert cycles.idle == 0
