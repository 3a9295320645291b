"""How many time steps predict like all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from snn.lottery.early_time import divergences, early_timesteps  # noqa: E402


def logits(steps, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(steps, 5, 3, generator=generator)


def test_divergences_of_two_steps():
    """KL of the prediction after one step from that after both, relative to itself."""
    z = torch.tensor([[[0.0, 2.0]], [[4.0, 0.0]], [[2.0, 1.0]]])
    means = [z[:t].mean(0).double() for t in (1, 2, 3)]
    p = [mean.softmax(-1) for mean in means]
    kl = [float((p[2] * (p[2] / q).log()).sum()) for q in p]
    expected = [1.0, kl[1] / kl[0], 0.0]
    assert divergences(z).tolist() == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 6), st.integers(0, 99), st.sampled_from([1e-3, 1.0, 300.0]))
def test_the_first_step_is_the_unit_and_the_last_is_all(steps, seed, scale):
    """The divergence is 1 after one step, exactly 0 after all, and never negative."""
    found = divergences(logits(steps, seed, scale))
    assert found.shape == (steps,)
    assert found[-1] == 0
    assert steps == 1 or found[0] == 1
    assert (found > -1e-9).all()


@given(st.integers(1, 6), st.integers(0, 99), st.floats(1e-6, 2))
def test_the_fewest_steps_are_chosen(steps, seed, threshold):
    """All that are fewer diverge by more than the threshold."""
    z = logits(steps, seed, 1.0)
    chosen = early_timesteps(z, threshold)
    assert 1 <= chosen <= steps
    found = divergences(z)
    assert found[chosen - 1] <= threshold
    assert (found[: chosen - 1] > threshold).all()


def test_one_step_is_enough_where_all_steps_agree():
    """Equal logits in all steps diverge nowhere."""
    z = logits(1, 0, 1.0).expand(4, -1, -1)
    assert divergences(z).tolist() == pytest.approx([0, 0, 0, 0])
    assert early_timesteps(z, 1e-6) == 1
