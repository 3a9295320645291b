"""Pruned weights stay zero, whoever trains the module and however."""

import copy
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from tiny_spiking import random_masks, tiny_net  # noqa: E402
from torch import nn  # noqa: E402

from snn import LastingMasks, apply_order, live_weights, prunable_layers  # noqa: E402
from snn.training.masking import MaskError, keep_masks  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
KEPT = 0.4


def small(seed=0):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        )


def images(count=5):
    return torch.rand(
        count, 1, 6, 6, generator=torch.Generator().manual_seed(0)
    ), torch.arange(count) % 3


def loss_of(network, x, y):
    return nn.functional.cross_entropy(network(x), y)


def pruned_are_zero(network, masks):
    """Whether the weights are +0 where pruned, and the layers have others, too."""
    layers = prunable_layers(network)
    pruned = [
        layers[name].weight.detach()[~torch.from_numpy(masks[name])] for name in masks
    ]
    kept = [
        layers[name].weight.detach()[torch.from_numpy(masks[name])] for name in masks
    ]
    plus_zero = all((one.view(torch.int32) == 0).all() for one in pruned)
    return bool(plus_zero) and all(bool(one.any()) for one in kept)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True
    ),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


@given(
    kind=st.sampled_from(sorted(OPTIMIZERS)),
    made_before=st.booleans(),
    accumulate=st.integers(1, 3),
    steps=st.integers(1, 4),
)
def test_no_optimizer_revives_a_weight(kind, made_before, accumulate, steps):
    """Masks hold after every step of optimizers that were made before or after them."""
    network, (x, y) = small(), images()
    before = OPTIMIZERS[kind](network.parameters())
    if made_before:  # momenta of dense training push pruned weights away from zero
        loss_of(network, x, y).backward()
        before.step(lambda: loss_of(network, x, y))
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    optimizer = before if made_before else OPTIMIZERS[kind](network.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(accumulate):
            loss_of(network, x, y).backward()
        optimizer.step(lambda: loss_of(network, x, y))
        assert pruned_are_zero(network, masks)


def by_hand(network):
    for parameter in network.parameters():
        parameter.data = parameter.data - 0.1 * parameter.grad


def in_place_unseen(network):
    for parameter in network.parameters():
        parameter.data.add_(parameter.grad, alpha=-0.1)


def in_place(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.1 * parameter.grad


@pytest.mark.parametrize("step", [by_hand, in_place_unseen, in_place])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_by_hand_changes_no_forward_pass(step, compiled):
    """Whatever writes into the weights, the network computes as without pruned ones."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    forward = network
    if compiled:
        forward = torch.compile(network, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        network.zero_grad()
        loss_of(forward, x, y).backward()
        step(network)
        plain = small()
        plain.load_state_dict(copy.deepcopy(network).state_dict())
        assert pruned_are_zero(plain, masks)
        step(network)  # once more, so that the masks are not kept by the state dict
        with torch.no_grad():
            seen = forward(x)
            assert pruned_are_zero(network, masks)
            plain.load_state_dict(network.state_dict())
            assert torch.allclose(seen, plain(x), atol=1e-6)


def test_pruned_weights_have_gradients():
    """Gradients arrive as without masks, so scores can rank what is pruned."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    loss_of(network, x, y).backward()
    plain = small()
    plain.load_state_dict(network.state_dict())
    loss_of(plain, x, y).backward()
    for masked, other in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(masked.grad, other.grad)
    assert network[3].weight.grad[~torch.from_numpy(masks["3"])].any()


def test_nothing_is_told_from_a_plain_module():
    """Keys, kinds, parameters and buffers are those of the module without masks."""
    network = small()
    keys, named = list(network.state_dict()), dict(network.named_parameters())
    LastingMasks(network, random_masks(network, KEPT))
    assert list(network.state_dict()) == keys
    assert all(one is named[name] for name, one in network.named_parameters())
    assert not list(network.named_buffers())
    assert [type(one) for one in network.modules()] == [
        type(one) for one in small().modules()
    ]


def test_removed_masks_leave_zeros_and_no_trace():
    """After `remove` the weights are zero, free, and the module has no hook of ours."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    lasting = LastingMasks(network, masks)
    network[3].weight.data.fill_(1)
    lasting.remove()
    assert pruned_are_zero(network, masks)
    assert {name: vars(one).keys() for name, one in network.named_modules()} == {
        name: vars(one).keys() for name, one in small().named_modules()
    }
    assert not any(one._forward_pre_hooks for one in network.modules())
    assert not any(one._state_dict_pre_hooks for one in network.modules())
    sgd = torch.optim.SGD(network.parameters(), lr=0.1)
    loss_of(network, x, y).backward()
    sgd.step()
    assert not pruned_are_zero(network, masks)


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_keeps_the_masks_by_itself(how):
    """A copy trains on with the masks, also when those of the original are gone."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    lasting = LastingMasks(network, masks)
    if how == "deepcopy":
        twin = copy.deepcopy(network)
    else:
        file = io.BytesIO()
        torch.save(network, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    lasting.remove()
    adam = OPTIMIZERS["adam"](twin.parameters())
    for _ in range(2):
        adam.zero_grad()
        loss_of(twin, x, y).backward()
        adam.step()
        assert pruned_are_zero(twin, masks)
    assert not network[3]._forward_pre_hooks


def test_a_state_dict_has_zeros_and_loads_into_both():
    """It is made after zeroing, and what is loaded is masked before it is used."""
    network, (x, _) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    network[0].weight.data.add_(1)
    plain = small()
    plain.load_state_dict(network.state_dict())
    assert pruned_are_zero(plain, masks)
    network.load_state_dict(small(1).state_dict())
    network(x)
    assert pruned_are_zero(network, masks)


def test_a_compiled_network_takes_other_masks():
    """Masks may change after the compiler has seen the network."""
    network, (x, y) = small(), images()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    dense = {name: np.ones_like(mask) for name, mask in random_masks(network).items()}
    lasting = LastingMasks(compiled, dense)  # before or after makes no difference
    sgd = OPTIMIZERS["sgd"](network.parameters())
    for seed in range(3):
        masks = random_masks(network, KEPT, seed)
        lasting.replace(masks)
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.1)
        sgd.zero_grad()
        loss_of(compiled, x, y).backward()
        sgd.step()
        assert pruned_are_zero(network, masks)
        assert torch.allclose(compiled(x), network(x), atol=1e-6)


def test_autocast_to_bf16_computes_with_masked_weights():
    """Under autocast the weights of the forward pass have their zeros, step by step."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    adam = OPTIMIZERS["adamw"](network.parameters())
    for _ in range(3):
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss_of(network, x, y).backward()
        adam.step()
        assert pruned_are_zero(network, masks)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_masks_follow_the_weights_to_another_type(dtype):
    """`to` may change the type of the weights at any time."""
    network, (x, _) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    network.to(dtype)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1)
    network(x.to(dtype))
    assert all(
        np.array_equal((layer.weight != 0).numpy(), masks[name])
        for name, layer in prunable_layers(network).items()
    )


def test_a_layer_may_run_again_and_again_before_the_backward_pass():
    """Loops over time reuse the weights in one graph, which zeroing leaves valid."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    total = sum(loss_of(network, x, y) for _ in range(3))
    total.backward()
    assert network[0].weight.grad.any()


def test_what_is_not_finite_becomes_zero():
    """Pruned weights that an overflow has made NaN or infinite are zero again."""
    network, (x, _) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    weight, pruned = network[3].weight, ~torch.from_numpy(masks["3"])
    weight.data[pruned] = float("nan")
    network(x)
    assert pruned_are_zero(network, masks)


def test_an_optimizer_of_others_costs_nothing():
    """A step on other parameters leaves masked weights alone until they are used."""
    network = small()
    LastingMasks(network, random_masks(network, KEPT))
    network[3].weight.data.fill_(1)
    other = nn.Parameter(torch.ones(1))
    other.grad = torch.ones(1)
    torch.optim.SGD([other], lr=0.1).step()
    assert bool(network[3].weight.all())


def test_masks_are_the_same_as_those_of_an_optimizer_that_is_known():
    """`LastingMasks` and `keep_masks` train to the same bits."""
    (x, y), trained = images(), []
    masks = random_masks(small(), KEPT)
    for lasting in (True, False):
        network = small()
        adam = OPTIMIZERS["adam"](network.parameters())
        if lasting:
            LastingMasks(network, masks)
        else:
            held = keep_masks(adam, network, masks)
            held.__enter__()
        for _ in range(4):
            adam.zero_grad()
            loss_of(network, x, y).backward()
            adam.step()
        trained.append(network.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_channels_of_a_masked_network_are_renumbered_with_their_masks():
    """The copy that `apply_order` makes holds its masks, in the new order."""
    network, (x, y) = small(), images()
    masks = random_masks(network, KEPT)
    LastingMasks(network, masks)
    applied = apply_order(network, {"0": [2, 0, 3, 1]})
    assert applied.layers["0"].applied
    assert torch.allclose(applied.network(x), network(x), atol=1e-6)
    adam = OPTIMIZERS["adam"](applied.network.parameters())
    loss_of(applied.network, x, y).backward()
    adam.step()
    rows, columns = applied.layers["3"].outputs, applied.layers["3"].inputs
    moved = {"0": masks["0"][[2, 0, 3, 1]], "3": masks["3"][rows][:, columns]}
    assert pruned_are_zero(applied.network, moved)


def test_paths_are_those_of_the_masks_that_are_asked_for():
    """Masks that a network has do not hide paths of other masks."""
    network, (x, _) = small(), images()
    dense = {name: np.ones_like(one) for name, one in random_masks(network).items()}
    open_paths = live_weights(network, dense, x)
    LastingMasks(network, {name: np.zeros_like(one) for name, one in dense.items()})
    masked = live_weights(network, dense, x)
    assert all(np.array_equal(masked[name], open_paths[name]) for name in dense)


def test_all_modules_that_share_a_weight_keep_its_mask():
    """Whichever runs first after a step by hand, it computes without pruned weights."""
    words, head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    words.weight = head.weight
    network = nn.Sequential(words, head)
    masks = random_masks(network, KEPT)
    lasting = LastingMasks(network, masks)
    words.weight.data.fill_(1)
    assert torch.equal(words(torch.arange(5)) != 0, torch.from_numpy(masks["1"]))
    lasting.remove()
    assert not any(one._forward_pre_hooks for one in network.modules())


def test_what_is_replaced_cannot_remove_its_successor():
    """Masks of a later object stay when the former one is removed."""
    network = small()
    first = LastingMasks(network, random_masks(network, 0.9))
    masks = random_masks(network, KEPT, seed=1)
    second = LastingMasks(network, masks)
    first.remove()
    network[3].weight.data.fill_(1)
    network(images()[0])
    assert pruned_are_zero(network, masks)
    second.remove()
    assert not any(one._forward_pre_hooks for one in network.modules())


def test_masks_that_do_not_fit_are_refused():
    """Names and shapes are checked as everywhere, before anything is hooked."""
    network = tiny_net()
    with pytest.raises(MaskError, match="lacks"):
        LastingMasks(network, {})
    assert not any(one._forward_pre_hooks for one in network.modules())


DISTRIBUTED = """
import os, sys, torch, torch.distributed as dist, numpy as np
sys.path[:0] = sys.argv[1:3]
from test_lasting_masks import *
dist.init_process_group("gloo")
network, (x, y) = small(dist.get_rank()), images(6)
masks = random_masks(network, KEPT)
LastingMasks(network, masks)
parallel = nn.parallel.DistributedDataParallel(network)
sgd = OPTIMIZERS["sgd"](parallel.parameters())
for _ in range(3):
    sgd.zero_grad()
    with parallel.no_sync():
        loss_of(parallel, x[dist.get_rank()::2], y[dist.get_rank()::2]).backward()
    loss_of(parallel, x[dist.get_rank()::2], y[dist.get_rank()::2]).backward()
    sgd.step()
    assert pruned_are_zero(network, masks)
both = [None, None]
dist.all_gather_object(both, [one.tolist() for one in network.state_dict().values()])
assert both[0] == both[1]
dist.barrier()
# Not to the end of the interpreter: a thread of Gloo that still holds a tensor then, as
# under DistributedDataParallel it may, aborts the process (torch 2.13).
sys.stderr.flush()
os._exit(0)
"""


def test_distributed_data_parallel_keeps_the_masks(tmp_path):
    """Two processes that accumulate gradients have zeros, and the same weights."""
    script = tmp_path / "train.py"
    script.write_text(DISTRIBUTED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", script),
            *(Path(__file__).parent, ROOT / "tests"),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
