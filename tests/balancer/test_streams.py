"""Streams of the PEs: every map, every index, memory and files."""

import json
import re
import tracemalloc

import numpy as np
import pytest
from cases import masked_layers
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    ExportError,
    ExportSource,
    PEMap,
    Schedule,
    TicketError,
    balance_ticket,
    export_streams,
    layer_streams,
    open_ticket,
    read_streams,
    save_masks,
    shipped_ticket,
    write_streams,
)
from balancer.export.export_source import WeightedLayer

INDEXES = ("positions", "runs", "bitmap")


def bits_of(array):
    return np.ascontiguousarray(array, np.float32).view(np.uint32)


def assert_rebuilds(streams, weights, mask):
    pruned = np.where(mask, weights, np.float32(0))
    assert np.array_equal(bits_of(streams.weights()), bits_of(pruned))
    assert np.array_equal(streams.mask(), mask)


@given(masked_layers())
def test_streams_rebuild_every_layer_of_every_map(case):
    """The streams of any map hold its kept weights, bit for bit, and no others."""
    weights, mask, pe_map, schedules = case
    streams = layer_streams(weights, mask, pe_map, schedules=schedules)
    assert_rebuilds(streams, weights, mask)


@given(masked_layers())
def test_a_stream_is_as_long_as_the_load_of_its_pe(case):
    """Lengths are the loads that the solvers balance and the hardware model counts."""
    weights, mask, pe_map, schedules = case
    streams = layer_streams(weights, mask, pe_map, schedules=schedules)
    for schedule in schedules:
        mask = schedule.apply(mask)
    assert np.array_equal(streams.lengths, pe_map.loads(mask))


@given(masked_layers())
def test_a_stream_holds_what_the_labels_say(case):
    """Each stream has the kept weights of its group and PE, in row-major order."""
    weights, mask, pe_map, schedules = case
    streams = layer_streams(weights, mask, pe_map, schedules=schedules)
    for schedule in schedules:
        weights, mask = schedule.apply(weights), schedule.apply(mask)
    group, pe = pe_map.labels()
    for g, p in np.ndindex(pe_map.groups, pe_map.pes):
        cell = (group == g) & (pe == p)
        stream = streams.stream(g, p)
        assert np.array_equal(stream.positions, np.flatnonzero(mask[cell]))
        assert np.array_equal(bits_of(stream.values), bits_of(weights[cell & mask]))


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("place", ["folder", "streams.npz"])
@given(case=masked_layers(), bits=st.sampled_from([None, 2, 5, 8, 16]))
def test_files_give_the_streams_back(case, bits, index, place, tmp_path_factory):
    """What is written and read again is the same, down to codes, orders and biases."""
    weights, mask, pe_map, schedules = case
    bias = np.linspace(-1, 1, pe_map.channels, dtype=np.float32)
    streams = layer_streams(
        weights, mask, pe_map, bits=bits, schedules=schedules, bias=bias
    )
    path = tmp_path_factory.mktemp("streams") / place
    write_streams(path, {"a/b": streams, "a?b": streams}, index=index)
    for back in read_streams(path).values():
        assert np.array_equal(back.codes, streams.codes)
        assert np.array_equal(back.positions, streams.positions)
        assert np.array_equal(back.pointers, streams.pointers)
        assert back.values == streams.values
        assert back.by_text == streams.by_text
        assert back.schedules == streams.schedules
        assert np.array_equal(back.bias, bias)
        if bits is None:
            assert_rebuilds(back, weights, mask)
        else:
            assert np.array_equal(bits_of(back.weights()), bits_of(streams.weights()))


@given(masked_layers(), st.integers(2, 16))
def test_integers_are_the_nearest_multiples_of_the_scale(case, bits):
    """Codes fit their bits in two's complement, and err by half a scale at most."""
    weights, mask, pe_map, schedules = case
    streams = layer_streams(weights, mask, pe_map, bits=bits, schedules=schedules)
    assert (abs(streams.codes) < 2 ** (bits - 1)).all()
    error = streams.weights().astype(float) - np.where(mask, weights, 0)
    assert (abs(error) <= streams.values.scale * (0.5 + 1e-6)).all()
    if mask.any() and weights[mask].any():
        assert abs(streams.codes).max() == 2 ** (bits - 1) - 1


SHAPE, PES = (5, 7, 2, 3), 4  # 7 inputs and 6 kernel positions: I and K
BLOCKS = [0, 2, 4, 6]  # first inputs of four nearly equal blocks of 7


def in_block(channel, blocks):
    return channel - max(first for first in blocks if first <= channel)


POSITIONS = {
    "output_channel": lambda o, i, k: i * 6 + k,
    "interleaved": lambda o, i, k: o // PES * 42 + i * 6 + k,
    "input_channel": lambda o, i, k: in_block(i, BLOCKS) * 6 + k,
    "banked": lambda o, i, k: in_block(i * 6 + k, [0, 11, 22, 32]),
    "grid:2x2": lambda o, i, k: in_block(i, [0, 4]) * 6 + k,
    "kernel:2": lambda o, i, k: (
        (o % 2 * 7 + i) * len(range(k % PES, 6, PES)) + k // PES
    ),
    "2:4": lambda o, i, k: i % 4,
}


@pytest.mark.parametrize("text", POSITIONS)
def test_positions_are_as_documented(text):
    """Hardware finds the input of a weight by the formulas of ``docs/export.md``."""
    pe_map = PEMap.parse(text, SHAPE, PES)
    for o, i, y, x in np.ndindex(SHAPE):
        mask = np.zeros(SHAPE, bool)
        mask[o, i, y, x] = True
        [position] = layer_streams(mask, mask, pe_map).positions
        assert position == POSITIONS[text](o, i, y * 3 + x), (o, i, y, x)


def test_a_word_holds_position_and_value(tmp_path):
    """A memory is read by $readmemh as its description says: {position, value}."""
    weights = np.array([[0, 1, 0, -0.5], [0, 0, 0.25, 0], [0.5, 0, 0, 0]], np.float32)
    streams = layer_streams(
        weights, weights != 0, PEMap.output_channel((3, 4), 2), bits=8
    )
    write_streams(tmp_path / "rtl", {"fc": streams})
    known = json.loads((tmp_path / "rtl" / "export.json").read_text())
    [layer] = known["layers"]
    assert layer["word"] == {"value": [7, 0], "index": [9, 8]}
    words = {
        file.name: [line for line in file.read_text().split("\n") if line[:2] != "//"]
        for file in (tmp_path / "rtl" / "fc").iterdir()
    }
    assert words["pe0.mem"] == ["17f", "3c0", "040", ""]  # 1, -0.5 of 64, then 0.5
    assert words["pe0.pointers.mem"] == ["0", "2", "3", ""]
    assert words["pe1.mem"] == ["220", ""]
    assert words["pe1.pointers.mem"] == ["0", "1", "1", ""]
    assert layer["values"] == {"type": "integer", "bits": 8, "scale": 1 / 127}


def test_a_word_of_float32_has_its_bits(tmp_path):
    """Runs and float32 share a word of both widths, and the description says so."""
    weights = np.array([[0, 0, 0, 1.5, -2]], np.float32)
    streams = layer_streams(weights, weights != 0, PEMap.banked((1, 5), 1))
    write_streams(tmp_path / "rtl", {"fc": streams}, index="runs")
    [layer] = json.loads((tmp_path / "rtl" / "export.json").read_text())["layers"]
    assert layer["values"] == {"type": "float32", "bits": 32}
    assert layer["word"] == {"value": [31, 0], "index": [33, 32]}
    words = (tmp_path / "rtl" / "fc" / "pe0.mem").read_text().splitlines()[1:]
    assert words == ["33fc00000", "0c0000000"]


def test_weights_are_zero_where_masks_prune_them(tmp_path):
    """Masks from elsewhere prune what is not zero in the ticket; maps can be given."""
    np.savez(tmp_path / "net.npz", fc=np.ones((4, 4)))
    mask = np.eye(4, dtype=bool)
    save_masks(tmp_path / "masks.npz", {"fc": mask}, {"map": "banked", "pes": 2})
    source = ExportSource.of(tmp_path / "net.npz", tmp_path / "masks.npz")
    assert np.array_equal(source.layers[0].weights, mask)
    assert (source.pe_map, source.pes) == ("banked", 2)
    assert source.map_of(source.layers[0]).groups == 4
    other = ExportSource.of(tmp_path / "net.npz", pe_map="interleaved", pes=4)
    assert other.map_of(other.layers[0]).groups == 1
    assert ExportSource.of(tmp_path / "net.npz").pe_map == "output_channel"
    folded = source.with_weights({"fc": (np.full((4, 4), 2.0), np.ones(4))})
    assert np.array_equal(folded.layers[0].weights, 2 * mask)
    with pytest.raises(ExportError, match=r"layer fc: weights of shape \(2, 2\)"):
        source.with_weights({"fc": (np.ones((2, 2)), None)})


def test_words_are_plain_text_whatever_a_layer_is_called(tmp_path):
    """Tools for hardware read ASCII: letters beyond it are replaced in comments."""
    weights = np.array([[1, 2], [3, 4]], np.float32)
    layer = WeightedLayer("Schicht-ä", weights, weights > 0)
    source = ExportSource((layer,), "output_channel", 2, "net")
    export_streams(tmp_path / "rtl", source)
    for file in (tmp_path / "rtl").rglob("*.mem"):
        file.read_bytes().decode("ascii")
    [streams] = read_streams(tmp_path / "rtl").values()
    assert np.array_equal(streams.weights(), weights)


def test_the_description_tells_how_layers_run(tmp_path):
    """Sizes, time steps and preprocessing of a ticket go with its streams."""
    export_streams(tmp_path / "rtl", shipped_ticket())
    told = json.loads((tmp_path / "rtl" / "export.json").read_text())["ticket"]
    about = open_ticket(shipped_ticket()).about
    assert told["layers"] == about["layers"]
    assert told["timesteps"] == 4
    assert told["preprocessing"] == about["preprocessing"]


def test_a_ticket_with_masks_and_orders_is_exported(tmp_path):
    """Masks of `balance` prune the weights of their ticket, in their order and map."""
    report = balance_ticket(
        shipped_ticket(), order="optimized", layers="features.[37]", pes=8
    )
    files = report.save(tmp_path / "balanced")
    for place in ("rtl", "rtl.npz"):
        export_streams(tmp_path / place, shipped_ticket(), files.masks)
        back = read_streams(tmp_path / place)
        masked = {layer.name: layer for layer in open_ticket(files.masks).layers}
        for layer in open_ticket(shipped_ticket()).layers:
            mask = masked.get(layer.name, layer).read_mask()
            assert_rebuilds(back[layer.name], layer.read_weight(), mask)
            assert back[layer.name].pes == 8
        lengths = back["features.3"].lengths
        assert (lengths == lengths[:, :1]).all()
        assert back["features.3"].schedules


def test_a_folder_of_an_earlier_export_is_replaced(tmp_path):
    """It is replaced as a whole, but nothing that is not ours, and no input."""
    folder = tmp_path / "rtl"
    ticket = open_ticket(shipped_ticket())
    export_streams(folder, ticket)
    export_streams(folder, ticket.select("classifier"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "classifier",
        "export.json",
    ]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(TicketError, match=r"notes\.txt"):
        export_streams(folder, ticket)
    assert (folder / "notes.txt").exists()
    with pytest.raises(TicketError, match="which is there already"):
        export_streams(tmp_path, ticket)
    inside = folder / "masks.npz"
    (folder / "notes.txt").unlink()
    masks = {"classifier": ticket.layers[0].read_mask()}
    save_masks(inside, masks, {})
    with pytest.raises(TicketError, match="holds the input"):
        export_streams(folder, ticket, inside)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_a_file_of_others_is_not_replaced(tmp_path):
    """Streams may be written over streams, and over nothing else."""
    for _ in range(2):
        export_streams(tmp_path / "streams.npz", shipped_ticket())
    np.savez(tmp_path / "net.npz", fc=np.ones((2, 2)))
    with pytest.raises(TicketError, match="holds no streams"):
        export_streams(tmp_path / "net.npz", tmp_path / "net.npz")
    assert open_ticket(tmp_path / "net.npz").layers[0].read_weight().all()


def test_an_export_that_fails_leaves_nothing(tmp_path):
    """A layer that cannot be written takes the whole folder with it."""
    streams = layer_streams(
        np.ones((2, 2)), np.ones((2, 2), bool), PEMap.n_m((2, 2), 1, 2)
    )
    with pytest.raises(ExportError, match="accepted are 'positions'"):
        write_streams(tmp_path / "rtl", {"fc": streams}, index="offsets")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mask": np.ones((2, 3), bool)}, "this PE map needs bool"),
        ({"weights": np.ones((3, 2))}, "the PE map needs"),
        ({"weights": np.ones((2, 2), complex)}, "real numbers are needed"),
        ({"bits": 1}, "accepted are 2 to 16"),
        ({"bits": 17}, "accepted are 2 to 16"),
        ({"bits": 8.0}, "accepted are 2 to 16"),
        ({"bits": 8, "weights": np.full((2, 2), np.inf)}, "have no scale"),
        ({"bits": 8, "weights": np.full((2, 2), np.nan)}, "have no scale"),
        ({"bias": np.ones(3)}, "needed: \\(2,\\)"),
        ({"schedules": Schedule(0, [0, 2, 1])}, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(change, text):
    """Every wrong argument ends in one line that says what is accepted."""
    arguments = {"weights": np.ones((2, 2)), "mask": np.ones((2, 2), bool), **change}
    with pytest.raises(BalancerError, match=text) as error:
        layer_streams(pe_map=PEMap.banked((2, 2), 2), **arguments)
    assert "\n" not in str(error.value)


def test_a_stream_that_there_is_not_is_refused():
    """Groups and PEs are counted from 0."""
    streams = layer_streams(
        np.ones((2, 2)), np.ones((2, 2), bool), PEMap.banked((2, 2), 2)
    )
    for place in ((2, 0), (-1, 0), (0, 2)):
        with pytest.raises(ExportError, match="accepted are 0 to 1"):
            streams.stream(*place)


def test_masks_alone_cannot_be_exported(tmp_path):
    """Without weights, or with masks of other layers, the export says what it needs."""
    masks = {"fc": np.ones((2, 2), bool)}
    save_masks(tmp_path / "masks.npz", masks, {})
    with pytest.raises(ExportError, match="layer fc: it has no weights"):
        export_streams(tmp_path / "rtl", tmp_path / "masks.npz")
    with pytest.raises(ExportError, match="give the masks of this ticket"):
        export_streams(tmp_path / "rtl", shipped_ticket(), tmp_path / "masks.npz")
    np.savez(tmp_path / "other.npz", classifier=np.ones((2, 2)))
    with pytest.raises(ExportError, match="its mask has shape"):
        export_streams(tmp_path / "rtl", shipped_ticket(), tmp_path / "other.npz")


def damaged(folder, file, text):
    (folder / file).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("export.json", "{}", "no description of an export"),
        ("export.json", '{"exported_by": "balanced-sparsity 0"}', "no per-PE streams"),
        ("fc/pe0.mem", "xyz", "no words in hexadecimal"),
        ("fc/pe0.mem", "0", "do not end with its 1 words"),
        ("fc/pe1.mem", "fff00000000 0", "outside of its cell"),
        ("fc/order.mem", "0 0", "no permutation"),
    ],
)
def test_damage_is_named(file, text, said, tmp_path):
    """A file that was changed is named, or what it contradicts."""
    weights, schedule = np.ones((2, 4), np.float32), Schedule(0, [1, 0])
    mask = np.array([[True, True, False, False]] * 2)
    pe_map = PEMap.output_channel((2, 4), 2)
    streams = layer_streams(weights, mask, pe_map, schedules=schedule)
    write_streams(tmp_path / "rtl", {"fc": streams})
    with pytest.raises(TicketError, match=said):
        read_streams(damaged(tmp_path / "rtl", file, text))


def test_a_bitmap_has_a_word_for_each_group(tmp_path):
    """One that lacks a word is named."""
    mask = np.ones((2, 4), bool)
    streams = layer_streams(mask, mask, PEMap.output_channel((2, 4), 1), bits=2)
    write_streams(tmp_path / "rtl", {"fc": streams}, index="bitmap")
    bitmap = tmp_path / "rtl" / "fc" / "pe0.bitmap.mem"
    assert bitmap.read_text().splitlines()[1:] == ["f", "f"]
    bitmap.write_text("f")
    with pytest.raises(TicketError, match=r"pe0\.bitmap\.mem: it has 1 words for 2"):
        read_streams(tmp_path / "rtl")


def test_a_layer_that_its_streams_do_not_reach_takes_no_memory(tmp_path):
    """What describes a layer 250,000 times as large is refused beforehand."""
    weights = np.ones((8, 32), np.float32)
    pe_map = PEMap.output_channel(weights.shape, 4)
    path = tmp_path / "rtl"
    write_streams(path, {"fc": layer_streams(weights, weights > 0, pe_map)})
    about = path / "export.json"
    about.write_text(re.sub(r"\[\s*8,\s*32\s*\]", "[2000000, 32]", about.read_text()))
    tracemalloc.start()
    try:
        with pytest.raises(TicketError, match=r"fc: .*8 streams of 2000000 cells"):
            read_streams(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6  # 64 million weights
    finally:
        tracemalloc.stop()


def test_other_files_hold_no_streams(tmp_path):
    """A ticket, an empty folder and nothing at all are refused."""
    for path in (shipped_ticket(), tmp_path, tmp_path / "nowhere"):
        with pytest.raises(TicketError):
            read_streams(path)
