"""Effective weights of a chain are those that a walk from pixel to pixel meets."""

import json
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import cli
from balancer import balance_ticket, open_ticket, shipped_ticket
from hwmodel import (
    Accelerator,
    Geometry,
    LayerWorkload,
    WorkloadError,
    chain_effective,
    evaluate,
    network_workloads,
)
from hwmodel.effective import count_effective, live_in_chain
from hwmodel.known_chain import Link, known_chain


@st.composite
def chains(draw):
    """Convolutions with strides, paddings, dilations, groups and windows; linear ends.

    With sparse masks, so that paths break.
    """
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    density = draw(st.sampled_from([0.1, 0.3, 0.8]))
    image = (int(rng.integers(1, 3)), *map(int, rng.integers(2, 6, 2)))
    chain, masks = [], {}
    for number in range(draw(st.integers(1, 3))):
        groups = image[0] if draw(st.booleans()) else 1
        kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        geometry = Geometry(
            image,
            (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
            (int(rng.integers(0, 2)), int(rng.integers(0, 2))),
            (int(rng.integers(1, 3)), 1),
            groups,
        )
        weights = (groups * int(rng.integers(1, 3)), image[0] // groups, *kernel)
        try:
            layer = LayerWorkload("", np.ones(weights), **geometry._asdict())
        except WorkloadError:  # an image smaller than the kernel
            continue
        window = int(rng.integers(1, 1 + min(layer.output_size)))
        name = f"c{number}"
        chain.append(Link(name, geometry, window))
        masks[name] = rng.random(weights) < density
        image = (weights[0], *(size // window for size in layer.output_size))
    features = prod(image)
    for number in range(draw(st.integers(not chain, 2))):
        outputs, name = int(rng.integers(1, 4)), f"f{number}"
        chain.append(Link(name, Geometry((features,))))
        masks[name] = rng.random((outputs, features)) < density
        features = outputs
    return chain, masks


def walked(chain, masks):
    """Count kept weights on a path: walk from pixel to pixel, weight by weight."""
    arcs, layers = [], []  # (weight, from, to) by layer; a pixel is (layer, c, y, x)
    for number, link in enumerate(chain):
        layer = LayerWorkload(link.name, masks[link.name], **link.geometry._asdict())
        layers.append(layer)
        own = []
        mask = layer.mask.reshape(layer.weight_shape)
        inputs = mask.shape[1]
        (sy, sx), (py, px), (dy, dx) = map(
            layer.pairs, ("stride", "padding", "dilation")
        )
        for place in zip(*np.nonzero(mask), strict=True):
            o, i, u, v = map(int, place)
            channel = o // (mask.shape[0] // layer.groups) * inputs + i
            for y, x in product(*map(range, layer.output_size)):
                row, column = y * sy + u * dy - py, x * sx + v * dx - px
                if 0 <= row < layer.image[1] and 0 <= column < layer.image[2]:
                    behind = (y // link.window, x // link.window)
                    sizes = [size // link.window for size in layer.output_size]
                    if all(a < b for a, b in zip(behind, sizes, strict=True)):
                        flat = np.ravel_multi_index((o, *behind), (10, *sizes))
                        start = np.ravel_multi_index(
                            (channel, row, column), layer.image
                        )
                        own.append((place, (number, start), (number + 1, flat)))
        arcs.append(own)
    reached = {(0, n) for n in range(prod(layers[0].image))}
    for own in arcs:
        reached |= {to for _, start, to in own if start in reached}
    size = prod(size // chain[-1].window for size in layers[-1].output_size)
    read = {(len(chain), n) for n in range(layers[-1].outputs * size)}
    for own in reversed(arcs):
        read |= {start for _, start, to in own if to in read}
    return {
        link.name: len({w for w, start, to in own if start in reached and to in read})
        for link, own in zip(chain, arcs, strict=True)
    }


@given(chains())
def test_effective_weights_are_those_that_a_walk_meets(case):
    """Through strides, padding, dilation, groups, windows and flattening."""
    chain, masks = case
    live = live_in_chain(masks, chain)
    found = {name: int((mask & live[name]).sum()) for name, mask in masks.items()}
    assert found == walked(chain, masks)


@given(chains())
def test_weights_on_paths_are_those_that_would_add_one(case):
    """A pruned weight is live if it alone, added, lies on a path."""
    chain, masks = case
    live = live_in_chain(masks, chain)
    name = chain[-1].name
    pruned = np.argwhere(~masks[name])[:3]
    for place in map(tuple, pruned):
        more = masks[name].copy()
        more[place] = True
        alone = more.copy()
        counts = [walked(chain, masks | {name: one}) for one in (alone, masks[name])]
        assert (counts[0][name] > counts[1][name]) == live[name][place]


TEXT = {"architecture": "4c3-mp2-3c3s2-fc5-fc2", "input_shape": (1, 8, 8)}
SHAPES = {"a": (4, 1, 3, 3), "b": (3, 4, 3, 3), "f0": (5, 12), "f1": (2, 5)}


def entries(**changes):
    """What a run would record of the text."""
    layers = [
        {"input_shape": [1, 8, 8], "padding": 1, "stride": 1},
        {"input_shape": [4, 4, 4], "padding": [1, 1], "stride": [2, 2]},
        {"input_shape": [12], "padding": 0, "stride": [1, 1]},
        {"input_shape": [5], "padding": [0, 0], "stride": [1, 1]},
    ]
    layers = [
        {"name": name, "dilation": 1, "groups": 1, "analog": False, **layer}
        for name, layer in zip(SHAPES, layers, strict=True)
    ]
    layers[1] |= changes
    return layers


def test_a_chain_is_known_from_its_text():
    """With windows, in the order of the text, and with a list that says the same."""
    chain = known_chain(SHAPES, TEXT)
    assert [(link.name, link.window) for link in chain] == [
        *(("a", 2), ("b", 1), ("f0", 1), ("f1", 1))
    ]
    assert known_chain(SHAPES, TEXT | {"layers": entries()}) == chain


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"layers": entries()},
        TEXT | {"architecture": "resnet19"},
        TEXT | {"architecture": "MyNet", "layers": entries()},
        TEXT | {"architecture": "4c3-mp2-3c3-fc5-fc2"},
        TEXT | {"input_shape": (1, 12, 12)},
        TEXT | {"input_shape": (1, 1, 1)},
        TEXT | {"layers": entries(stride=1)},
        TEXT | {"layers": entries(calls=2)},
        TEXT | {"layers": entries(calls=0)},
        TEXT | {"layers": 5},
        TEXT | {"layers": [5]},
        TEXT | {"architecture": 7},
        TEXT | {"input_shape": "1x8x8"},
        TEXT | {"config": {"network": "conv3"}},
        TEXT | {"architecture": "4c3-mp2-3c3s2-fc5-fc2-fc2"},
    ],
)
def test_nothing_is_claimed_where_the_graph_is_unknown(about):
    """Sizes alone tell no graph; neither does a text that fits other layers."""
    masks = {name: np.ones(shape, bool) for name, shape in SHAPES.items()}
    assert chain_effective(masks, about) is None


def test_images_too_large_to_count_are_not_counted():
    """A text of few weights may claim any size of its images."""
    masks = {"a": np.ones((1, 1, 1, 1), bool), "b": np.ones((1, 1), bool)}
    for size in (2**14, 2**20):
        text = {"architecture": f"1c1-ap{size}-fc1", "input_shape": (1, size, size)}
        assert known_chain({"a": (1, 1, 1, 1), "b": (1, 1)}, text) is not None
        assert chain_effective(masks, text) is None


def test_the_name_of_an_architecture_is_a_chain_with_a_classifier():
    """The shipped ticket's is, by its list of layers and without it."""
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    about = {key: ticket.about[key] for key in ("architecture", "input_shape")}
    counts = chain_effective(masks, ticket.about)
    assert counts == chain_effective(masks, about)
    assert 0 < sum(counts.values()) < sum(int(mask.sum()) for mask in masks.values())


def test_links_that_do_not_meet_are_refused():
    """An image of one size does not become one of another."""
    chain = [Link("a", Geometry((1, 4, 4))), Link("b", Geometry((2, 3, 3)))]
    masks = {"a": np.ones((2, 1, 1, 1)), "b": np.ones((1, 2, 1, 1))}
    with pytest.raises(WorkloadError, match=r"layer 'b': .*\(2, 3, 3\).*\(2, 4, 4\)"):
        live_in_chain(masks, chain)


def test_the_report_tells_what_is_known():
    """As a column behind the non-zeros, in rows, JSON and CSV; else there is none."""
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    workloads = network_workloads(masks, ticket.about).workloads
    accelerator, counts = Accelerator.load("u-ticket"), count_effective(ticket)(None)
    report = evaluate(workloads, accelerator, counts)
    *layers, total = report.rows()
    assert {row["layer"]: row["effective"] for row in layers} == counts
    assert total["effective"] == sum(counts.values())
    columns = report.to_csv().splitlines()[0].split(",")
    assert columns.index("effective") == columns.index("nonzeros") + 1
    assert report.to_dict()["layers"] == layers
    plain = evaluate(workloads, accelerator)
    assert all("effective" not in row for row in plain.rows())
    with pytest.raises(WorkloadError, match="all layers are needed"):
        evaluate(workloads, accelerator, {"classifier": 1})


def printed(capsys, *arguments):
    assert cli.main([*arguments]) == 0
    return capsys.readouterr().out


def test_commands_show_effective_weights(tmp_path, monkeypatch, capsys):
    """`balance` before and after, `evaluate` of its masks: the same numbers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    balanced = json.loads(printed(capsys, "balance", "--out", "m.npz", "--json"))
    after = json.loads(printed(capsys, "evaluate", "m.npz", "--json"))
    before = json.loads(printed(capsys, "evaluate", "--json"))
    of_layers = {row["name"]: row for row in balanced["layers"]}
    for document, key in ((before, "effective_before"), (after, "effective")):
        counts = {row["layer"]: row["effective"] for row in document["layers"]}
        assert counts == {name: row[key] for name, row in of_layers.items()}
        assert counts == balanced["network"][key]
    assert "  effective  " in printed(capsys, "balance", "--out", "m.npz")
    said = printed(capsys, "evaluate", "m.npz")
    total = sum(balanced["network"]["effective"].values())
    assert f"{total:,} of {balanced['network']['nonzeros']:,} kept weights" in said


def test_layers_left_out_are_on_paths_all_the_same(capsys, tmp_path):
    """The network stays whole where only some of its layers are balanced."""
    ticket = open_ticket(shipped_ticket())
    report = balance_ticket(
        ticket, layers="features.3", effective=count_effective(ticket)
    )
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    whole = chain_effective(masks | report.solution.masks, ticket.about)
    assert report.effective == whole
    row = report.to_dict()["layers"][0]
    assert row["effective"] == whole["features.3"]


def test_files_without_a_graph_have_no_column(tmp_path, monkeypatch, capsys):
    """Neither table nor JSON speaks of what is not known."""
    monkeypatch.chdir(tmp_path)
    save_file({"a.weight": np.ones((16, 8), np.float32)}, "net.safetensors")
    for command in (["evaluate"], ["balance", "--out", "m.npz"]):
        said = printed(capsys, *command, "net.safetensors")
        assert "ffective" not in said
        assert "effective" not in printed(
            capsys, *command, "net.safetensors", "--json"
        ).replace("Effective_", "")
