"""Memory traffic and latency against counts by hand."""

import numpy as np
import pytest

from hwmodel import Accelerator, LayerWorkload, evaluate
from hwmodel.activity import Transfers

BASE = Accelerator.load("generic-45nm").model_dump(exclude_unset=True)
MASK = np.zeros((20, 4, 3, 3), dtype=bool)
MASK[:, 0] = True  # 9 weights kept in every channel, 180 in all
LAYER = LayerWorkload("conv", MASK, (4, 5, 5), timesteps=3)  # 3 x 3 output pixels


def traffic(layer=LAYER, **changes):
    """Traffic of a layer on 16 PEs: a tile of 16 channels and one of 4."""
    accelerator = Accelerator.from_dict(BASE | changes)
    return evaluate([layer], accelerator).activity.traffic


@pytest.mark.parametrize(
    ("weight_format", "bits"),
    [
        ("dense", 720 * 8),
        ("bitmap", 720 + 180 * 8),
        ("csr", 180 * (8 + 8) + 20 * 16),
    ],
)
def test_weights_move_once_in_their_format(weight_format, bits):
    """DRAM and buffer move each inference's weights once, as they are stored."""
    moved = traffic(weight_format=weight_format)
    assert moved.dram_weight == bits
    assert moved.weight == Transfers(read_bits=bits, write_bits=bits)


def test_inputs_and_outputs_move_as_spikes():
    """Inputs come once and are read for every tile, pixel and kernel position."""
    moved = traffic()
    assert moved.dram_input == 4 * 25 * 3
    assert moved.input == Transfers(read_bits=2 * 36 * 9 * 3, write_bits=4 * 25 * 3)
    assert moved.dram_output == 20 * 9 * 3


def test_an_input_that_does_not_fit_is_fetched_by_every_tile():
    """A buffer of 37 bytes is too small for 300 bits, one of 38 is not."""
    for capacity, times in ((37, 2), (38, 1)):
        buffer = BASE["buffers"]["input"] | {"capacity_bytes": capacity}
        buffers = BASE["buffers"] | {"input": buffer}
        assert traffic(buffers=buffers).dram_input == times * 300


def test_a_tile_fetches_only_what_its_convolution_groups_read():
    """Of a depthwise layer, a tile of 16 channels fetches 16 input channels."""
    layer = LayerWorkload(
        "depthwise", np.ones((20, 1, 3, 3)), (20, 5, 5), groups=20, timesteps=3
    )
    buffer = BASE["buffers"]["input"] | {"capacity_bytes": 1}
    moved = traffic(layer, buffers=BASE["buffers"] | {"input": buffer})
    assert moved.dram_input == 20 * 25 * 3
    assert moved.input.read_bits == 20 * 9 * 9 * 3


def test_an_output_stationary_array_reads_weights_for_every_fold():
    """Nine pixels on four rows are three folds in each of three time steps."""
    array = {
        "mapping": "output_stationary", "rows": 4, "cols": 8, "skip": "weight",
        "barrier": "pixel", "source": "test",
    }  # fmt: skip
    moved = traffic(array=array, weight_format="dense")
    assert moved.weight.read_bits == 720 * 8 * 3 * 3
    assert moved.weight.write_bits == 720 * 8


def test_membranes_move_between_time_steps():
    """Two passages of 180 membranes of 16 bits, each read and written."""
    bits = 2 * 180 * 16 * (3 - 1)
    moved = traffic()
    assert moved.membrane_bits == bits
    assert moved.output == Transfers(540 + bits // 2, 540 + bits // 2)
    moved = traffic(membrane="dram")
    assert moved.dram_membrane == bits
    assert moved.output == Transfers(540, 540)
    assert traffic(membrane="resident").membrane_bits == 0
    array = BASE["array"] | {"timesteps_in_parallel": "all"}
    assert traffic(array=array).membrane_bits == 0


def test_stages_overlap_memory_with_compute():
    """Fill, stalls and drain are those of a timeline drawn by hand."""
    dram = BASE["dram"] | {"bandwidth_bits_per_cycle": 10}
    accelerator = Accelerator.from_dict(
        {key: BASE[key] for key in BASE if key != "buffers"}
        | {"dram": dram, "membrane": "resident", "weight_format": "dense"}
    )
    cycles = evaluate([LAYER], accelerator).activity.cycles
    # Tile 0: 16 * 36 * 8 bits of weights and 300 of inputs, then tile 1: 4 * 36 * 8.
    assert cycles.fill == -(-(4608 + 300) // 10)
    # Both compute 9 * 9 * 3 cycles; behind the first come the second's weights, behind
    # the second go the first's 16 * 9 * 3 output bits.
    assert cycles.compute == 2 * 243
    assert cycles.stall == 0
    assert cycles.drain == -(-4 * 9 * 3 // 10)
    slow = dram | {"bandwidth_bits_per_cycle": 1}
    slow_accelerator = accelerator.model_copy(
        update={"dram": type(accelerator.dram)(**slow)}
    )
    cycles = evaluate([LAYER], slow_accelerator).activity.cycles
    assert cycles.stall == (1152 - 243) + (432 - 243)


def test_shares_of_waiting_and_of_membranes():
    """Idle, stall and membrane energy follow from the cycles and bits by hand."""
    units = BASE["pe_units"] | {
        "control": {"base_pj_per_pe_cycle": 2.0, "source": "test"}
    }
    report = evaluate([LAYER], Accelerator.from_dict(BASE | {"pe_units": units}))
    cycles = report.activity.cycles
    assert report.energy.idle_pj == pytest.approx(2.0 * cycles.idle)
    assert report.energy.stall_pj == pytest.approx(2.0 * 16 * report.stall_cycles)
    assert report.stall_cycles > 0
    bits = 2 * 180 * 16 * 2
    assert report.energy.membrane_pj == pytest.approx(bits * 0.3125)
    assert report.layers[0].row()["idle_pj"] == report.energy.idle_pj
    assert report.layers[0].row()["stall_pj"] == report.energy.stall_pj


def test_split_channels_add_their_partial_sums():
    """Four blocks of input channels cost three additions per output and time step."""
    array = {
        "mapping": "input_channel", "pes": 16, "skip": "weight", "barrier": "pixel",
        "source": "test",
    }  # fmt: skip
    report = evaluate([LAYER], Accelerator.from_dict(BASE | {"array": array}))
    assert report.activity.operations.psum_adds == 3 * 20 * 9 * 3
    additions = 3 * 20 * 9 * 3 + report.activity.operations.accumulates
    assert report.breakdown["accumulate"] == pytest.approx(0.1 * additions)
