"""Training: repeatable, resumable to the bit, and within the schedule."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tiny_spiking import random_masks, tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402

from balancer.errors import BalancerError  # noqa: E402
from snn.data.image_data import Split  # noqa: E402
from snn.training.config import TrainingConfig  # noqa: E402
from snn.training.distributed import Processes  # noqa: E402
from snn.training.masking import MaskError  # noqa: E402
from snn.training.schedule import learning_rate  # noqa: E402
from snn.training.trainer import Trainer, TrainingError  # noqa: E402

DATA = tiny_data()


def config(**fields):
    return TrainingConfig(
        **(
            {"epochs": 4, "batch_size": 16, "precision": "float32"}
            | {"learning_rate": 0.05}
            | fields
        )
    )


def trainer(network=None, data=DATA, **fields):
    return Trainer(tiny_net() if network is None else network, data, config(**fields))


def state(trained):
    return {name: t.clone() for name, t in trained.network.state_dict().items()}


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def through_a_file(checkpoint):
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def dense(network):
    return random_masks(network, kept=2.0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resuming_gives_the_same_bits(optimizer, precision):
    """Two epochs, a checkpoint through a file, two more: as four without a break."""
    fields = {"optimizer": optimizer, "precision": precision, "augment": True}
    masks = random_masks(tiny_net())
    straight = trainer(**fields)
    reports = straight.fit(masks, seed=7)
    first = trainer(**fields)
    first.fit(masks, seed=7, stop=2)
    saved = through_a_file(first.checkpoint())
    torch.manual_seed(99)  # whatever else the new process did
    second = trainer(tiny_net(seed=5), **fields)
    second.restore(saved)
    resumed = second.fit(masks, start=2, seed=7)
    assert_same_bits(state(straight), state(second))
    assert [r.loss for r in reports[2:]] == [r.loss for r in resumed]


def test_checkpoints_can_be_taken_after_every_epoch():
    """A checkpoint from the callback is that of the epoch, whatever is trained on."""
    masks = random_masks(tiny_net())
    saved = []
    straight = trainer()
    straight.fit(
        masks, seed=7, after_epoch=lambda _: saved.append(straight.checkpoint())
    )
    assert [checkpoint["epoch"] for checkpoint in saved] == [1, 2, 3, 4]
    second = trainer()
    second.restore(saved[0])
    second.fit(masks, start=1, seed=7)
    assert_same_bits(state(straight), state(second))


def test_the_seed_decides():
    """Another seed gives another training; torch's own state is left as it was."""
    masks = random_masks(tiny_net())
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = trainer(), trainer()
    first.fit(masks, seed=1, stop=1)
    second.fit(masks, seed=2, stop=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first.network.head.weight, second.network.head.weight)


def test_the_optimizer_is_fresh_unless_restored():
    """A round of its own does not inherit the momentum of the one before."""
    masks = random_masks(tiny_net())
    used, fresh = trainer(), trainer()
    weights = state(used)
    used.fit(masks, seed=1)
    used.network.load_state_dict(weights)
    used.fit(masks, seed=2)
    fresh.fit(masks, seed=2)
    assert_same_bits(state(used), state(fresh))


def test_a_rewound_round_starts_within_the_schedule():
    """Reports and learning rates go on at the epoch that the round starts with."""
    reports = trainer().fit(random_masks(tiny_net()), start=2, seed=0)
    assert [report.epoch for report in reports] == [3, 4]
    expected = [0.05 * (1 + math.cos(math.pi * done)) / 2 for done in (0.5, 0.75)]
    assert [report.learning_rate for report in reports] == pytest.approx(expected)


def test_schedules():
    """Cosine falls to zero, step in two steps of a tenth, constant does not."""
    rates = {
        name: [learning_rate(config(schedule=name), done / 8) for done in range(8)]
        for name in ("cosine", "step", "constant")
    }
    assert rates["constant"] == [0.05] * 8
    assert rates["step"] == pytest.approx([0.05] * 4 + [0.005] * 2 + [0.0005] * 2)
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert rates["cosine"][0] == 0.05
    assert learning_rate(config(), 1.0) == 0.0


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_training_learns_and_keeps_the_masks(optimizer):
    """A sparse network learns what can be learnt; its pruned weights are zero."""
    rate = 0.05 if optimizer == "sgd" else 0.01
    trained = trainer(optimizer=optimizer, learning_rate=rate, epochs=8)
    masks = random_masks(trained.network)
    reports = trained.fit(masks, seed=0)
    assert reports[-1].loss < reports[0].loss
    assert trained.evaluate(DATA.test).accuracy > 0.6
    for name, mask in masks.items():
        weights = trained.network.get_submodule(name).weight.detach().numpy()
        assert not weights[~mask].any()
        assert weights[mask].any()


class Fixed(nn.Module):
    """The same logits [2, 3] for every image, whatever it is."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x):
        return self.logits[:, None].expand(2, len(x), 3)


def test_losses_are_means_over_time_steps():
    """The loss is the mean of every step's cross entropy; hits are of mean logits."""
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    found = trainer(Fixed(logits.tolist())).evaluate(DATA.test)
    labels = DATA.test.labels.numpy()
    minus_log = np.log(np.exp(logits).sum(1, keepdims=True)) - logits
    assert found.images == len(labels)
    assert found.loss == pytest.approx(minus_log.mean(0)[labels].mean(), rel=1e-6)
    assert found.accuracy == pytest.approx(np.mean(labels == 1))


def test_any_module_can_be_trained():
    """Without neurons, time steps or validation images: logits [N, classes] do."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    trained = trainer(network, tiny_data(validation=0), epochs=6)
    reports = trained.fit(random_masks(network, kept=0.8), seed=0)
    assert reports[-1].validation_accuracy is None
    assert trained.evaluate(DATA.test).accuracy > 0.9
    with pytest.raises(TrainingError, match="Sequential has no attribute"):
        trained.fit(random_masks(network), seed=0, timesteps=2)


def test_events_are_cut_to_fewer_time_steps():
    """Sequences [T, N, C, H, W] lose their last frames, and the network is told."""
    still = tiny_data()
    splits = {
        name: Split(
            getattr(still, name).images.expand(5, -1, -1, -1, -1).transpose(0, 1),
            getattr(still, name).labels,
        )
        for name in ("train", "validation", "test")
    }
    seen = []

    class Events(nn.Module):
        def __init__(self):
            super().__init__()
            self.timesteps = 5
            self.head = nn.Linear(36, 3)

        def forward(self, x):
            seen.append((len(x), self.timesteps))
            return self.head(x.flatten(2))

    trained = trainer(Events(), replace(still, **splits))
    trained.fit(random_masks(trained.network), seed=0, stop=1, timesteps=3)
    trained.evaluate(trained.data.test)
    assert set(seen[:-2]) == {(3, 3)}
    assert seen[-1] == (5, 5)


def test_time_steps_are_those_of_one_call():
    """Fewer steps for a training or an evaluation, then as before."""
    trained = trainer()
    steps = []
    trained.network.head.register_forward_hook(
        lambda _, inputs, __: steps.append(len(inputs[0]))
    )
    trained.evaluate(DATA.test, timesteps=1)
    trained.fit(random_masks(trained.network), seed=0, stop=1, timesteps=3)
    trained.evaluate(DATA.test)
    assert steps[:2] == [1, 1]
    assert set(steps[2:-2]) == {3}
    assert steps[-2:] == [2, 2]


def test_no_neuron_remembers():
    """After training and evaluating, even when interrupted, all states are reset."""
    trained = trainer()
    node = trained.network.body[0]
    initial = node.v
    trained.fit(random_masks(trained.network), seed=0, stop=1)
    assert node.v == initial
    trained.network.head.register_forward_hook(raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained.evaluate(DATA.test)
    assert node.v == initial


def raise_interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupt_leaves_masks_on_and_no_checkpoint():
    """Inside an epoch there is nothing to resume from; the last checkpoint works."""
    masks = random_masks(tiny_net())
    straight, broken = trainer(), trainer()
    straight.fit(masks, seed=7)
    broken.fit(masks, seed=7, stop=1)
    saved = broken.checkpoint()
    hook = broken.network.head.register_forward_hook(raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(masks, start=1, seed=7)
    hook.remove()
    assert not broken.network.head.weight.detach().numpy()[~masks["head"]].any()
    with pytest.raises(TrainingError, match="interrupted"):
        broken.checkpoint()
    broken.restore(saved)
    broken.fit(masks, start=1, seed=7)
    assert_same_bits(state(straight), state(broken))


def test_early_stopping_waits_for_its_patience():
    """It stops after epochs without a better validation accuracy, resumed or not."""
    masks = dense(tiny_net())
    fields = {"epochs": 12, "early_stopping": 2, "learning_rate": 1e-7}
    straight = trainer(**fields)
    reports = straight.fit(masks, seed=0)
    scores = [report.validation_accuracy for report in reports]
    assert len(scores) < 12
    assert len(scores) == scores.index(max(scores)) + 3
    first, second = trainer(**fields), trainer(**fields)
    first.fit(masks, seed=0, stop=len(scores) - 1)
    second.restore(through_a_file(first.checkpoint()))
    assert len(second.fit(masks, start=len(scores) - 1, seed=0)) == 1
    second.restore(through_a_file(straight.checkpoint()))
    assert second.fit(masks, start=len(scores), seed=0) == ()


def test_a_loss_that_is_not_finite_is_an_error():
    """The message says which settings to change."""
    broken = trainer(Fixed([[math.nan, 0.0, 0.0]] * 2))
    with pytest.raises(TrainingError, match=r"epoch 1 is nan; lower `learning_rate`"):
        broken.fit({}, seed=0)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 5)])
def test_epochs_must_be_in_the_schedule(start, stop):
    """There is no learning rate outside of it."""
    with pytest.raises(TrainingError, match="not within 0 to 4"):
        trainer().fit(random_masks(tiny_net()), start=start, stop=stop, seed=0)


def test_a_checkpoint_goes_on_where_it_was_taken():
    """Starting elsewhere after `restore` is refused."""
    trained = trainer()
    trained.fit(random_masks(trained.network), seed=0, stop=1)
    trained.restore(trained.checkpoint())
    with pytest.raises(TrainingError, match="goes on at epoch 1"):
        trained.fit(random_masks(trained.network), seed=0)


@pytest.mark.parametrize(("size", "message"), [(6, "lacks"), (7, "6 images")])
def test_every_process_needs_an_image_of_a_batch(size, message):
    """A rest of 6 images is enough for six processes (their masks come next)."""
    trained = trainer()
    trained.processes = Processes(size=size)
    with pytest.raises(BalancerError, match=message):
        trained.fit({}, seed=0)


def test_outputs_must_be_logits():
    """Too few classes are reported with the shape."""
    with pytest.raises(TrainingError, match=r"returned \[16, 2\]"):
        trainer(nn.Sequential(nn.Flatten(), nn.Linear(36, 2))).evaluate(DATA.test)


def test_empty_splits_are_not_evaluated():
    """Data without validation images have no validation accuracy."""
    with pytest.raises(TrainingError, match="empty"):
        trainer().evaluate(tiny_data(validation=0).validation)


def test_masks_are_checked_before_training():
    """A missing layer is an error, and nothing is trained."""
    trained = trainer()
    before = state(trained)
    with pytest.raises(MaskError, match="lacks"):
        trained.fit({}, seed=0)
    assert_same_bits(before, state(trained))


@pytest.mark.parametrize(
    "field", [{"epochs": 0}, {"momentum": 1.0}, {"optimizer": "sdg"}, {"lr": 0.1}]
)
def test_configurations_are_validated(field):
    """Numbers have bounds, choices and names are known."""
    with pytest.raises(ValueError, match=next(iter(field))):
        TrainingConfig(**field)


def test_every_setting_says_what_it_is():
    """The command line's help is made of these descriptions."""
    for name, field in TrainingConfig.model_fields.items():
        assert field.description, name
