"""Sweeps from end to end: rows, what is shared, failures, kills, and the command."""

import csv
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from sweep_cases import DESIGN, RUNS, DeadlyTrainer

import cli
from balancer import (
    SearchLimits,
    balance_ticket,
    open_ticket,
    register_solver,
    save_masks,
    shipped_ticket,
)
from hwmodel import (
    Accelerator,
    Hardware,
    SweepError,
    SweepPlan,
    evaluate,
    network_workloads,
    place_layers,
    sweep,
)
from hwmodel.sweeps.journal import RowJournal
from hwmodel.sweeps.mask_store import MaskStore
from hwmodel.sweeps.result import SweepOnDisk

SMALL = {"pes": [8, 16], "sparsity": 0.9, "accelerator": ["u-ticket", "loas"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The design, run without a break."""
    return sweep(SweepPlan.of(DESIGN), out=tmp_path_factory.mktemp("whole"), workers=2)


def test_a_row_is_what_balance_says(tmp_path):
    """Non-zeros, magnitude, utilization, cycles and energy are `balance_ticket`'s."""
    for row in sweep(out=tmp_path, workers=0, **SMALL).rows:
        hardware = Hardware.of(row["accelerator"], row["map"], row["pes"])
        report = balance_ticket(shipped_ticket(), None, hardware, sparsity=0.9)
        network = report.to_dict()["network"]
        assert row["nonzeros"] == network["nonzeros"]
        assert row["kept"] == pytest.approx(network["kept"])
        assert row["kept_fraction"] == pytest.approx(network["kept_fraction"])
        assert row["utilization"] == pytest.approx(network["utilization"])
        assert row["eta"] == pytest.approx(network["eta"])
        assert row["status"] == network["status"]
        assert row["cycles"] == pytest.approx(report.cycles)
        assert row["energy"] == pytest.approx(report.energy)


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": "global", "sparsity": 0.95},
        {"scope": "global", "latency_budget": 0.7},
        {"budgets": "lamp", "sparsity": 0.95},
        {"budgets": "cycles", "sparsity": 0.95},
        {"layers": "features.*", "channel_floor": 1},
        {"order": "sorted", "nested": True, "allow_empty": True},
    ],
)
def test_settings_are_those_of_balance(fields, tmp_path):
    """Budgets of all layers, floors and orders lead to `balance_ticket`'s numbers."""
    [row] = sweep(out=tmp_path, workers=0, **fields).rows
    hardware = Hardware.of("u-ticket", "output_channel", 16)
    report = balance_ticket(shipped_ticket(), None, hardware, **fields)
    network = report.to_dict()["network"]
    for name in ("nonzeros", "kept", "kept_fraction", "utilization", "eta", "cycles"):
        assert row[name] == pytest.approx(network[name]), name
    assert row["status"] == network["status"]


def test_unchanged_is_the_ticket_as_it_is(tmp_path):
    """The method `unchanged` measures the masks that were read, in their order."""
    [row] = sweep(method="unchanged", out=tmp_path, workers=0).rows
    report = balance_ticket(shipped_ticket(), None, Hardware.of())
    network = report.to_dict()["network"]
    assert row["nonzeros"] == network["nonzeros_before"]
    assert row["cycles"] == report.cycles_before
    assert row["energy"] == pytest.approx(report.energy_before)
    assert row["utilization"] == pytest.approx(network["utilization_before"])


def test_methods_have_the_same_budgets(tmp_path):
    """Rules keep as many weights as they were given, the program whole slices of it."""
    methods = ["lth", "u-ticket", "u-ticket-ceil", "topk-per-pe", "optimal"]
    rows = sweep(
        method=methods, sparsity=0.9, budgets="lamp", out=tmp_path, workers=0
    ).rows
    of = {row["method"]: row for row in rows}
    assert of["lth"]["kept_fraction"] == 1
    assert of["lth"]["nonzeros"] == of["optimal"]["nonzeros"]
    assert of["topk-per-pe"]["nonzeros"] <= of["lth"]["nonzeros"]
    assert of["u-ticket-ceil"]["nonzeros"] >= of["u-ticket"]["nonzeros"]
    balanced = [of[name] for name in methods if name != "lth"]
    assert all(row["utilization"] == 1 for row in balanced)
    best = max(balanced[1:], key=lambda row: row["kept_fraction"])
    assert best["kept_fraction"] >= of["u-ticket"]["kept_fraction"]


def test_sorting_channels_changes_no_mask(tmp_path):
    """`lth` in sorted order keeps the same, and the array waits less or as long."""
    fixed, sorted_ = sweep(
        method="lth", order=["fixed", "sorted"], sparsity=0.95, out=tmp_path, workers=0
    ).rows
    assert fixed["kept"] == sorted_["kept"]
    assert sorted_["utilization"] > fixed["utilization"]


def test_the_table_has_a_row_for_each_run(whole):
    """CSV and journal say the same, in the order of the plan."""
    table = list(csv.DictReader(io.StringIO(whole.to_csv())))
    assert (whole.folder / "table.csv").read_text() == whole.to_csv()
    assert len(table) == RUNS
    assert {row["state"] for row in table} == {"done"}
    for row, line, point in zip(table, whole.rows, whole.plan.points, strict=True):
        assert (row["key"], row["map"]) == (point.key, point.array.pe_map)
        assert float(row["cycles"]) == line["cycles"]


def test_rows_do_not_depend_on_the_workers(tmp_path):
    """One process and three fill the same table."""
    tables = [
        sweep(out=tmp_path / str(number), workers=number, **SMALL).to_csv()
        for number in (0, 3)
    ]
    assert tables[0] == tables[1]


def test_what_is_done_is_not_run_again(whole):
    """The same sweep is only read, and one with further values runs those."""
    before = (whole.folder / "rows.jsonl").read_bytes()
    seen = []
    again = sweep(whole.plan, out=whole.folder, workers=2, progress=seen.append)
    assert again.to_csv() == whole.to_csv()
    assert (whole.folder / "rows.jsonl").read_bytes() == before
    assert [(known.done, known.seconds_left) for known in seen] == [(RUNS, 0.0)]
    more = sweep(
        SweepPlan.of(DESIGN | {"pes": [8, 16, 32, 64]}), out=whole.folder, workers=0
    )
    added = (whole.folder / "rows.jsonl").read_bytes().removeprefix(before)
    assert added.count(b"\n") == len(more.rows) - RUNS == 16


def test_a_front_is_of_rows_that_compute_something(tmp_path):
    """Nothing on a front has an empty layer, and energies compare within a unit."""
    result = sweep(
        method=["topk-per-pe", "optimal"],
        accelerator=["u-ticket", "loas"],
        sparsity=0.9,
        out=tmp_path,
        workers=0,
    )
    assert {row["method"] for row in result.rows if row["empty"]} == {"topk-per-pe"}
    for cost in ("cycles", "energy"):
        assert {row["method"] for row in result.front(cost)} == {"optimal"}
    units = {row["energy_unit"] for row in result.front("energy")}
    assert units == {"E_d", "pJ"}


KILLED = """
import os, signal
from sweep_cases import DESIGN
from hwmodel import SweepPlan, sweep

def kill_half_way(known):
    if known.done >= 24:
        os.kill(os.getpid(), signal.SIGKILL)

sweep(SweepPlan.of(DESIGN), out="half", workers=2, progress=kill_half_way)
"""


def run_code(code, folder):
    """Run Python beside the tests."""
    path = os.pathsep.join(one for one in sys.path if one)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def test_a_sweep_that_is_killed_half_way_resumes_to_the_same_table(whole, tmp_path):
    """Of 48 runs, those that were done stay, the others follow, and nothing differs."""
    assert run_code(KILLED, tmp_path).returncode == -signal.SIGKILL
    rows = tmp_path / "half" / "rows.jsonl"
    half = rows.read_bytes()
    assert half.count(b"\n") == 24
    assert not (tmp_path / "half" / "table.csv").exists()
    resumed = sweep(whole.plan, out=tmp_path / "half", workers=2)
    assert rows.read_bytes().startswith(half)
    assert rows.read_bytes().count(b"\n") == RUNS
    table = (tmp_path / "half" / "table.csv").read_text()
    assert table == resumed.to_csv() == whole.to_csv()


def test_a_run_whose_worker_dies_has_failed_and_is_tried_again(tmp_path):
    """The others end well, the reason is recorded, and the next call runs that one."""
    fields = {"training": {}, "seed": [0, 1, 2]}
    plan = SweepPlan.of(fields, DeadlyTrainer(deadly_seed=1))
    result = sweep(plan, out=tmp_path, workers=2)
    assert [row["state"] for row in result.rows] == ["done", "failed", "done"]
    [failure] = result.failures
    assert failure["error"].startswith("its worker died 2 times: SIGKILL")
    assert result.value == "accuracy"
    healthy = sweep(SweepPlan.of(fields, DeadlyTrainer()), out=tmp_path, workers=1)
    assert [row["accuracy"] for row in healthy.rows] == [0.5, 0.6, 0.7]
    assert healthy.failures == ()


def test_a_run_that_cannot_be_says_why(tmp_path):
    """One layer that has no room for a slice fails its run alone, in one line."""
    scores = np.random.default_rng(0).random((4, 8))
    np.savez(tmp_path / "net.npz", layer=scores)
    result = sweep(
        ticket=str(tmp_path / "net.npz"),
        pes=4,
        channel_floor=[0, 9],
        sparsity=0.5,
        out=tmp_path / "out",
        workers=0,
    )
    assert [row["state"] for row in result.rows] == ["done", "failed"]
    assert "layer layer: " in result.failures[0]["error"]
    assert "\n" not in result.failures[0]["error"]


def test_a_bare_checkpoint_is_told_its_sizes(tmp_path):
    """Cycles of convolutions follow from the sizes that are given, as in `balance`."""
    rng = np.random.default_rng(0)
    arrays = {"conv": rng.random((3, 3, 3, 8)), "fc": rng.random((8 * 16, 4))}
    np.savez(tmp_path / "net.npz", **arrays)
    (tmp_path / "sizes.yaml").write_text("layers: {conv: {stride: 2}}")
    given = {"ticket": str(tmp_path / "net.npz"), "axes": "conv=hwio fc=io"}
    geometry = str(tmp_path / "sizes.yaml")
    result = sweep(
        **given,
        input_shape="3,8,8",
        geometry=geometry,
        pes=[4, 8],
        sparsity=0.5,
        masks=True,
        out=tmp_path / "out",
        workers=1,
    )
    ticket = place_layers(
        open_ticket(given["ticket"], {"conv": "hwio", "fc": "io"}), (3, 8, 8), geometry
    )
    for row in result.rows:
        hardware = Hardware.of("u-ticket", "output_channel", row["pes"])
        assert (
            row["cycles"] == balance_ticket(ticket, None, hardware, sparsity=0.5).cycles
        )
        assert (
            row["note"]
            == hardware.layers(
                {layer.name: layer.shape for layer in ticket.layers}, ticket.about
            ).assumption
        )
        masks = open_ticket(tmp_path / "out" / row["masks"])
        assert masks.axes == ticket.axes
    bare = sweep(**given, sparsity=0.5, pes=4, out=tmp_path / "out", workers=0)
    assert "one output pixel" in bare.rows[0]["note"]
    assert bare.rows[0]["key"] not in {row["key"] for row in result.rows}


def test_inputs_that_are_given_go_before_the_ticket(tmp_path):
    """Time steps and rates change cycles as in `evaluate`, and share the masks."""
    plan = SweepPlan.of(
        {
            "method": "unchanged",
            "accelerator": "loas",
            "timesteps": [2, 8],
            "spike_rate": [0.0, 0.5],
        }
    )
    assert len(plan.groups()) == 1
    ticket = open_ticket(shipped_ticket())
    layers = {layer.name: layer for layer in ticket.layers}
    for row in sweep(plan, out=tmp_path, workers=0).rows:
        network = network_workloads(
            {name: layer.read_mask() for name, layer in layers.items()},
            ticket.about,
            schedules={n: layer.read_schedules() for n, layer in layers.items()},
            timesteps=row["timesteps"],
            spike_rate=row["spike_rate"],
        )
        report = evaluate(network.workloads, Accelerator.load("loas"))
        assert row["cycles"] == pytest.approx(report.cycles)
        assert row["energy"] == pytest.approx(report.energy_pj)


def test_a_file_that_changes_under_a_sweep_is_refused(tmp_path):
    """A row is of the file that was planned with, or has failed."""
    path = tmp_path / "net.npz"
    np.savez(path, layer=np.random.default_rng(0).random((4, 8)))
    plan = SweepPlan.of({"ticket": str(path), "pes": 4, "sparsity": 0.5})
    np.savez(path, layer=np.random.default_rng(1).random((4, 8)))
    [row] = sweep(plan, out=tmp_path / "out", workers=0).rows
    assert "not the file that the sweep was planned with" in row["error"]


class Interrupted:
    """A solver during which somebody presses Ctrl-C."""

    def solve(self, problem, search):
        """Never answer."""
        raise KeyboardInterrupt


def test_ctrl_c_leaves_no_row_that_was_not_searched_for(tmp_path):
    """What balance answers greedily when it is cancelled is no row of a sweep."""
    register_solver("interrupted", Interrupted())
    fields = {"sparsity": 0.9, "solver": ["cp-sat", "interrupted"]}
    with pytest.raises(KeyboardInterrupt):
        sweep(SweepPlan.of(fields), out=tmp_path, workers=0)
    table = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [row["state"] for row in table] == ["done", "missing"]


def test_a_failure_does_not_replace_what_is_done(tmp_path):
    """Finished rows are never lost, also if masks that are wanted later fail."""
    plan = SweepPlan.of({"sparsity": 0.9})
    first = sweep(plan, out=tmp_path, workers=0)
    rows = tmp_path / "rows.jsonl"
    RowJournal(rows).append(
        [{"key": plan.points[0].key, "state": "failed", "error": "by chance"}]
    )
    before = rows.read_bytes()
    assert sweep(plan, out=tmp_path, workers=0).to_csv() == first.to_csv()
    assert rows.read_bytes() == before


def test_bad_places_are_refused(tmp_path):
    """One place to run at most, and no fields beside a plan that is made."""
    with pytest.raises(SweepError, match="one place"):
        sweep(pes=8, out=tmp_path, workers=1, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(SweepError, match="`workers` is -1"):
        sweep(pes=8, out=tmp_path, workers=-1)
    with pytest.raises(SweepError, match=r"SweepPlan\.of"):
        sweep(SweepPlan.of({}), out=tmp_path, pes=8)


def test_layer_by_layer_is_the_same_table(tmp_path):
    """Every layer a task of its own leads to the same rows."""
    design = SMALL | {"method": ["optimal", "u-ticket"], "order": "fixed"}
    whole = sweep(SweepPlan.of(design), out=tmp_path / "whole", workers=0)
    seen = []
    layers = sweep(
        SweepPlan.of(design | {"by_layer": True}),
        out=tmp_path / "layers",
        workers=0,
        progress=seen.append,
    )
    assert layers.to_csv() == whole.to_csv()
    names = [layer.name for layer in open_ticket(shipped_ticket()).layers]
    assert (seen[0].tasks_done, seen[0].seconds_left) == (0, None)
    assert (seen[-1].tasks_done, seen[-1].seconds_left) == (4 * len(names), 0.0)


def test_a_table_that_cannot_be_written_hides_no_error(tmp_path):
    """What ended a sweep is told, and not that its table could not be written then."""
    (tmp_path / "table.csv").mkdir()

    def fail(known):
        raise RuntimeError("the real reason")

    with pytest.raises(RuntimeError, match="the real reason"):
        sweep(sparsity=0.9, out=tmp_path, workers=0, progress=fail)


def test_joined_masks_are_not_made_again(tmp_path):
    """A kill after the masks of all layers were joined, before their row, is cheap."""
    fields = {"sparsity": 0.9, "by_layer": True, "masks": True}
    plan = SweepPlan.of(fields)
    whole = sweep(plan, out=tmp_path, workers=0).to_csv()
    (tmp_path / "rows.jsonl").write_text("")
    [left] = (tmp_path / "masks").iterdir()
    (tmp_path / "masks" / f"parts-{left.stem}").mkdir()
    tasks = []
    again = sweep(
        plan, out=tmp_path, workers=0, progress=lambda known: tasks.append(known.tasks)
    )
    assert again.to_csv() == whole
    assert set(tasks) == {0}
    assert list((tmp_path / "masks").iterdir()) == [left]


@pytest.mark.parametrize("by_layer", [False, True])
def test_masks_are_those_of_balance(by_layer, tmp_path):
    """Masks that are asked for are files as `balance` writes them, each mask once."""
    fields = {"sparsity": 0.9, "order": ["fixed", "optimized"], "by_layer": by_layer}
    fields |= {"masks": True, "accelerator": ["u-ticket", "loas"]}
    result = sweep(SweepPlan.of(fields), out=tmp_path, workers=0)
    files = {row["masks"] for row in result.rows}
    assert len(files) == 2
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.glob("masks/*")} == files
    limits = SearchLimits(gap_limit=0.002, work_limit=2.0, time_limit=600.0)
    for row in result.rows:
        report = balance_ticket(
            shipped_ticket(), sparsity=0.9, order=row["order"], limits=limits
        )
        expected = open_ticket(report.save(tmp_path / row["key"]).masks)
        found = open_ticket(tmp_path / row["masks"])
        assert found.about == expected.about
        for ours, theirs in zip(found.layers, expected.layers, strict=True):
            assert ours.name == theirs.name
            assert (ours.read_mask() == theirs.read_mask()).all()
            assert ours.read_schedules() == theirs.read_schedules()
    lost = tmp_path / result.rows[0]["masks"]
    lost.unlink()
    assert sweep(result.plan, out=tmp_path, workers=0).to_csv() == result.to_csv()
    assert lost.exists()


def test_layers_that_are_done_are_not_balanced_again(tmp_path):
    """A sweep that lost a layer runs that one, and puts the row together."""
    plan = SweepPlan.of({"sparsity": 0.9, "by_layer": True})
    first = sweep(plan, out=tmp_path, workers=0)
    journal = RowJournal(tmp_path / "layers.jsonl")
    [*kept, last] = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(kept) + last[:9])
    (tmp_path / "rows.jsonl").unlink()
    again = sweep(plan, out=tmp_path, workers=0)
    assert again.to_csv() == first.to_csv()
    assert journal.path.read_bytes().startswith(b"".join(kept))
    assert len(journal.path.read_bytes().splitlines()) == len(kept) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"state": "over"},
        {"cycles": "few"},
        {"kept_share": [1]},
        {"energy": 10**400},
        {"tries": 2**63},
        {"note": ["n"]},
        {"energy_unit": {}},
        {"state": "failed", "error": None},
    ],
)
def test_rows_that_something_else_wrote_are_refused(tmp_path, change):
    """A row with a key of the plan counts only if it has what is asked of it."""
    plan = SweepPlan.of({"sparsity": 0.9, "layers": ["classifier"]})
    [row] = sweep(plan, out=tmp_path, workers=0).rows
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row | change) + "\n")
    with pytest.raises(SweepError, match=r"rows\.jsonl: .* is no row of a sweep"):
        SweepOnDisk(tmp_path).axes  # noqa: B018
    if "state" not in change:  # what is not done would be tried again
        with pytest.raises(SweepError, match=r"rows\.jsonl: .* is no row of a sweep"):
            sweep(plan, out=tmp_path, workers=0)


def test_layers_that_something_else_wrote_are_named(tmp_path):
    """What a layer's row or mask lacks is one line with the file's name."""
    fields = {"sparsity": 0.9, "layers": ["classifier"], "masks": True}
    plan = SweepPlan.of({**fields, "by_layer": True})
    sweep(plan, out=tmp_path, workers=0)
    rows, layers = tmp_path / "rows.jsonl", tmp_path / "layers.jsonl"
    known = json.loads(layers.read_text())
    refused = {"measure": known["measure"] | {"refused": ""}}  # which is no reason
    layers.write_text(json.dumps(known | refused) + "\n")
    rows.unlink()
    assert len(sweep(plan, out=tmp_path, workers=0).done) == 1
    changes = ({"measure": {}}, {"seconds": "long"}, {"note": ["n"]}, {"tries": 2**63})
    for change in changes:
        rows.unlink()
        layers.write_text(json.dumps(known | change) + "\n")
        with pytest.raises(SweepError, match=r"layers\.jsonl: "):
            sweep(plan, out=tmp_path, workers=0)
    rows.unlink()
    layers.write_text(json.dumps(known) + "\n")
    [point] = plan.points
    store = MaskStore(tmp_path / "masks")
    store.path(point).unlink()
    part = store.part(point, 0)
    part.parent.mkdir()
    two = {name: np.eye(4, dtype=bool) for name in "ab"}
    save_masks(part, two, {})
    with pytest.raises(SweepError, match=r"00000\.npz: holds no layer alone"):
        sweep(plan, out=tmp_path, workers=0)


def test_memory_and_empty_layers_are_flagged(tmp_path):
    """With hardly any bandwidth all layers wait for memory; empty ones are named."""
    names = {layer.name for layer in open_ticket(shipped_ticket()).layers}
    slow, fast = sweep(
        accelerator="generic-45nm",
        description={"dram.bandwidth_bits_per_cycle": [0.01, 1e9]},
        sparsity=0.9,
        out=tmp_path,
        workers=0,
    ).rows
    assert set(slow["memory_bound"].split()) == names
    assert slow["stalled"] > 0.9 > fast["stalled"]
    assert slow["cycles"] > fast["cycles"]
    [empty] = sweep(sparsity=1.0, out=tmp_path, workers=0).rows
    assert set(empty["empty"].split()) == names
    assert empty["kept_fraction"] is None


def test_a_map_that_no_array_has_leaves_cycles_out(tmp_path):
    """An n:m map has rows without cycles, which are on no front."""
    [row] = sweep(map="2:4", layers="features.*", out=tmp_path, workers=0).rows
    assert (row["state"], row["cycles"], row["front"]) == ("done", None, "")
    assert row["note"] == "no accelerator has this PE map"


def test_figures(tmp_path, whole):
    """The same sweep gives the same figure; other kinds of files are refused."""
    pytest.importorskip("matplotlib")
    paths = [tmp_path / name for name in ("a.svg", "b.svg")]
    for path in paths:
        whole.plot(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    for text in (
        "cycles of one inference",
        "energy",
        "utilization",
        "optimal output_channel loas",
    ):
        assert text in paths[0].read_text()
    with pytest.raises(SweepError, match=r"\.svg, \.png"):
        whole.plot(tmp_path / "a.gif")


# ------------------------------------------------------------------------ command


def write(folder, text):
    path = folder / "design.toml"
    path.write_text(text)
    return str(path)


TOML = """
pes = [8, 16]
sparsity = 0.9
accelerator = ["u-ticket", "generic-45nm"]
"""


def test_the_command_writes_and_prints_the_table(tmp_path, monkeypatch, capsys):
    """Table, figure and journal lie in a folder named after the file."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", write(tmp_path, TOML), "--workers", "0"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "written: runs/sweep-design/table.csv" in said.out
    assert "Bound by memory" in said.out
    assert cli.main(["sweep", "design.toml", "--workers", "0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["pes"] for row in document["rows"]] == [8, 8, 16, 16]
    assert document["axes"] == ["pes", "accelerator"]
    on = {row["key"] for row in document["rows"] if "cycles" in row["front"]}
    assert set(document["front"]["cycles"]) == on
    assert all((tmp_path / file).exists() for file in document["outputs"])


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("pess = 8", [], "no field is named 'pess'; accepted: ticket, pes"),
        (TOML, ["--workers", "-1"], "--workers is -1; the least is 0"),
        (TOML, ["--plot", "a.gif"], "--plot is a.gif; accepted: .svg, .png, .pdf"),
        (TOML, ["--slurm", "eight"], "'eight' is no NAME=VALUE"),
        (TOML, ["--slurm", "jobs=8"], "cores, memory is missing"),
        ("[training]\nepoch = 1", [], "no field is named 'epoch'"),
    ],
)
def test_wrong_usage_is_one_line(text, options, said, tmp_path, capsys):
    """A wrong file or option ends with status 2 before anything runs."""
    out = tmp_path / "out"
    file = write(tmp_path, text)
    assert cli.main(["sweep", file, "--out", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_failed_runs_end_with_status_1(tmp_path, capsys):
    """All that could be done is printed, and how to go on."""
    np.savez(tmp_path / "net.npz", layer=np.random.default_rng(0).random((4, 8)))
    text = f"ticket = '{tmp_path}/net.npz'\npes = 4\nsparsity = 0.5\n"
    file = write(tmp_path, text + "channel_floor = [0, 9]")
    out = ["--out", str(tmp_path / "out"), "--workers", "0"]
    assert cli.main(["sweep", file, *out]) == 1
    said = capsys.readouterr()
    assert "1 of 2 runs failed" in said.err
    assert "Failed: channel_floor 9" in said.out
