"""Masks of layers: pruned weights stay zero, scores remember what they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from snn.training.config import TrainingConfig  # noqa: E402
from snn.training.masking import (  # noqa: E402
    MaskError,
    apply_masks,
    keep_masks,
    prunable_layers,
    update_scores,
)
from snn.training.schedule import build_optimizer  # noqa: E402


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)
    )


def masks_of(network, kept=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.random(tuple(layer.weight.shape)) < kept
        for name, layer in prunable_layers(network).items()
    }


def dense(network):
    return masks_of(network, kept=2.0)


def weight(network, name):
    return network.get_submodule(name).weight.detach().numpy()


def step(network, optimizer, seed=0):
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    network(torch.randn(5, 2, 4, 4, generator=generator)).square().sum().backward()
    optimizer.step()


def test_prunable_are_convolutions_and_linear_layers():
    """Normalization and embeddings have weights, too, but keep all of them."""
    network = nn.ModuleDict(
        {
            "conv": nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3)),
            "words": nn.Embedding(5, 4),
            "head": nn.Linear(4, 2),
        }
    )
    assert list(prunable_layers(network)) == ["conv.0", "head"]


@given(
    optimizer=st.sampled_from(["sgd", "adam", "adamw"]),
    momentum=st.sampled_from([0.0, 0.9]),
    decay=st.sampled_from([0.0, 0.3]),
    kept=st.sampled_from([0.0, 0.1, 0.9]),
    channels_last=st.booleans(),
)
def test_no_step_revives_a_pruned_weight(
    optimizer, momentum, decay, kept, channels_last
):
    """Exactly +0 after every step, though momentum was gathered before pruning."""
    network = net()
    if channels_last:
        network.to(memory_format=torch.channels_last)
    config = TrainingConfig(
        optimizer=optimizer, momentum=momentum, weight_decay=decay, learning_rate=0.01
    )
    update = build_optimizer(config, network.parameters())
    step(network, update)
    masks = masks_of(network, kept)
    with keep_masks(update, network, masks):
        for seed in range(3):
            before = {name: weight(network, name).copy() for name in masks}
            step(network, update, seed)
            for name, mask in masks.items():
                zeros = weight(network, name)[~mask]
                assert not zeros.any()
                assert not np.signbit(zeros).any()
                if mask.any():
                    assert (weight(network, name) != before[name])[mask].any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_gradients_do_not_survive(bad):
    """A gradient that is not finite leaves no trace in pruned weights."""
    network = net()
    masks = masks_of(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    with keep_masks(optimizer, network, masks):
        step(network, optimizer)
        network[0].weight.grad.fill_(bad)
        optimizer.step()
        assert not weight(network, "0")[~masks["0"]].any()


def test_masks_end_with_their_block():
    """The masks of the next round replace those of this one; none stays at the end."""
    network = net()
    first, second = masks_of(network, seed=1), masks_of(network, seed=2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with keep_masks(optimizer, network, first):
        step(network, optimizer)
    with keep_masks(optimizer, network, second):
        step(network, optimizer)
        assert weight(network, "0")[second["0"] & ~first["0"]].all()
        assert not weight(network, "0")[~second["0"]].any()
    step(network, optimizer)
    assert weight(network, "0").all()


def test_an_interrupted_step_leaves_the_masks_on():
    """Weights that a step changed before it failed are zeroed on the way out."""
    network = net()
    masks = masks_of(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def change_and_fail():
        with keep_masks(optimizer, network, masks), torch.no_grad():
            network[0].weight.fill_(1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_and_fail()
    np.testing.assert_array_equal(weight(network, "0"), masks["0"])


def test_dense_masks_change_nothing():
    """Training with all weights kept gives the bits of training without masks."""
    networks = net(), net()
    for network, masks in zip(networks, (dense(networks[0]), None), strict=True):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        if masks is None:
            step(network, optimizer)
        else:
            with keep_masks(optimizer, network, masks):
                step(network, optimizer)
    assert np.array_equal(weight(networks[0], "0"), weight(networks[1], "0"))


def without(masks, name):
    return {other: mask for other, mask in masks.items() if other != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m | {"conv": m["0"]}, "names conv, but the layers are 0, 3"),
        (lambda m: without(m, "3"), "lacks 3"),
        (lambda m: m | {"3": m["3"].T}, r"bool\[16, 3\].*bool\[3, 16\]"),
        (lambda m: m | {"3": m["3"].astype(int)}, r"int64\[3, 16\].*bool\[3, 16\]"),
    ],
)
def test_masks_must_fit(change, message):
    """Names, shapes and types are checked in both directions."""
    network = net()
    with pytest.raises(MaskError, match=message):
        apply_masks(network, change(masks_of(network)))


def test_computed_weights_are_refused():
    """A mask cannot hold weights that torch's own pruning computes anew."""
    from torch.nn.utils import prune

    network = net()
    prune.l1_unstructured(network[0], "weight", amount=0.5)
    with pytest.raises(MaskError, match="0 computes its weights"):
        apply_masks(network, masks_of(net()))


@given(data=st.data())
def test_scores_are_last_magnitudes_that_were_not_zero(data):
    """Over rounds of any masks, a score is the last one while its weight was kept."""
    network = net()
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = update_scores(network, dense(network))
    expected = {name: np.abs(weight(network, name)) for name in scores}
    for _ in range(3):
        masks = masks_of(network, data.draw(st.sampled_from([0.2, 0.9])), rng)
        with torch.no_grad():
            for layer in prunable_layers(network).values():
                drawn = rng.integers(-2, 3, tuple(layer.weight.shape))
                layer.weight.copy_(torch.from_numpy(drawn))
        apply_masks(network, masks)
        scores = update_scores(network, masks, scores)
        for name, mask in masks.items():
            for index in np.ndindex(mask.shape):
                if mask[index] and weight(network, name)[index] != 0:
                    expected[name][index] = abs(weight(network, name)[index])
            assert scores[name].dtype == np.float32
            np.testing.assert_array_equal(scores[name], expected[name])


def test_scores_do_not_alias_weights():
    """Training on does not change scores that were taken before."""
    network = net()
    with torch.no_grad():
        network[0].weight.abs_()
    scores = update_scores(network, dense(network))
    before = scores["0"].copy()
    with torch.no_grad():
        network[0].weight.zero_()
    np.testing.assert_array_equal(scores["0"], before)


def test_scores_must_fit():
    """Scores of another network are refused."""
    network = net()
    scores = update_scores(network, dense(network))
    with pytest.raises(MaskError, match="`scores` lacks 0"):
        update_scores(network, masks_of(network), without(scores, "0"))
