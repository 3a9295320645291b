"""A PE array of one's own on the command line: balance, evaluate, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import cli
from balancer import LoadMetrics, PEMap, Schedule, open_ticket, shipped_ticket
from hwmodel import Hardware

PAIRS = "group: out // 8\npe: (out // 2 % 4) * 3 + row\npes: 12\n"
TEXT = "pes=12; group=out // 8; pe=out // 2 % 4 * 3 + row"


@pytest.fixture(autouse=True)
def _in_a_folder_with_the_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(PAIRS)


def answer(capsys, *args):
    """JSON of a command that must succeed."""
    status = cli.main([*args, "--json"])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    return json.loads(out)


def refusal(capsys, *args):
    """The one line of a command that must not."""
    assert cli.main(list(args)) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    return line


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--sparsity", "0.99", "--compare"],
        ["--order", "sorted"],
        ["--order", "optimized", "--work-limit", "0.01"],
        ["--budgets", "cycles"],
        ["--global"],
        ["--global", "--latency-budget", "0.7", "--frontier", "3"],
    ],
    ids=" ".join,
)
def test_every_way_to_balance_takes_the_file(options, capsys):
    """Masks are balanced on the array, and cycles are those of its evaluation."""
    report = answer(capsys, "balance", "--map", "mine.yaml", *options)
    assert report["network"]["utilization"] == 1.0
    assert report["network"]["cycles"] < report["network"]["cycles_before"]
    masks = open_ticket(report["outputs"]["masks"])
    assert (masks.metadata["map"], masks.metadata["pes"]) == (TEXT, 12)
    arrays = load_file(report["outputs"]["masks"])
    kept = {layer.name: arrays[f"{layer.name}.mask"] for layer in masks.layers}
    schedules = {name: Schedule(0, arrays[f"{name}.order"]) for name in kept}
    for name, mask in kept.items():
        pe_map = PEMap.parse(TEXT, mask.shape)
        assert LoadMetrics.of(schedules[name].apply(mask), pe_map).mu == 1.0
    hardware = Hardware.of("u-ticket", TEXT)
    about = open_ticket(shipped_ticket()).about
    again = hardware.report(kept, about, schedules)
    assert report["network"]["cycles"] == again.cycles
    assert report["network"]["energy_pj"] == pytest.approx(again.energy_pj)


def test_a_text_and_a_file_are_one_map(capsys):
    """Results lie in the same folder, whichever way the map was said."""
    first, second = (
        answer(capsys, "balance", "--map", said) for said in ("mine.yaml", TEXT)
    )
    assert first["outputs"] == second["outputs"]
    assert first["network"]["kept"] == second["network"]["kept"]


def test_evaluate_takes_a_description_with_the_map(capsys):
    """The file is found beside the description; cycles are the array's."""
    described = answer(capsys, "accelerators", "u-ticket")
    del described["array"]["pes"]
    described["array"]["mapping"] = "mine.yaml"
    Path("sub").mkdir()
    Path("sub", "mine.yaml").write_text(PAIRS)
    Path("mine.yaml").unlink()
    Path("sub", "array.yaml").write_text(json.dumps(described))
    report = answer(capsys, "evaluate", "--accelerator", "sub/array.yaml")
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    hardware = Hardware.of("u-ticket", TEXT)
    assert report["cycles"] == hardware.report(masks, ticket.about).cycles
    balanced = answer(capsys, "balance", "--accelerator", "sub/array.yaml")
    assert balanced["network"]["cycles_before"] == report["cycles"]
    assert balanced["network"]["utilization"] == 1.0


def test_copies_are_balanced_and_charged(capsys):
    """Four PEs hold each kernel row: a quarter of the pixels, of equal loads."""
    Path("copied.yaml").write_text(
        "group: out // 2\npe: row * 4 + copy\ncopies: 4\npes: 12\n"
    )
    Path("single.yaml").write_text("group: out // 2\npe: row\npes: 12\n")
    layers = ("--layers", "features.*")
    copied, single = (
        answer(capsys, "balance", "--map", f"{name}.yaml", *layers)
        for name in ("copied", "single")
    )
    for one, other in zip(copied["layers"], single["layers"], strict=True):
        assert one["utilization"] == other["utilization"] == 1.0
        assert (one["kept"], one["nonzeros"]) == (other["kept"], other["nonzeros"])
        assert 4 * one["cycles"] == other["cycles"]
        assert one["occupancy"] == 4 * other["occupancy"]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (PAIRS, ["--pes", "16"], "`pes` is 16, but the PE map"),
        ("group: out\n", [], "mine.yaml: a PE map in formulas needs `group` and `pe`"),
        ("group: out\npe: 0\n", [], "names no axis"),
        ("group: out\npe: in\n", [], "PEs are 0..15: change the formula or `pes`"),
        ("group: out\npe: in % 8\npes: x\n", [], "`pes` is 'x'; a whole number"),
        ("group: out // 8\npe: exec('1')\n", [], "is not accepted; accepted: whole"),
        (
            "group: 0\npe: (out + position + in) % 16\n",
            ["--order", "optimized"],
            "takes only 'fixed'",
        ),
        (PAIRS, ["--accelerator", "sata"], "leave one of them out"),
    ],
)
def test_wrong_maps_are_one_line(content, options, said, capsys):
    """What is wrong, where, and what is accepted; nothing is written."""
    Path("mine.yaml").write_text(content)
    line = refusal(capsys, "balance", "--map", "mine.yaml", *options)
    assert said in line
    assert not Path("runs").exists()


def test_labels_by_hand_count_the_same_cycles():
    """Cycles of the shipped ticket are the sums of the largest loads, by hand."""
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    report = Hardware.of("u-ticket", TEXT).report(masks, ticket.about)
    for layer in report.layers:
        mask = masks[layer.name]
        tiles = -(-len(mask) // 8)
        rows = mask.shape[2] if mask.ndim > 2 else 1
        loads = np.zeros((tiles, 4, 3), dtype=int)
        for o in range(len(mask)):
            for row in range(rows):
                kept = mask[o, :, row] if mask.ndim > 2 else mask[o]
                loads[o // 8, o // 2 % 4, row] += kept.sum()
        pixels = layer.cycles / max(1, loads.max(axis=(1, 2)).sum())
        assert pixels == int(pixels) > 0
