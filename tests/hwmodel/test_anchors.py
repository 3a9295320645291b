"""Numbers that were known before this package: a toy layer, SATA_Sim, u-Ticket, EIE."""

import numpy as np
import pytest

from balancer import LoadMetrics, PEMap
from hwmodel import Accelerator, LayerWorkload, evaluate
from hwmodel.activity import Activity, Cycles, Operations
from hwmodel.energy import energy
from hwmodel.sata_sim import output_stationary_cycles, weight_pass_cycles


def array(**changes):
    """An array of eight PEs without memory."""
    preset = Accelerator.load("u-ticket").model_dump(exclude_unset=True)
    fields = {
        "mapping": "output_channel",
        "pes": 8,
        "skip": "dual",
        "barrier": "pixel",
        "source": "test",
    }
    return Accelerator.from_dict(preset | {"array": fields | changes})


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    mask = rng.random((32, 16, 3, 3)) < 0.1
    spikes = rng.random((4, 16, 8, 8)) < 0.15
    return LayerWorkload("toy", mask, (16, 8, 8), padding=1, spikes=spikes[:, None])


def test_toy_layer_with_weight_skipping(toy):
    """Cycles, busy, gated and idle PE cycles and eta are those counted by hand."""
    report = evaluate([toy], array(skip="weight"))
    cycles = report.activity.cycles
    assert report.layers[0].nonzeros == 483
    assert report.cycles == 21_248 == 83 * 4 * 64
    assert (cycles.busy, cycles.gated, cycles.idle) == (15_844, 107_804, 46_336)
    assert cycles.idle == 181 * 4 * 64
    assert report.eta == pytest.approx(0.727410, abs=5e-7)
    assert report.activity.operations.accumulates == 15_844


@pytest.mark.parametrize(
    ("changes", "cycles"),
    [
        ({"barrier": "pixel"}, 3_980),
        ({"barrier": "timestep"}, 2_809),
        ({"barrier": "tile"}, 2_769),
        ({"timesteps_in_parallel": "all"}, 2_440),
        ({"mapping": "input_channel", "skip": "weight"}, 127 * 4 * 64),
    ],
)
def test_toy_layer_cycles(toy, changes, cycles):
    """Each barrier, the parallel time steps and the input split cost what is known."""
    assert evaluate([toy], array(**changes)).cycles == cycles


def test_toy_layer_utilization(toy):
    """The rule of u-Ticket's code, which rounds the mean up, gives its known value."""
    metrics = LoadMetrics.of(toy.mask, PEMap.output_channel(toy.mask.shape, 8))
    assert metrics.mu_ceil == pytest.approx(0.713873, abs=5e-7)
    assert evaluate([toy], array()).utilization == metrics.mu


def test_toy_layer_ideal(toy):
    """Without any waiting the toy layer would take 1981 cycles."""
    assert -(-evaluate([toy], array()).busy_cycles // 8) == 1_981


SATA_LAYERS = [
    LayerWorkload(
        name,
        np.ones(shape, dtype=bool),
        image,
        padding=1,
        timesteps=4,
        spike_rate=0.1,
    )
    for name, shape, image in (
        ("16x16", (32, 16, 3, 3), (16, 16, 16)),
        ("8x8", (64, 32, 3, 3), (32, 8, 8)),
    )
]
SATA_NJ = {
    "accumulate": 572.40950193,
    "scratchpad": 5924.16929367,
    "lif": 1500.02676096,
    "dram": 11662.79856,
    "input_buffer": 1569.9488271,
    "output_buffer": 1366.3610671,
    "weight_buffer": 5833.310523,
}


def test_sata_preset_reproduces_a_sata_sim_run():
    """Cycles are exact; every component of the energy agrees to 1e-6."""
    report = evaluate(SATA_LAYERS, Accelerator.load("sata"))
    assert [layer.cycles for layer in report.layers] == [42_729, 40_353]
    assert int(report.activity.operations.accumulates) == 943_718
    assert report.activity.operations.lif_updates == 49_152
    found = {
        name: part.total_pj / 1e3
        for name, part in report.energy.components.items()
        if part.total_pj
    }
    assert found == pytest.approx(SATA_NJ, rel=1e-6)
    assert report.energy_pj / 1e3 == pytest.approx(7996.60555656 + 20432.4189772)


@pytest.mark.parametrize(
    ("pixels", "fan_in", "channels", "cyc_os", "cyc_w"),
    [
        (196, 144, 32, 8_631, 8_205),
        (36, 288, 64, 7_439, 10_597),
        (196, 144, 30, 8_629, 8_205),  # the last fold uses 6 of 8 columns
    ],
)
def test_dense_output_stationary_cycles(pixels, fan_in, channels, cyc_os, cyc_w):
    """SCALE-Sim's closed forms are exact on both layers of the run."""
    assert output_stationary_cycles(16, 8, pixels, fan_in, channels) == cyc_os
    assert weight_pass_cycles(16, 8, pixels, fan_in, channels) == cyc_w


def test_sata_idle_cycle_costs_two_thirds_of_an_active_one():
    """A PE cycle costs 0.7195 pJ and an accumulate 0.3438 pJ more."""
    units = dict(Accelerator.load("sata").pe_units)
    base = sum(unit.base_pj_per_pe_cycle for unit in units.values() if unit)
    added = units["accumulate"].op_pj + units["scratchpad"].op_pj
    assert base == pytest.approx(0.7195, abs=1e-4)
    assert added == pytest.approx(0.3438, abs=1e-4)
    assert base / (base + added) == pytest.approx(0.68, abs=5e-3)


# arXiv 2302.06746: network, data, then LTH and u-Ticket: spike sparsity (%), Work,
# Idle, latency (all in 1e8), and the energy saved (%)
U_TICKET = [
    ("VGG-16", "CIFAR10", (84.8, 85.9), (1.34, 0.94), (0.41, 0), (0.11, 0.06), 41.8),
    ("VGG-16", "FMNIST", (83.9, 81.4), (1.10, 0.81), (0.42, 0), (0.10, 0.05), 35.4),
    ("VGG-16", "SVHN", (84.9, 80.1), (1.15, 0.86), (0.69, 0), (0.12, 0.05), 37.2),
    ("ResNet-19", "CIFAR10", (64.1, 68.3), (1.66, 1.10), (1.73, 0), (0.21, 0.07), 55.5),
    ("ResNet-19", "FMNIST", (60.1, 62.9), (1.26, 0.73), (1.89, 0), (0.20, 0.05), 63.8),
    ("ResNet-19", "SVHN", (63.6, 68.2), (1.27, 0.84), (1.34, 0), (0.16, 0.05), 56.1),
]


@pytest.mark.parametrize("row", U_TICKET, ids=lambda row: "-".join(row[:2]))
def test_u_ticket_preset_reproduces_the_paper_s_table(row):
    """Energy savings agree within 0.5 percentage points, latencies within rounding."""
    *_, sparsity, work, idle, latency, saved = row
    preset = Accelerator.load("u-ticket")
    pes = preset.array.size
    energies = []
    for spikes, working, waiting, published in zip(
        sparsity, work, idle, latency, strict=True
    ):
        active = working * (1 - spikes / 100)
        cycles = Cycles(
            compute=(working + waiting) / pes,
            busy=active,
            gated=working - active,
            idle=waiting,
        )
        done = Activity(cycles=cycles, operations=Operations(accumulates=active))
        energies.append(energy(preset, done).total_pj)
        # Half a unit of the last digit of the latency, and of Work and Idle over 16.
        assert cycles.total == pytest.approx(published, abs=0.005 + 0.01 / pes)
    assert 100 * (1 - energies[1] / energies[0]) == pytest.approx(saved, abs=0.5)


def test_eie_queues_end_most_of_the_waiting():
    """64 PEs idle about half the time at depth 1, and little is left beyond depth 8."""
    rng = np.random.default_rng(0)
    layer = LayerWorkload(
        "fc",
        rng.random((4096, 1024)) < 0.09,
        spikes=rng.random((1, 1, 1024)) < 0.35,
    )
    eie = Accelerator.load("eie").model_dump(exclude_unset=True)

    def eta(depth):
        fields = eie["array"] | {"fifo_depth_activations": depth}
        return evaluate([layer], Accelerator.from_dict(eie | {"array": fields})).eta

    assert eta(1) == pytest.approx(0.5, abs=0.05)
    assert eta(8) - eta(1) > 4 * (eta(256) - eta(8))
