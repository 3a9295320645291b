"""Batches of one's own as data, and what `compare_methods` is given beside them."""

import copy
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from tiny_spiking import TinyNet, tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset  # noqa: E402

from balancer import BalancerError  # noqa: E402
from snn import (  # noqa: E402
    METHODS,
    ComparisonError,
    DataError,
    LotteryConfig,
    Watcher,
    compare_methods,
    run_lottery,
)
from snn.data.batch_split import BatchSplit  # noqa: E402
from snn.data.batches import batches  # noqa: E402
from snn.data.loaders import as_image_data  # noqa: E402

KNOWN = tiny_data(train=40)
CONFIG = LotteryConfig(
    method="lth",
    sparsities=(0.5, 0.8),
    epochs=2,
    rewind=1,
    timesteps=2,
    pes=4,
    precision="float32",
)


class Augmented(TensorDataset):
    """Images that are other ones in every epoch, by all kinds of random numbers."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        noise = torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002
        return image + 0.1 * noise, label


def loader(split, **given):
    images = (split.images - KNOWN.mean[:, None, None]) / KNOWN.std[:, None, None]
    return DataLoader(Augmented(images, split.labels), 16, shuffle=True, **given)


def own_data(**given):
    test = [(x, y) for x, y in batches(KNOWN, KNOWN.test, 16)]
    return {"train": loader(KNOWN.train, **given), "test": test}


def tickets(result):
    return [result.ticket(one.round).read_bytes() for one in result.outcomes]


class Stop(Watcher):
    """Interrupts a run after some epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def epoch(self, number, report):
        self.epochs -= 1
        if not self.epochs:
            raise KeyboardInterrupt


@pytest.mark.parametrize("of_its_own", [False, True])
def test_a_run_on_a_loader_can_be_repeated_and_resumed(of_its_own, tmp_path):
    """Shuffling and augmentation are drawn from the seed, and from nothing else."""
    given = {"generator": torch.Generator().manual_seed(5)} if of_its_own else {}
    whole = run_lottery(
        CONFIG, root=tmp_path / "a", network=tiny_net(), data=own_data(**given)
    )
    torch.manual_seed(9)  # what happens outside, and how far a loader is, is all one
    np.random.seed(9)  # noqa: NPY002
    data, network = own_data(**given), tiny_net()
    again = {"root": tmp_path / "b", "data": data, "checkpoint_seconds": 0}
    for epochs in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run_lottery(
                CONFIG, network=network, watcher=Stop(epochs), resume=True, **again
            )
    result = run_lottery(CONFIG, network=network, resume=True, **again)
    assert tickets(result) == tickets(whole)
    assert result.folder.name == whole.folder.name


def test_epochs_and_seeds_see_other_images():
    """A loader is made anew for every epoch, not read once and kept."""
    data = as_image_data(own_data())
    passes = []
    for seed in (0, 1, 0):
        generator = torch.Generator().manual_seed(seed)
        made = batches(data, data.train, 1, generator=generator)
        passes.append(torch.cat([x for x, _ in made]))
    assert torch.equal(passes[0], passes[2])
    assert not torch.equal(passes[0].sort(0)[0], passes[1].sort(0)[0])


def test_what_comes_in_batches_is_as_what_lies_in_memory():
    """Sizes, classes and tested images are those of the data set that it is made of."""
    data = as_image_data((loader(KNOWN.train), own_data()["test"]))
    sizes = len(data.train), len(data.test)
    assert sizes == (len(KNOWN.train), len(KNOWN.test))
    assert (data.input_shape, data.classes) == (KNOWN.input_shape, KNOWN.classes)
    assert not len(data.validation)
    mine = torch.cat([x for x, _ in batches(data, data.test, 99)])
    known = torch.cat([x for x, _ in batches(KNOWN, KNOWN.test, 16)])
    assert torch.equal(mine, known)
    assert torch.equal(data.test.first(20).images, known[:20])
    assert len(data.test.first(99)) == len(KNOWN.test)


def test_events_in_batches_are_events():
    """Batches [N, T, C, H, W] are run step by step, as those of a file."""
    batch = torch.rand(4, 3, 2, 6, 6).round(), torch.arange(4)
    data = as_image_data(([batch, batch], [batch]))
    assert (data.events, data.timesteps, data.input_shape) == (True, 3, (2, 6, 6))
    for x, _ in batches(data, data.train, 2):
        assert torch.equal(x, batch[0].transpose(0, 1))


def test_what_is_given_is_left_alone():
    """Neither batches nor random numbers outside change while a loader is read."""
    images = torch.rand(8, 1, 6, 6)
    kept = images.clone()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    data = as_image_data(([(images, torch.arange(8) % 3)], own_data()["test"]))
    for x, _ in batches(data, data.train, 3, generator=torch.Generator()):
        x.add_(1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002
    assert kept.shape == images.shape


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x, y: [(x, y)], "`data` is a list; accepted: an ImageData, a tuple"),
        (lambda x, y: {"train": [(x, y)]}, "`data` has train; accepted: "),
        (
            lambda x, y: {"train": [(x, y)], "test": [(x, y)], "val": [(x, y)]},
            "`data` has train, test, val; accepted: ",
        ),
        (
            lambda x, y: (iter([(x, y)]), [(x, y)]),
            "`train` is a list_iterator, which is",
        ),
        (lambda x, y: (x, y), "`train` is a Tensor; an iterable of batches"),
        (lambda x, y: ([x], [(x, y)]), "`train`, batch 0: a Tensor is no pair of"),
        (lambda x, y: ([(x, y)], [(x, y[:2])]), "`test`, batch 0: 6 images have 2 la"),
        (lambda x, y: ([(x, y), (x[..., :4], y)], []), "images of shapes"),
        (lambda x, y: ([(x, y)], []), "`test` has images of shapes none"),
        (lambda x, y: ([(x, y)], [(x, y + 1)]), "labels of `test` go up to 3, those"),
        (lambda x, y: ([(x, y)], [(x[..., :4], y)]), "`test` has images of shape"),
        (lambda x, y: ([(x, y * 0.5)], [(x, y)]), "batch 0: labels are torch.float32"),
        (lambda x, y: ([(x / 0, y)], [(x, y)]), "NaN or infinite"),
        (
            lambda x, y: (
                DataLoader(
                    s := TensorDataset(x, y), sampler=DistributedSampler(s, 2, 0)
                ),
                [(x, y)],
            ),
            "`train` has a DistributedSampler, which divides the images",
        ),
    ],
)
def test_batches_that_are_no_data_are_refused_in_one_line(make, said, tmp_path):
    """It is said which part, which batch, and what is accepted."""
    data = make(torch.rand(6, 1, 6, 6), torch.arange(6) % 3)
    with pytest.raises(DataError, match=said) as error:
        run_lottery(CONFIG, root=tmp_path, network=tiny_net(), data=data)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------ comparisons


def mine(pruning):
    return METHODS["topk-per-pe"](pruning)


def small(seed):
    return TinyNet(dropout=0.1)


def small_data():
    x, y = KNOWN.train.images[:24], KNOWN.train.labels[:24]
    return [(x[:12], y[:12]), (x[12:], y[12:])], [(x, y)]


def test_every_run_of_a_comparison_gets_its_own_network_and_the_same_data(tmp_path):
    """Runs are those of `run_lottery` with a copy; jobs do not change them."""
    network, data = tiny_net(), small_data()
    before = copy.deepcopy(network.state_dict())
    given = {"network": network, "data": data}
    made = compare_methods(CONFIG, ["lth", mine], [0, 1], root=tmp_path / "a", **given)
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
    assert made.methods == ("lth", "mine")
    assert not made.failures
    config = CONFIG.model_copy(update={"seed": 1})
    one = run_lottery(
        config, root=tmp_path / "b", network=tiny_net(), data=data, method=mine
    )
    assert made.of("mine")[1].outcomes == one.outcomes
    jobs = compare_methods(
        CONFIG, ["lth", mine], [0, 1], root=tmp_path / "c", jobs=2, **given
    )
    assert jobs.runs == made.runs
    again = compare_methods(CONFIG, ["lth", mine], [0, 1], root=tmp_path / "a", **given)
    assert again.runs == made.runs


def test_a_function_makes_a_network_for_each_seed(tmp_path):
    """It is called with the seed, which torch has too; methods share the network."""
    made = compare_methods(
        CONFIG, ["lth", "topk-per-pe"], [0, 1], root=tmp_path, network=small,
        data=small_data(),
    )  # fmt: skip
    dense = {m: [made.of(m)[s].outcomes[0].loss for s in (0, 1)] for m in made.methods}
    assert dense["lth"] == dense["topk-per-pe"]
    assert dense["lth"][0] != dense["lth"][1]


class Open(nn.Module):
    """A network that no other process can have."""

    def __init__(self):
        super().__init__()
        self.layers, self.file = nn.Linear(36, 3), open("/dev/null")  # noqa: SIM115

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        return self.layers(x.flatten(1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"network": Open()}, "`network` of lth cannot be sent to the processes of 2"),
        (
            {"network": lambda seed: None},
            "`network` made a NoneType for seed 0; a torch",
        ),
        ({"data": 3}, "`data` is a int; accepted: "),
        (
            {"methods": [lambda p: p, lambda p: p]},
            "'<lambda>'.*give at least one, each",
        ),
        ({"methods": [lambda p: p]}, "`method` of <lambda> cannot be sent"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(given, said, tmp_path):
    """Before any run, with what is accepted."""
    given = {"methods": ["lth"], "data": small_data()} | given
    with pytest.raises(BalancerError, match=said) as error:
        compare_methods(CONFIG, seeds=[0], root=tmp_path, jobs=2, **given)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ComparisonError | DataError)
    assert not list(tmp_path.iterdir())


def test_a_split_of_batches_says_what_it_holds():
    """Counts, classes and digest are those of a first pass."""
    x, y = torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 0])
    one = BatchSplit.of("train", [(x, y), (x[:2], y[:2])])
    assert (len(one), one.steps, one.smallest, one.classes) == (8, 2, 2, 3)
    assert one.digest != BatchSplit.of("train", [(x, y), (x[:2], y[1:3])]).digest
