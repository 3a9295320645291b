"""What results rest on: real spikes, their expectation, or a bound."""

import numpy as np
import pytest

from hwmodel import Accelerator, Basis, LayerWorkload, evaluate

MASK = np.random.default_rng(0).random((12, 6)) < 0.5
RATES = np.linspace(0.1, 0.6, 6)
SAMPLES = 2000


def report_of(preset, **fields):
    layer = LayerWorkload("fc", MASK, timesteps=2, **fields)
    return evaluate([layer], Accelerator.load(preset)).layers[0]


# Which zeros the array skips decides whether its cycles depend on the spikes.
@pytest.mark.parametrize(
    ("preset", "with_rates", "with_nothing"),
    [
        ("u-ticket", Basis.EXPECTATION, Basis.CYCLES_EXACT),
        ("systolic", Basis.EXPECTATION, Basis.CYCLES_EXACT),
        ("eie", Basis.LOWER_BOUND, Basis.UPPER_BOUND),
        ("generic-45nm", Basis.LOWER_BOUND, Basis.UPPER_BOUND),
    ],
)
def test_the_basis_says_how_results_lie_to_those_of_spikes(
    preset, with_rates, with_nothing
):
    """An expectation is the mean over spikes, and bounds lie on their side of it."""
    spikes = np.random.default_rng(1).random((2, SAMPLES, 6)) < RATES
    drawn = report_of(preset, spikes=spikes)
    cycles, energy = drawn.cycles / SAMPLES, drawn.energy_pj / SAMPLES
    expected, extreme = report_of(preset, spike_rate=RATES), report_of(preset)
    bases = (drawn.basis, expected.basis, extreme.basis)
    assert bases == (Basis.EXACT, with_rates, with_nothing)
    if with_rates is Basis.EXPECTATION:
        assert expected.cycles == cycles == extreme.cycles
        assert expected.energy_pj == pytest.approx(energy, rel=0.01)
    else:
        assert expected.cycles <= cycles <= extreme.cycles
        assert expected.energy_pj <= energy * 1.01
    assert energy < extreme.energy_pj


def test_drawn_spikes_are_a_sample():
    """Spikes drawn from rates give what the same spikes give, and are called so."""
    sample = report_of("eie", spike_rate=RATES, rate_mode="sample", seed=3)
    assert sample.basis is Basis.SAMPLE
    again = report_of("eie", spike_rate=RATES, rate_mode="sample", seed=3)
    assert (sample.cycles, sample.energy_pj) == (again.cycles, again.energy_pj)
