"""The command line: tables, JSON, files, and one clear line for every mistake."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import cli
from balancer import BalanceFiles, TicketError, balance_ticket, shipped_ticket
from balancer.files.array_files import save_arrays
from hwmodel import Accelerator, save_spikes

LAYER_KEYS = {
    *("name", "shape", "weights", "nonzeros_before", "nonzeros", "utilization_before"),
    *("utilization", "eta_before", "eta", "occupancy", "kept", "kept_unstructured"),
    *("kept_fraction", "bound", "gap", "status", "solver", "seconds"),
}
NETWORK_KEYS = LAYER_KEYS - {"name", "shape"} | {
    *("cycles_before", "cycles", "energy_pj_before", "energy_pj")
}


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *args):
    """Exit status, stdout and stderr of a command."""
    status = cli.main([str(arg) for arg in args])
    return status, *capsys.readouterr()


def balanced(capsys, *args):
    """JSON report of a `balance` that must succeed."""
    status, out, err = run(capsys, "balance", "--json", *args)
    assert (status, err) == (0, "")
    return json.loads(out)


def ticket(name="net.safetensors", **arrays):
    save_file(arrays, name)
    return name


def test_without_arguments_the_shipped_ticket_is_balanced(capsys, tmp_path):
    """`balance --layer-wise` prints a balanced table and writes masks and report."""
    status, out, err = run(capsys, "balance", "--layer-wise")
    assert (status, err) == (0, "")
    for layer in ("classifier", "features.0", "features.3", "features.7", "network"):
        [line] = [line for line in out.splitlines() if line.strip().startswith(layer)]
        assert "→ 1.000" in line
        assert "optimal" in line
    names = sorted(p.name for p in tmp_path.rglob("*.*") if p.is_file())
    assert names == ["masks.safetensors", "report.json"]


def test_json_is_the_contract(capsys):
    """Every promised key is there, sums are sums, and the files are where it says."""
    report = balanced(capsys, "--layer-wise")
    assert set(report) == {"layers", "network", "notes", "outputs"}
    assert all(set(row) >= LAYER_KEYS for row in report["layers"])
    assert set(report["network"]) >= NETWORK_KEYS
    for key in ("weights", "nonzeros", "nonzeros_before", "kept", "bound"):
        total = sum(row[key] for row in report["layers"])
        assert report["network"][key] == pytest.approx(total)
    masks = load_file(report["outputs"]["masks"])
    for row in report["layers"]:
        mask, order = masks[row["name"] + ".mask"], masks[row["name"] + ".order"]
        assert (mask.dtype, list(mask.shape)) == (np.bool_, row["shape"])
        assert mask.sum() == row["nonzeros"]
        assert order.dtype == np.int32
        np.testing.assert_array_equal(order, np.arange(row["shape"][0]))
    written = json.loads(Path(report["outputs"]["report"]).read_text())
    assert written["layers"] == report["layers"]
    assert written["settings"]["pes"] == 16


def test_kept_fractions_of_the_shipped_ticket(capsys):
    """The shipped ticket keeps what sorting each PE's weights by hand keeps."""
    rows = {row["name"]: row for row in balanced(capsys)["layers"]}
    arrays = load_file(shipped_ticket())
    for name in ("features.3", "features.7"):
        scores = arrays[f"{name}.score"].astype(np.float64)
        columns = int(arrays[f"{name}.mask"].sum()) // 16
        by_pe = np.sort(scores.reshape(4, 16, -1), axis=2)[:, :, ::-1]
        slices = np.sort(by_pe.sum(axis=1), axis=None)[::-1]
        unstructured = np.sort(scores, axis=None)[::-1]
        fraction = slices[:columns].sum() / unstructured[: 16 * columns].sum()
        assert rows[name]["kept_fraction"] == pytest.approx(fraction, rel=1e-12)


def test_compare_shows_every_baseline(capsys):
    """`--compare` adds the other methods, in the table and in the JSON."""
    methods = (
        "lth",
        "lth-sorted",
        "u-ticket (paper rule)",
        "u-ticket (ceil rule)",
        "topk-per-pe",
    )
    report = balanced(capsys, "--compare")
    for row in report["layers"]:
        assert tuple(m["method"] for m in row["baselines"]) == methods
    _, out, _ = run(capsys, "balance", "--compare")
    assert all(out.count(method) >= 4 for method in methods)


def ways_to_an_input():
    """Files to write first, the ticket, and outputs that would replace an input."""
    weights = np.ones((16, 8), np.float32)

    def net(path):
        path.parent.mkdir(exist_ok=True)
        save_file({"a.weight": weights}, path)

    def linked():
        net(Path("net.safetensors"))
        Path("soft.safetensors").symlink_to("net.safetensors")
        Path("hard.safetensors").hardlink_to("net.safetensors")
        Path("folder").symlink_to(".")

    def index():
        net(Path("shard.safetensors"))
        content = {"weight_map": {"a.weight": "shard.safetensors"}}
        Path("m.safetensors.index.json").write_text(json.dumps(content))

    for out in (
        *("net.safetensors", "./net.safetensors", "soft.safetensors"),
        *("hard.safetensors", "folder/net.safetensors"),
    ):
        yield linked, "net.safetensors", out
    yield linked, "soft.safetensors", "net.safetensors"
    yield lambda: net(Path("old/masks.safetensors")), "old/masks.safetensors", "old"
    yield index, "m.safetensors.index.json", "m.safetensors.index.npz"  # its report
    yield index, "m.safetensors.index.json", "shard.safetensors"


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize(("prepare", "given", "out"), [*ways_to_an_input()])
def test_an_input_is_never_replaced(capsys, tmp_path, prepare, given, out):
    """Output in the place of an input is refused before anything is done."""
    prepare()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    status, printed, err = run(
        capsys, "balance", given, "--sparsity", 0.5, "--out", out
    )
    assert (status, printed) == (2, "")
    assert err.count("\n") == 1
    assert "which is the input" in err
    assert "--out" in err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_an_accelerator_is_never_replaced(capsys):
    """A description of an accelerator is no place for the report."""
    _, text, _ = run(capsys, "accelerators", "u-ticket")
    Path("mine.json").write_text(text)
    args = ("--accelerator", "mine.json", "--out", "mine.npz")
    status, _, err = run(capsys, "balance", *args)
    assert status == 2
    assert "report would go to mine.json, which is the input" in err
    assert Path("mine.json").read_text() == text


def test_what_is_left_out_is_said(capsys):
    """`balance` and `evaluate` name the buffers that they take for no layers."""
    name = ticket(
        **{"a.weight": np.ones((16, 8)), "a.table": np.ones((2, 2), np.int64)}
    )
    note = "left out, being no weights: a.table (integers)."
    assert note in balanced(capsys, name, "--sparsity", 0.5)["notes"]
    for command in ("balance", "evaluate"):
        status, out, _ = run(capsys, command, name)
        assert status == 0
        assert note in " ".join(out.split())


def test_global_shares_one_budget(capsys):
    """`--global --budget` bounds the sum of all layers and fills it."""
    report = balanced(capsys, "--global", "--budget", 1000)
    assert report["network"]["nonzeros"] <= 1000
    assert report["network"]["remainder"] < 16
    assert all(row["utilization"] == 1.0 for row in report["layers"])


def test_a_latency_budget_is_kept(capsys):
    """`--latency-budget` bounds the cycles that the hardware model then finds."""
    loose = balanced(capsys, "--layer-wise")["network"]
    tight = balanced(capsys, "--global", "--latency-budget", 0.7)["network"]
    assert tight["cycles"] <= 0.7 * loose["cycles"]
    assert tight["kept"] > 0.98 * loose["kept"]
    assert tight["alternatives"]["layer-wise"]["cycles"] == loose["cycles"]
    _, out, _ = run(capsys, "balance", "--global", "--latency-budget", 0.7)
    assert "layer-wise:" in out


def test_the_frontier_rises(capsys):
    """`--frontier` gives as many points as asked, more cycles keeping more."""
    report = balanced(capsys, "--global", "--frontier", 4)
    points = report["frontier"]
    assert len(points) == 4
    for less, more in itertools.pairwise(points):
        assert less["cycles"] < more["cycles"]
        assert less["kept"] < more["kept"]
    assert all(point["cycles"] <= point["latency_budget"] for point in points)
    _, out, _ = run(capsys, "balance", "--global", "--frontier", 4)
    assert "magnitude that can be kept" in out


def test_an_optimized_order_keeps_more_and_is_written(capsys):
    """Fixed <= sorted <= optimized, and the mask file's order is what balances it."""
    kept = [
        balanced(capsys, "--order", order, "--out", f"{order}.npz")["network"]["kept"]
        for order in ("fixed", "sorted", "optimized")
    ]
    assert kept[0] < kept[1] < kept[2]
    _, out, _ = run(capsys, "evaluate", "optimized.npz", "--json")
    assert json.loads(out)["utilization"] == 1.0
    with np.load("optimized.npz") as masks:
        order = masks["features.7.order"]
        loads = masks["features.7.mask"][order].reshape(4, 16, -1).sum(axis=2)
    assert (loads == loads[:, :1]).all()
    assert (order != np.arange(64)).any()


def test_orders_of_input_channels_have_a_name_of_their_own(capsys):
    """Maps that split the inputs write `input_order`, and `evaluate` follows it."""
    args = ("--map", "input_channel", "--order", "sorted", "--out", "masks.npz")
    cycles = balanced(capsys, *args)["network"]["cycles"]
    with np.load("masks.npz") as masks:
        assert len(masks["features.3.input_order"]) == 32
        np.testing.assert_array_equal(masks["features.3.order"], np.arange(64))
    mapped = Accelerator.load("u-ticket").on_map("input_channel", 16)
    Path("mapped.yaml").write_text(mapped.to_yaml())
    _, out, _ = run(
        capsys, "evaluate", "masks.npz", "--accelerator", "mapped.yaml", "--json"
    )
    assert json.loads(out)["cycles"] == cycles


def test_the_fixed_order_says_what_another_would_keep(capsys):
    """Without `--order` one line tells what an optimized order keeps."""
    _, out, _ = run(capsys, "balance")
    [line] = [line for line in out.splitlines() if "--order optimized" in line]
    better = balanced(capsys, "--order", "optimized")["network"]["kept_fraction"]
    share = float(line.split("would keep ")[1].split()[0])
    assert abs(share - better) < 0.005


def test_layers_and_skip_choose_by_glob(capsys):
    """`--layers` keeps matching names, `--skip` drops them."""
    rows = balanced(capsys, "--layers", "features.*", "--skip", "*.3")["layers"]
    assert [row["name"] for row in rows] == ["features.0", "features.7"]


@pytest.mark.parametrize(
    "spec", ["input_channel", "interleaved", "banked", "grid:4x4", "2:4"]
)
def test_every_map_balances_the_shipped_ticket(capsys, spec):
    """Whatever the map, utilization is 1 and the answer proven."""
    report = balanced(capsys, "--map", spec)
    assert all(row["utilization"] == 1.0 for row in report["layers"])
    assert all(row["status"] == "optimal" for row in report["layers"])


@pytest.mark.parametrize("name", ["deep/masks.npz", "masks.safetensors", "folder"])
def test_out_is_a_folder_or_a_mask_file(capsys, tmp_path, name):
    """`--out` names the folder or the mask file; the report lies beside it."""
    outputs = balanced(capsys, "--out", name)["outputs"]
    assert Path(outputs["masks"]).is_file()
    assert Path(outputs["report"]).parent == Path(outputs["masks"]).parent
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 2


def test_other_settings_go_to_another_folder(capsys):
    """A result never overwrites one that was asked for differently."""
    settings = ([], ["--sparsity", 0.9], ["--seed", 3], ["--pes", 8])
    settings += (["--allow-empty"], ["--allow-empty", "--nested"])
    folders = [balanced(capsys, *args)["outputs"]["masks"] for args in settings]
    assert len(set(folders)) == len(settings)
    assert [balanced(capsys, *args)["outputs"]["masks"] for args in settings] == folders


def test_balanced_masks_can_be_balanced_again(capsys):
    """Masks read back as a ticket with scores are already optimal."""
    first = balanced(capsys, "--out", "one.safetensors")
    masks = load_file("one.safetensors")
    scores = load_file(shipped_ticket())
    arrays = {k: v for k, v in masks.items() if k.endswith(".mask")}
    arrays |= {k: v for k, v in scores.items() if k.endswith(".score")}
    second = balanced(capsys, ticket(**arrays))
    for one, two in zip(first["layers"], second["layers"], strict=True):
        assert two["nonzeros"] == one["nonzeros"]
        assert two["utilization_before"] == 1.0
        assert two["kept"] == pytest.approx(one["kept"])


@pytest.mark.parametrize("out", ["net.npz", "folder/masks.safetensors", "folder"])
@pytest.mark.parametrize("content", [b"", b"of others", b'{"layers": []}', "ticket"])
def test_files_of_others_are_never_replaced(capsys, tmp_path, out, content):
    """Masks and reports go where there is nothing, or what `balance` has written."""
    files = BalanceFiles.of(out)
    for path in (files.masks, files.report):
        path.parent.mkdir(exist_ok=True)
        other = path.with_name("other.json")
        if content == "ticket":
            save_arrays(path, {"a.weight": ONES}, {"map": 1, "pes": 2, "version": 3})
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        status, printed, err = run(capsys, "balance", "--out", out)
        assert (status, printed) == (2, "")
        assert f"would go to {path}, which is there already" in err
        assert err.count("\n") == 1
        assert path.read_bytes() == before
        path.rename(other)
    for _ in range(2):
        assert run(capsys, "balance", "--out", out)[0] == 0


@pytest.mark.parametrize("name", ["[/x]", "[red]x", "a\x1b[31mb"])
def test_names_of_layers_are_printed_as_text(capsys, name):
    """No name is taken for markup, or obeyed by the terminal."""
    given = ticket(**{f"{name}.weight": ONES, "fc.weight": np.ones((10, 64))})
    shown = name.replace("\x1b", r"\x1b")
    for command in ("balance", "evaluate"):
        status, out, err = run(capsys, command, given)
        assert (status, err) == (0, "")
        assert "".join(shown.split()) in "".join(out.split())
        assert "\x1b" not in out


def test_a_network_without_a_weight_takes_no_time(capsys):
    """`evaluate` prints what there is to say of a layer of zeros."""
    name = ticket(w=np.zeros((16, 32), np.float32))
    status, out, err = run(capsys, "evaluate", name)
    assert (status, err) == (0, "")
    assert "Latency 0.000e+00 s" in out
    assert "inferences per second" not in out


def test_axes_and_geometry_are_said_by_options(capsys):
    """What a file does not say, options do, for masks in the file's own axes."""
    rng = np.random.default_rng(0)
    np.savez("n.npz", c=rng.random((3, 3, 3, 16)), fc=rng.random((16 * 16, 10)))
    Path("g.yaml").write_text("layers:\n  c: {stride: 2, padding: 1, pool: 2}\n")
    options = (
        *("--axes", "hwio", "--axes", "fc=io"),
        *("--input-shape", "3,16,16", "--geometry", "g.yaml"),
    )
    report = balanced(capsys, "n.npz", "--sparsity", 0.5, "--out", "m.npz", *options)
    assert [layer["shape"] for layer in report["layers"]] == [[16, 3, 3, 3], [10, 256]]
    assert "sizes" not in (report["network"]["hardware_note"] or "")
    assert any("a chain that sees 3x16x16: c, fc" in note for note in report["notes"])
    masks = np.load("m.npz")
    assert masks["c.mask"].shape == (3, 3, 3, 16)
    assert len(set(masks["c.mask"].sum((0, 1, 2)))) == 1
    _, out, _ = run(capsys, "evaluate", "n.npz", *options)
    assert "a chain that sees 3x16x16" in out
    _, out, _ = run(capsys, "evaluate", "m.npz", "--json")
    assert json.loads(out)["cycles"] == report["network"]["cycles"]


def test_a_report_never_replaces_what_it_was_made_from(tmp_path):
    """`save` knows the files that were read, shards too, by any of their names."""
    name = ticket("masks.safetensors", w=ONES)
    Path("link.npz").symlink_to(name)
    report = balance_ticket(name, sparsity=0.5)
    for out in (".", name, tmp_path / name, "link.npz"):
        with pytest.raises(TicketError, match="which is the input"):
            report.save(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.npz", name]


@pytest.mark.parametrize("out", ["masks.pt", "masks.onnx", "report.json"])
def test_masks_in_a_format_that_is_not_written_are_refused(capsys, tmp_path, out):
    """The name of a file in another format makes no folder of that name."""
    status, _, err = run(capsys, "balance", "--out", out)
    assert status == 2
    assert "masks are written as .safetensors or .npz" in err
    assert [*tmp_path.iterdir()] == []


def test_a_dense_ticket_is_told_what_to_do(capsys):
    """A ticket without zeros or masks is kept whole, with a hint at --sparsity."""
    name = ticket(w=np.ones((4, 4), dtype=np.float32))
    _, out, _ = run(capsys, "balance", name)
    assert "use --sparsity" in out
    _, out, _ = run(capsys, "balance", name, "--sparsity", 0.5)
    assert "use --sparsity" not in out


ONES = np.ones((4, 4), dtype=np.float32)
NAN = np.full((4, 4), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["balance", "--pes", "0"], 2, "`pes` is 0"),
        (["balance", "--pes", "many"], 2, "invalid int value"),
        (["balance", "--map", "diagonal"], 2, "accepted: output_channel"),
        (["balance", "--solver", "simplex"], 2, "accepted: auto, cp-sat"),
        (["balance", "--sparsity", "1.5"], 2, "fraction from 0"),
        (["balance", "--sparsity", "0.5", "--budget", "3"], 2, "not allowed with"),
        (["balance", "--layer-wise", "--global"], 2, "not allowed with"),
        (["balance", "--budget", "-1"], 2, "--budget is -1"),
        (["balance", "--workers", "0"], 2, "--workers is 0"),
        (["balance", "--time-limit", "-3"], 2, "`time_limit` is -3"),
        (["balance", "--seed", "-3"], 2, "`seed` is -3"),
        (["balance", "--layers", "conv*"], 2, "the ticket has classifier"),
        (["balance", "--layers", "f*", "--skip", "f*"], 2, "leave no layer"),
        (["balance", "--global", "--solver", "binary"], 1, "use cp-sat or greedy"),
        (["balance", "--budget", "5000"], 1, "takes 0..288"),
        (["balance", "--channel-floor", "99"], 1, "`channel_floor` need at least"),
        (["balance", "missing.npz"], 1, "missing.npz: no such file"),
        (
            ["balance", "folder"],
            1,
            "accepted: .safetensors, .npz, .safetensors.index.json, .onnx, .pt, .pth",
        ),
        (["balance", "text.safetensors"], 1, "text.safetensors: no readable"),
        (["balance", "nan.safetensors"], 1, "nan.safetensors: layer w: score (0, 0)"),
        (["balance", "odd.safetensors"], 1, "odd.safetensors: layer w: its"),
        (["balance", "--out", "text.safetensors/x"], 1, "cannot write"),
        (["balance", "--latency-budget", "0.7"], 2, "they need --global"),
        (["balance", "--order", "random"], 2, "invalid choice"),
        (["balance", "--order", "sorted", "--map", "banked"], 1, "takes only 'fixed'"),
        (["balance", "--gap-limit", "-1"], 2, "`gap_limit` is -1"),
        (["balance", "--frontier", "0"], 2, "--frontier is 0"),
        (["balance", "--global", "--energy-budget", "-1"], 1, "`energy_budget` is -1"),
        (["balance", "--accelerator", "tpu"], 1, "neither a preset (eie, "),
        (["evaluate", "--accelerator", "bad.yaml"], 1, "bad.yaml: `array.pes` is "),
        (["evaluate", "--spike-rate", "2"], 1, "must lie between 0 and 1"),
        (["evaluate", "--spikes", "missing.npz"], 1, "missing.npz"),
        (["evaluate", "--spikes", "a", "--spike-rate", ".1"], 2, "not allowed with"),
        (
            ["evaluate", "--compare", "ones.safetensors"],
            1,
            "names and shapes must agree",
        ),
        (
            ["evaluate", "odd.safetensors"],
            1,
            "odd.safetensors: layer w: its weight has shape (4, 4), its mask (2, 4)",
        ),
        (["balance", "--axes", "features.*=ohw"], 1, "io, iohw, hwio"),
        (["balance", "--axes", "fc*=io"], 1, "but no layer of that name has 2 axes"),
        (["evaluate", "--axes", "oiw"], 1, "but no layer of that name has 3 axes"),
        (["balance", "--input-shape", "3,x"], 2, "--input-shape is '3,x'"),
        (["balance", "--input-shape", "0,8,8"], 2, "accepted are whole numbers"),
        (["evaluate", "--input-shape", "3,8,8"], 1, "'features.0' takes 1 channels"),
        (["evaluate", "--geometry", "bad.yaml"], 1, "bad.yaml: `name` is no field"),
        (["accelerators", "tpu"], 1, "neither a preset (eie, "),
        (["balnce"], 2, "invalid choice"),
        ([], 2, "COMMAND"),
    ],
)
def test_every_mistake_is_one_line(capsys, tmp_path, args, status, message):
    """Mistakes end with status 1 or 2, one line on stderr, and no files."""
    Path("text.safetensors").write_text("no ticket")
    Path("folder").mkdir()
    preset = Accelerator.load("u-ticket").to_yaml()
    Path("bad.yaml").write_text(preset.replace("pes: 16", "pes: many"))
    ticket("nan.safetensors", **{"w.weight": NAN, "w.mask": ONES > 0})
    ticket("odd.safetensors", **{"w.weight": ONES, "w.mask": ONES[:2] > 0})
    ticket("ones.safetensors", **{"w.weight": ONES})
    before = sorted(tmp_path.rglob("*"))
    found, out, err = run(capsys, *args)
    assert (found, out) == (status, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_debug_shows_the_traceback(capsys):
    """With --debug an error is raised as it is."""
    with pytest.raises(ValueError, match="no such file"):
        cli.main(["balance", "missing.npz", "--debug"])


def test_evaluate_reports_the_shipped_ticket(capsys):
    """`evaluate` gives a row a layer, in the order in which they run, and the sums."""
    status, out, err = run(capsys, "evaluate", "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    names = [layer["layer"] for layer in report["layers"]]
    assert names == ["features.0", "features.3", "features.7", "classifier"]
    for key in ("cycles", "energy_pj"):
        total = sum(layer[key] for layer in report["layers"])
        assert report[key] == pytest.approx(total)
    assert sum(report["breakdown_pj"].values()) == pytest.approx(report["energy_pj"])
    _, out, _ = run(capsys, "evaluate")
    assert all(name in out for name in (*names, "total", "E_d/SOP", "inferences"))


def test_evaluate_writes_csv(capsys):
    """`evaluate --csv` is a header, a line a layer, and a line of totals."""
    _, out, _ = run(capsys, "evaluate", "--csv", "--accelerator", "u-ticket")
    lines = out.splitlines()
    assert lines[0].startswith("layer,shape,weights,nonzeros")
    assert [line.split(",")[0] for line in lines[1:]] == [
        *("features.0", "features.3", "features.7", "classifier", "total")
    ]


def test_balanced_masks_take_fewer_cycles(capsys):
    """`balance` and `evaluate --compare` agree on the cycles saved, which are many."""
    report = balanced(capsys, "--accelerator", "u-ticket", "--out", "masks.npz")
    totals = report["network"]
    assert totals["cycles"] < 0.5 * totals["cycles_before"]
    assert totals["energy_pj"] < totals["energy_pj_before"]
    args = (shipped_ticket(), "--compare", "masks.npz", "--accelerator", "u-ticket")
    _, out, _ = run(capsys, "evaluate", *args, "--json")
    rows = json.loads(out)["comparison"]
    cycles = [totals["cycles_before"], totals["cycles"]]
    assert [row["cycles"] for row in rows] == cycles
    assert rows[1]["cycles_ratio"] == pytest.approx(cycles[1] / cycles[0])
    _, out, _ = run(capsys, "evaluate", *args)
    assert "masks.npz" in out


def test_evaluate_compares_accelerators(capsys):
    """Several accelerators give a line each."""
    names = ("sata", "loas")
    options = [part for name in names for part in ("--accelerator", name)]
    _, out, _ = run(capsys, "evaluate", *options, "--spike-rate", "0.1")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(names)


def test_recorded_spikes_make_results_exact(capsys):
    """With spikes of every layer nothing is a bound; half the spikes cost less."""
    rng = np.random.default_rng(0)
    shapes = {"features.0": (1, 8, 8), "features.3": (32, 8, 8)}
    shapes |= {"features.7": (64, 4, 4), "classifier": (1024,)}
    cycles = []
    for rate in (0.2, 0.1):
        spikes = {
            name: rng.random((1 if name == "features.0" else 4, 2, *shape)) < rate
            for name, shape in shapes.items()
        }
        save_spikes("spikes.npz", spikes)
        _, out, _ = run(capsys, "evaluate", "--spikes", "spikes.npz", "--json")
        report = json.loads(out)
        assert (report["basis"], report["inferences"]) == ("exact", 2)
        cycles.append(report["busy_pe_cycles"])
    assert cycles[1] < cycles[0]


def test_an_order_of_inputs_leaves_the_operations_as_they_are(capsys):
    """Recorded spikes follow the order of the input channels that a mask file holds."""
    balanced(capsys, "--map", "input_channel", "--order", "sorted", "--out", "a.npz")
    arrays = dict(np.load("a.npz"))
    orders = [key for key in arrays if key.endswith(".input_order")]
    assert any((np.diff(arrays[key]) != 1).any() for key in orders)
    natural = {key: array for key, array in arrays.items() if key not in orders}
    np.savez("natural.npz", **natural)
    rng = np.random.default_rng(0)
    falling = np.linspace(0.9, 0.1, 32)[:, None, None]
    save_spikes("spikes.npz", {"features.3": rng.random((4, 1, 32, 8, 8)) < falling})
    counts = []
    for name in ("a.npz", "natural.npz"):
        _, out, _ = run(capsys, "evaluate", name, "--spikes", "spikes.npz", "--json")
        [row] = [r for r in json.loads(out)["layers"] if r["layer"] == "features.3"]
        counts.append(row["sops"])
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("known", [True, False])
def test_what_cycles_assume_is_printed(capsys, known):
    """A ticket that does not tell the sizes of its inputs gets a line about it."""
    name = ticket(**{"conv.score": np.arange(144.0).reshape(4, 4, 3, 3)})
    args = (shipped_ticket(),) if known else (name, "--sparsity", 0.5)
    note = balanced(capsys, *args)["network"]["hardware_note"]
    _, out, _ = run(capsys, "balance", *args)
    assert (note is None) == known
    assert ("Cycles and energy: input sizes are unknown" in out) == (not known)


def test_a_printed_accelerator_can_be_edited_and_used(capsys):
    """`accelerators NAME` prints YAML that `--accelerator` reads again."""
    _, out, _ = run(capsys, "accelerators", "u-ticket")
    Path("mine.yaml").write_text(out.replace("pes: 16", "pes: 8"))
    status, out, _ = run(capsys, "balance", "--accelerator", "mine.yaml")
    assert status == 0
    assert "output_channel map, 8 PEs" in out
    _, out, _ = run(capsys, "accelerators")
    assert all(name in out for name in ("eie", "loas", "sata", "systolic", "u-ticket"))


def test_an_accelerator_brings_its_map(capsys):
    """`balance --accelerator` takes map and PEs from it and refuses others."""
    _, out, _ = run(capsys, "balance", "--accelerator", "systolic")
    assert "input_channel map, 16 PEs" in out
    status, _, err = run(
        capsys, "balance", "--accelerator", "systolic", "--map", "banked"
    )
    assert status == 2
    assert "--map is banked, but systolic has input_channel" in err


@pytest.mark.parametrize("args", [[], ["balance"], ["evaluate"], ["accelerators"]])
def test_help_has_examples_and_needs_no_packages(args):
    """Help is printed without OR-Tools, torch or pydantic, and mostly without NumPy.

    Only `balance` needs it, to list the PE maps that are registered.
    """
    code = (
        "import sys, cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        "finally:\n"
        "    heavy = {'numpy', 'ortools', 'torch', 'rich', 'pydantic', 'shtab'}\n"
        "    heavy &= set(sys.modules)\n"
        "    heavy -= {'numpy'} if 'balance' in sys.argv else set()\n"
        "    assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage: balanced-sparsity" in done.stdout
    if args[:1] in (["balance"], ["evaluate"]):
        assert "examples:" in done.stdout


def test_a_pipe_gets_no_progress_bar():
    """In a pipe stdout holds JSON alone, and stderr nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "balance", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": ""},
    )
    assert json.loads(done.stdout)["network"]["utilization"] == 1.0
    assert done.stderr == ""


def test_importing_the_balancer_loads_neither_torch_nor_or_tools():
    """`import balancer` is light; OR-Tools comes with the first search."""
    code = (
        "import sys, balancer\n"
        "print(sorted({'torch', 'ortools', 'scipy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_readme_example_runs():
    """The Python examples of the README run as they are printed."""
    readme = (Path(cli.__file__).parent / "README.md").read_text()
    blocks = readme.split("```python\n")[1:]
    assert blocks
    for block in blocks:
        code = block.split("```")[0]
        if "from snn" not in code or importlib.util.find_spec("torch"):
            exec(code, {})


def test_ctrl_c_says_what_it_leaves(capsys, monkeypatch):
    """Status 130, and whether anything was written; a library never hides it."""

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("balancer.balance_ticket", interrupted)
    status, out, err = run(capsys, "balance", "--out", "here")
    assert (status, out) == (130, "")
    assert err == "balanced-sparsity: error: cancelled: nothing was written\n"
    assert not Path("here").exists()


def test_masks_of_a_search_that_was_cut_short_are_written_with_status_130(
    capsys, monkeypatch
):
    """After one Ctrl-C the masks are there, and the status says that it was one."""
    monkeypatch.setattr("balancer.NetworkSolution.cancelled", True)
    status, out, err = run(capsys, "balance", "--out", "here")
    assert status == 130
    assert "the masks are valid and written" in err
    assert "masks: here/masks.safetensors" in out
    assert Path("here/masks.safetensors").exists()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_tables_fit_the_columns_that_there_are(capsys, monkeypatch, width):
    """No line of a table is longer, whatever the table; COLUMNS counts in a pipe."""
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run(capsys, "balance", "--compare", "--out", "m.npz")
    table = out.split("\nOn ")[0]
    assert max(map(len, table.splitlines())) <= width
    assert "7,104 → 3,148" in table
    both = ("--accelerator", "u-ticket", "--accelerator", "sata")
    for args in ((), both, ("--compare", "m.npz", "--accelerator", "eie")):
        _, out, _ = run(capsys, "evaluate", *args)
        table = out.split("u-ticket: ")[0] if not args else out
        assert max(map(len, table.splitlines())) <= width
    _, out, _ = run(capsys, "accelerators")
    assert max(map(len, out.splitlines())) <= width
