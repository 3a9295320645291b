"""A loop of one's own: its rounds, masks and tickets are those of a lottery run."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

import own_loop  # noqa: E402
from spikingjelly.activation_based.functional import reset_net  # noqa: E402
from tiny_spiking import tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402

from balancer import BalancerError, open_ticket  # noqa: E402
from hwmodel import Accelerator, evaluate, network_workloads  # noqa: E402
from snn import (  # noqa: E402
    METHODS,
    LoopError,
    LotteryConfig,
    Processes,
    Pruned,
    Tickets,
    load_network,
    run_lottery,
)
from snn.data.batches import batches  # noqa: E402
from snn.lottery.comparison_error import ComparisonError  # noqa: E402
from snn.lottery.round_tickets import load_ticket  # noqa: E402
from snn.training.epoch_random import epoch_random  # noqa: E402
from snn.training.evaluation import score  # noqa: E402
from snn.training.schedule import build_optimizer, learning_rate  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DATA = tiny_data()


# ------------------------------------------------------------- as run_lottery does it


def epoch_batches(config, seed, epoch):
    """Batches of the training images, as `Trainer` draws them."""
    with epoch_random(seed, epoch, Processes()) as generator:
        yield from batches(DATA, DATA.train, config.batch_size, generator=generator)


def as_the_trainer(network, ticket, config):
    """What `Trainer.fit` does, by hand, with an optimizer that `Tickets` never sees."""
    steps = build_optimizer(config, network.parameters())
    for epoch in ticket.epochs(config.epochs, steps, rewind=config.rewind_epoch):
        network.train()
        part = config.batch_size / len(DATA.train)
        for step, (x, y) in enumerate(epoch_batches(config, ticket.seed, epoch)):
            for group in steps.param_groups:
                done = (epoch + step * part) / config.epochs
                group["lr"] = learning_rate(config, done)
            steps.zero_grad()
            logits = network(x)
            reset_net(network)
            (score(logits, y)[0] / len(y)).backward()
            steps.step()


def accuracy(network):
    network.eval()
    hits = 0
    with torch.no_grad():
        for x, y in batches(DATA, DATA.test, 64):
            hits += int((network(x).mean(0).argmax(1) == y).sum())
            reset_net(network)
    return hits / len(DATA.test)


class OfTheRound:
    """The batches that gradients of a lottery run are measured with."""

    def __init__(self, config):
        self.config, self.ticket = config, None

    def __iter__(self):
        return epoch_batches(self.config, self.ticket.seed, self.config.epochs)


def mean_loss(logits, y):
    return score(logits, y)[0] / len(y)


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "optimal", "score": "magnitude"},
        {"method": "optimal", "optimizer": "adamw", "learning_rate": 0.01},
        {"method": "optimal-order", "budgets": "lamp", "score": "taylor"},
        {"method": "optimal", "revive": True, "growth": "gradient"},
        {"method": "latency", "score": "magnitude"},
        {"method": "u-ticket-code", "rewind": 0},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_a_loop_that_trains_alike_finds_the_tickets_of_a_run(fields, tmp_path):
    """Weights, masks, orders and scores are equal to the bit, and so are the costs."""
    config = LotteryConfig.of(
        {
            **{"sparsities": (0.5, 0.8), "epochs": 3, "rewind": 1, "timesteps": 2},
            **{"pes": 4, "batch_size": 16, "precision": "float32"},
            **{"channels_last": False, "validation": 0},
            **fields,
        }
    )
    run = run_lottery(config, root=tmp_path / "run", network=tiny_net(), data=DATA)
    network = tiny_net()
    ranked_with = OfTheRound(config)
    of_loop = {
        name: value
        for name, value in fields.items()
        if name not in ("optimizer", "learning_rate", "rewind")
    }
    tickets = Tickets(
        network,
        example=torch.cat([x for x, _ in batches(DATA, DATA.test, 64)]),
        sparsities=(0.5, 0.8),
        pes=4,
        batches=ranked_with,
        loss=mean_loss,
        root=tmp_path / "loop",
        **of_loop,
    )
    for ticket in tickets:
        ranked_with.ticket = ticket
        as_the_trainer(network, ticket, config)
        ticket.record(accuracy(network))
    mine = tickets.result()
    for number in range(3):
        theirs, ours = load_ticket(run.ticket(number)), load_ticket(mine.ticket(number))
        for name, mask in theirs.pruned.masks.items():
            assert np.array_equal(ours.pruned.masks[name], mask)
            assert np.array_equal(
                ours.pruned.carried[name], theirs.pruned.carried[name]
            )
            assert ours.pruned.schedules[name] == theirs.pruned.schedules[name]
            assert np.array_equal(ours.ranking[name], theirs.ranking[name])
        assert ours.state.keys() == theirs.state.keys()
        for name, array in theirs.state.items():
            assert np.array_equal(ours.state[name], array), name
        said, known = (
            {**one.outcome.to_dict(), "loss": None, "validation_accuracy": None}
            for one in (ours, theirs)
        )
        assert said == known


# -------------------------------------------------------------------- killed and back


def loop(folder, optimizer, *kills):
    """Run the loop in processes that are killed where it is said; read its tickets."""
    subprocess.run(
        [sys.executable, ROOT / "tests" / "own_loop.py", folder, optimizer, *kills],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    return tickets_in(folder)


def tickets_in(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("round-*.safetensors"))
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loop_that_is_killed_ends_in_the_same_tickets(optimizer, tmp_path):
    """SIGKILL inside and between rounds, again and again, changes not a byte."""
    undisturbed = loop(tmp_path / "undisturbed", optimizer)
    kills = ("0.0", "0.2", "optimal-1", "1.1", "2.1", "lth-1", "lth-2")
    assert len(undisturbed) == 6
    assert loop(tmp_path / "killed", optimizer, *kills) == undisturbed


def test_a_finished_loop_trains_nothing_again(tmp_path):
    """Its rounds are over at once, and the network has the last one's weights."""
    first = own_loop.main(tmp_path)
    network = tiny_net()
    again = Tickets(
        network,
        example=DATA.test.images,
        method=["optimal", "lth"],
        sparsities=[0.5, 0.8],
        pes=4,
        root=tmp_path,
        settings={"optimizer": "sgd"},
    )
    assert list(again) == []
    assert again.result("lth").outcomes == first.result("lth").outcomes
    state = load_ticket(again.result("lth").ticket()).state
    for name, tensor in network.state_dict().items():
        assert np.array_equal(tensor.numpy(), state[name])
    methods = {one.method for one in again.compare().runs}
    assert methods == {"optimal", "lth"}


# --------------------------------------------------------------------------- the rest


def plain_net(seed=0):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)
        )


X, Y = DATA.train.images, DATA.train.labels


def steps(network, optimizer, count=2):
    for _ in range(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X), Y).backward()
        optimizer.step()


def made(network, root, **given):
    given = {"sparsities": [0.5, 0.8], "method": "optimal", "pes": 4} | given
    return Tickets(network, example=X, root=root, **given)


def trained(tickets, network, rate=0.1):
    for ticket in tickets:
        steps(network, torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9))
        ticket.record(0.5)
    return tickets


def test_an_optimizer_of_all_rounds_forgets_each(tmp_path):
    """One that is made once takes no momenta along, so a resumed loop is the same."""
    ends = []
    for once in (True, False):
        network = plain_net()
        adam = torch.optim.Adam(network.parameters(), lr=0.01)
        for ticket in made(network, tmp_path / str(once)):
            if not once:
                adam = torch.optim.Adam(network.parameters(), lr=0.01)
            steps(network, adam)
            ticket.record(0.5)
        ends.append(network.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_every_round_begins_with_the_weights_of_the_moment_to_rewind_to(tmp_path):
    """They are those of round 0's `rewind_here`, zero where the masks prune."""
    network = plain_net()
    moment = None
    for ticket in made(network, tmp_path):
        if ticket.round:
            for name, mask in ticket.masks.items():
                weight = network.get_submodule(name).weight.detach().numpy()
                assert np.array_equal(
                    weight, np.where(mask, moment[f"{name}.weight"], 0)
                )
        steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
        ticket.rewind_here()
        if ticket.round == 0:
            moment = copy.deepcopy(network.state_dict())
        steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
        ticket.record(0.5)


def test_a_ticket_is_one_of_a_run(tmp_path):
    """`open_ticket`, `evaluate` and `load_network` read it; it names no training."""
    network = plain_net()
    tickets = trained(made(network, tmp_path, settings={"lr": 0.1}), network)
    result = tickets.result()
    ticket = open_ticket(result.ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    orders = {layer.name: layer.read_schedules() for layer in ticket.layers}
    layers = network_workloads(masks, ticket.about, schedules=orders)
    hardware = Accelerator.load("u-ticket").on_map("output_channel", 4)
    assert evaluate(layers.workloads, hardware).cycles == result.last.cycles
    assert ticket.about["settings"] == {"lr": 0.1}
    assert not {"epochs", "learning_rate", "dataset"} & ticket.about["config"].keys()
    loaded = load_network(result.ticket(), plain_net(1))
    assert torch.equal(loaded(X), network(X))
    with pytest.raises(BalancerError, match="give it as `network`"):
        load_network(result.ticket())


def test_removed_tickets_leave_a_plain_module(tmp_path):
    """After the loop masks hold until `remove`, and then the weights are free."""
    network = plain_net()
    tickets = trained(made(network, tmp_path), network)
    assert tickets.masks.sparsity == pytest.approx(0.8, abs=0.02)
    steps(network, torch.optim.Adam(network.parameters()))
    masks = dict(tickets.masks)
    assert all(
        not network.get_submodule(name).weight.detach().numpy()[~mask].any()
        for name, mask in masks.items()
    )
    tickets.remove()
    assert tickets.masks is None
    assert not any(one._forward_pre_hooks for one in network.modules())


def test_methods_share_the_dense_round(tmp_path):
    """The second method begins with round 1, from the same network."""
    network = plain_net()
    seen = []
    tickets = made(network, tmp_path, method=["optimal", "lth", "u-ticket"])
    assert len(tickets) == 9
    for ticket in tickets:
        seen.append((ticket.method, ticket.round))
        steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
        ticket.record(0.5)
    assert seen == [
        *(("optimal", number) for number in range(3)),
        *((method, number) for method in ("lth", "u-ticket") for number in (1, 2)),
    ]
    first, second = (
        load_ticket(tickets.result(m).ticket(0)) for m in ("optimal", "lth")
    )
    assert all(np.array_equal(first.state[n], second.state[n]) for n in first.state)


def test_a_method_may_be_a_function(tmp_path):
    """It prunes; another function of its name is another run."""

    def mine(pruning):
        return METHODS["lth"](pruning)

    first = trained(made(net := plain_net(), tmp_path, method=[mine, "lth"]), net)
    runs = [first.result(name) for name in ("mine", "lth")]
    assert runs[0].folder != runs[1].folder
    assert [one.nonzeros for one in runs[0].outcomes] == [
        one.nonzeros for one in runs[1].outcomes
    ]
    assert open_ticket(runs[0].ticket()).about["method"] == "mine"

    def mine(pruning):
        return METHODS["u-ticket"](pruning)

    other = made(plain_net(), tmp_path, method=mine)
    with pytest.raises(LoopError, match="0 of 3 rounds"):
        other.result()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p: None, "returned NoneType; a `snn.Pruned` is needed"),
        (lambda p: Pruned({}, p.carried, {}), "`masks` are of no layer"),
        (
            lambda p: Pruned(
                {n: m * 1.0 for n, m in p.masks.items()},
                p.carried,
                {n: p.map_of(n).schedule() for n in p.masks},
            ),
            r"float64\[8, 1, 3, 3\]; bool\[8, 1, 3, 3\] is needed",
        ),
        (
            lambda p: Pruned(p.masks, p.carried, dict.fromkeys(p.masks)),
            "a `balancer.Schedule` of 8 channels on axis 0",
        ),
    ],
)
def test_a_method_that_answers_something_else_is_refused(answer, said, tmp_path):
    """One line names the function and what is needed."""

    def mine(pruning):
        return answer(pruning)

    network = plain_net()
    with pytest.raises(BalancerError, match="`method` mine") as error:
        trained(made(network, tmp_path, method=mine), network)
    assert error.match(said)


def test_runs_of_several_loops_stand_beside_each_other(tmp_path):
    """Methods, seeds, and loops with labels of their own; the figure is written."""
    loops = []
    for seed, rate in ((0, 0.1), (1, 0.1), (0, 0.01)):
        network = plain_net()
        given = {"seed": seed, "settings": {"lr": rate}, "method": ["optimal", "lth"]}
        loops.append(trained(made(network, tmp_path, **given), network, rate))
    both = loops[0].compare("lth", loops[1])
    assert both.methods == ("optimal", "lth")
    assert both.seeds == (0, 1)
    assert len(both.runs) == 4
    named = loops[0].compare(slow=loops[2])
    assert named.methods == ("optimal", "lth", "slow")
    named.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert len(named.to_csv().splitlines()) == 1 + 3 * 3
    with pytest.raises(ComparisonError, match="two runs of optimal have one seed"):
        loops[0].compare(loops[2])
    with pytest.raises(
        LoopError, match=r"no run of u-ticket is finished in .*; give all"
    ):
        loops[0].compare("u-ticket")
    with pytest.raises(
        LoopError, match="`method` is 'u-ticket'; the loop runs optimal,"
    ):
        loops[0].result("u-ticket")
    given = {"settings": {"lr": 0.1}, "method": "u-ticket"}
    trained(made(net := plain_net(), tmp_path, **given), net)
    assert loops[0].compare("u-ticket").methods == ("optimal", "u-ticket")
    other = trained(made(net := plain_net(), tmp_path, sparsities=[0.3]), net)
    with pytest.raises(ComparisonError, match="other sparsities"):
        loops[0].compare(short=other)


def test_what_a_run_is_told_by(tmp_path):
    """Initial weights, settings, array and method make other runs; the example's
    values and the place do not."""
    one = made(plain_net(), tmp_path)._run(None).folder.path.name
    given = {"sparsities": [0.5, 0.8], "method": "optimal", "pes": 4, "root": "x"}
    again = Tickets(plain_net(), example=X + 1, **given)
    assert again._run(None).folder.path.name == one
    for other in (
        made(plain_net(1), tmp_path),
        made(plain_net(), tmp_path, settings={"lr": 1}),
        made(plain_net(), tmp_path, pes=8),
        made(plain_net(), tmp_path, seed=1),
    ):
        assert other._run(None).folder.path.name != one


def test_a_compiled_network_is_the_same_run(tmp_path):
    """`torch.compile` changes neither names nor identity nor masks."""
    network = plain_net()
    compiled = torch.compile(network, backend="aot_eager")
    tickets = trained(made(compiled, tmp_path), compiled)
    plain = made(plain_net(), tmp_path)
    assert list(plain) == []
    assert plain.result().outcomes == tickets.result().outcomes
    for name, mask in tickets.masks.items():
        assert not network.get_submodule(name).weight.detach().numpy()[~mask].any()


def test_restarted_tickets_begin_again(tmp_path):
    """`restart` throws the rounds away, once."""
    trained(made(net := plain_net(), tmp_path), net)
    network = plain_net()
    seen = []
    for ticket in made(network, tmp_path, restart=True):
        seen.append(ticket.round)
        steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
        ticket.record(0.5)
    assert seen == [0, 1, 2]


DISTRIBUTED = """
import os
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_tickets import *
import torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
network = plain_net()
parallel = nn.parallel.DistributedDataParallel(network)
tickets = made(parallel, Path(sys.argv[1]), checkpoint_seconds=0)
for ticket in tickets:
    sgd = torch.optim.SGD(parallel.parameters(), lr=0.1, momentum=0.9)
    for _ in ticket.epochs(3, sgd):
        sgd.zero_grad()
        nn.functional.cross_entropy(parallel(X[rank::2]), Y[rank::2]).backward()
        sgd.step()
    ticket.record(0.25 + rank / 4)  # what the main process says goes
told = [None, None]
weights = [one.tolist() for one in network.state_dict().values()]
dist.all_gather_object(told, (tickets.result().outcomes, weights))
assert told[0] == told[1]
assert {one.accuracy for one in tickets.result().outcomes} == {0.25}
dist.barrier()
# Not to the end of the interpreter: a thread of Gloo that still holds a tensor then, as
# under DistributedDataParallel it may, aborts the process (torch 2.13).
sys.stderr.flush()
os._exit(0)
"""


def test_several_processes_make_one_run(tmp_path):
    """The main process chooses masks and writes; all end with the same weights."""
    script = tmp_path / "train.py"
    script.write_text(DISTRIBUTED)
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", script, tmp_path / "runs"),
            *(Path(__file__).parent, ROOT / "tests"),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert len(tickets_in(tmp_path / "runs")) == 3


# -------------------------------------------------------------------------- bad input


class Gates(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.GRU(4, 4)

    def forward(self, x):
        return self.cells(x)[0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: dict(network=Gates()), "Gates has no layer to prune; accepted: "),
        (lambda: dict(example=torch.rand(2, 5)), "does not run on `example` of"),
        (lambda: dict(example=[1]), "`example` is a list; some inputs"),
        (lambda: dict(epochs=3), "`epochs` is up to your own loop; accepted: "),
        (lambda: dict(epoch=3), "`epoch` is no setting; accepted: "),
        (lambda: dict(map="banked"), "`map` is no setting; accepted: .*pe_map"),
        (lambda: dict(method=[]), r"`method` is \[\]; give at least one"),
        (lambda: dict(method="best"), "`method` is 'best'; accepted: "),
        (lambda: dict(sparsities=[0.9, 0.5]), "must rise"),
        (lambda: dict(settings={"a": {1}}), "cannot be written as JSON"),
        (lambda: dict(batches=iter([])), "used up after one pass"),
        (lambda: dict(batches=3), "an iterable of batches"),
        (lambda: dict(sparsities=[0.9999]), "slice"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_in_one_line(make, said, tmp_path):
    """Before any training, with what is accepted."""
    given = {"network": plain_net(), "example": X, "root": tmp_path, "pes": 4} | make()
    given = {"method": "optimal"} | given
    with pytest.raises(BalancerError, match=said) as error:
        Tickets(given.pop("network"), **given)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_loop_that_never_steps_is_told(tmp_path):
    """A round that changes no parameter is not recorded."""
    network = plain_net()
    ticket = next(iter(made(network, tmp_path)))
    network(X)
    with pytest.raises(LoopError, match="round 0 ends with the weights that it began"):
        ticket.record(0.5)
    assert not list(tmp_path.rglob("round-*"))


def test_an_optimizer_of_another_module_is_told(tmp_path):
    """One line names it, and whose parameters are needed."""
    network, twin = plain_net(), plain_net()
    rounds = iter(made(network, tmp_path))
    ticket = next(rounds)
    steps(twin, torch.optim.Adam(twin.parameters()))
    with pytest.raises(LoopError, match="Adam stepped in round 0, but none") as error:
        ticket.record(0.5)
    assert "\n" not in str(error.value)


def test_a_loop_that_was_interrupted_goes_on_in_the_same_process(tmp_path):
    """New tickets do not find the run taken by what is left of the old loop."""
    left = []
    for again in range(3):
        network = plain_net()
        rounds = iter(made(network, tmp_path))
        ticket = next(rounds)
        assert ticket.round == again
        steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
        ticket.record(0.5)
        left.append(rounds)  # as a traceback keeps it, when its loop has failed
    assert list(made(plain_net(), tmp_path)) == []


def test_epochs_are_counted_once(tmp_path):
    """A second count in one round would go back to its beginning."""
    ticket = next(iter(made(plain_net(), tmp_path)))
    assert list(ticket.epochs(2)) == [0, 1]
    with pytest.raises(LoopError, match="epochs of round 0 are counted already"):
        next(ticket.epochs(2))


def test_a_round_without_a_result_is_told(tmp_path):
    """The loop stops, and goes on with the same round later."""
    network = plain_net()
    tickets = made(network, tmp_path)
    rounds = iter(tickets)
    next(rounds)
    steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
    with pytest.raises(LoopError, match=r"call ticket.record\(accuracy=…\)"):
        next(rounds)
    assert next(iter(tickets)).round == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"accuracy": 97.3}, "`accuracy` is 97.3; accepted: a fraction"),
        ({"accuracy": float("nan")}, "`accuracy` is nan"),
        ({"accuracy": "good"}, "`accuracy` is a str; one number"),
        ({"accuracy": torch.rand(2)}, "`accuracy` is a Tensor; one number"),
        ({"accuracy": 0.5, "loss": float("inf")}, "`loss` is inf"),
    ],
)
def test_results_that_are_none_are_refused(given, said, tmp_path):
    """A number that cannot be meant is not written down; the right one still can be."""
    network = plain_net()
    for ticket in made(network, tmp_path, sparsities=[0.5]):
        steps(network, torch.optim.SGD(network.parameters(), lr=0.1))
        with pytest.raises(LoopError, match=said):
            ticket.record(**given)
        ticket.record(0.5)
        with pytest.raises(LoopError, match="recorded already"):
            ticket.record(0.5)


def test_gradients_without_batches_are_told_before_training(tmp_path):
    """A score by gradients says what it needs when the tickets are made."""
    with pytest.raises(LoopError, match="which need `batches` and `loss`"):
        made(plain_net(), tmp_path, score="gradient")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((3, object()), "object has no state to keep"),
        ((0,), "`rewind` is 0 of 0 epochs"),
    ],
)
def test_epochs_that_cannot_be_kept_are_refused(arguments, said, tmp_path):
    """What has no state is named, and so is a number of epochs that is none."""
    ticket = next(iter(made(plain_net(), tmp_path)))
    with pytest.raises(LoopError, match=said):
        next(ticket.epochs(*arguments))
