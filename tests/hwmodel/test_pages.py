"""Pages: the library's numbers, no network, and nothing obeyed that a file says."""

import json
import re

import numpy as np
import pytest
from page_reader import PageReader

import cli
from balancer import BalancerError, balance_ticket, shipped_ticket
from hwmodel import Hardware, sweep
from hwmodel.effective import count_effective
from hwmodel.figures.load_figure import drawn_of, has_bars, loads_of
from hwmodel.pages.balance_findings import answers, facts, warnings
from hwmodel.pages.balance_page import balance_page
from hwmodel.pages.number_table import NumberColumn, NumberTable
from hwmodel.pages.page import PageError, check_page
from hwmodel.sweeps.pareto import cost_of
from hwmodel.sweeps.result import SweepOnDisk
from hwmodel.sweeps.sweep_page import sweep_page

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
MEGABYTE = 1e6


@pytest.fixture(scope="module")
def report():
    """The shipped ticket, balanced, with other methods."""
    return balance_ticket(shipped_ticket(), None, Hardware.of(), compare=True)


@pytest.fixture(scope="module")
def frontier():
    """The same under one budget, with a frontier."""
    asked = {"scope": "global", "frontier": 3}
    return balance_ticket(shipped_ticket(), None, Hardware.of(), **asked)


@pytest.fixture(scope="module")
def html(report, frontier):
    """The page of both."""
    return balance_page(report, frontier).render()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep over arrays and accelerators, one of which waits for memory."""
    return sweep(
        pes=[8, 16],
        sparsity=0.9,
        accelerator=["u-ticket", "generic-45nm"],
        out=tmp_path_factory.mktemp("swept"),
        workers=0,
    )


def test_numbers_of_the_summary_are_the_librarys(report, html):
    """Every number of the summary is a field of the report, before and after."""
    network = report.to_dict()["network"]
    use = report.hardware
    idle, total = (
        [
            sum(getattr(cost.time, name) for cost in side.values())
            for side in (use.before, use.after)
        ]
        for name in ("idle", "total")
    )
    assert PageReader(html).numbers == pytest.approx(
        [
            *(network["cycles_before"], network["cycles"]),
            *(network["energy_pj_before"], network["energy_pj"]),
            *(network["utilization_before"], network["utilization"]),
            *(idle[0] / total[0], idle[1] / total[1]),
            network["kept_fraction"],
            *(network["nonzeros_before"], network["nonzeros"]),
        ],
        rel=1e-12,
    )


def test_tables_read_back_are_the_numbers(report, frontier, html):
    """The CSV of every figure holds the library's numbers, to the last bit."""
    tables = PageReader(html).csv
    assert set(tables) == {
        f"{x}.csv" for x in ("loads", "use", "frontier", "layers", "methods")
    }
    for row, layer in zip(
        tables["layers.csv"], report.to_dict()["layers"], strict=True
    ):
        assert row["name"] == layer["name"]
        for name in ("kept_fraction", "utilization_before", "cycles", "energy_pj"):
            assert float(row[name]) == layer[name]
    loads = {
        layer.name: (layer.loads_before, layer.solution.loads)
        for layer in report.layers
    }
    for row in tables["loads.csv"]:
        before, after = loads[row["layer"]]
        place = int(row["group"]), int(row["pe"])
        assert (int(row["load_before"]), int(row["load"])) == (
            before[place],
            after[place],
        )
    for side, name in enumerate(("load_before", "load")):
        kept = sum(int(row[name]) for row in tables["loads.csv"])
        assert kept == sum(one[side].sum() for one in loads.values())
    kept = [float(row["kept"]) for row in tables["frontier.csv"]]
    assert kept == [point.kept for point in frontier.frontier]
    spent = sum(float(row["cycles"]) for row in tables["use.csv"])
    assert spent == report.cycles_before + report.cycles


def test_the_same_report_gives_the_same_page(report, tmp_path):
    """The page that the report writes is the same when it is drawn again."""
    report.report(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text() == balance_page(report).render()


def test_a_page_needs_no_network(html, swept):
    """No address but those that hold what they name; the script is the only one."""
    for text in (html, sweep_page(swept).render()):
        assert not re.search(r"https?:|//[a-z]", text.partition("<main>")[2])
        read = PageReader(text)
        assert read.tags.count("script") == 1
        for name, value in read.attributes:
            if name in ("href", "src"):
                assert value.startswith(("data:", "#"))
        assert len(text) < MEGABYTE


def test_names_inside_figures_are_each_there_once(html):
    """What figures refer to exists, and no two elements have one name."""
    read = PageReader(html)
    names = [value for name, value in read.attributes if name == "id"]
    assert len(names) == len(set(names))
    used = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', html)
    assert {name for pair in used for name in pair if name} <= set(names)


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}${7*7}",
    "</style></svg><b>",
)


def test_names_of_layers_are_text(tmp_path):
    """Names that look like HTML or templates are shown, in text, tips and tables."""
    rng = np.random.default_rng(0)
    layers = {name: rng.random((8, 16)) for name in HOSTILE}
    np.savez(tmp_path / "<net>.npz", **layers)
    report = balance_ticket(
        tmp_path / "<net>.npz", None, Hardware.of(), sparsity=0.5, compare=True
    )
    text = balance_page(report).render()
    read = PageReader(text)
    assert (
        read.tags.count("script")
        == read.tags.count("style") - text.count("<style type")
        == 1
    )
    assert not {"img", "b"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    seen = " ".join(read.text)
    assert all(name in seen for name in HOSTILE)
    assert {row["name"] for row in read.csv["layers.csv"]} == set(HOSTILE)


def test_a_large_network_has_a_small_page(tmp_path):
    """Of many loads the page shows a picture and sums, and stays below 2 MB."""
    rng = np.random.default_rng(0)
    layers = {name: rng.random((4096, 16)) for name in ("a", "b")}
    np.savez(tmp_path / "net.npz", **layers)
    report = balance_ticket(tmp_path / "net.npz", sparsity=0.9, pes=4, reorder=False)
    page = balance_page(report)
    text = page.render()
    assert len(text) < 2 * MEGABYTE
    rows = PageReader(text).csv["loads.csv"]
    assert [row["layer"] for row in rows] == list(layers)
    assert int(rows[0]["steps"]) == report.layers[0].solution.loads.max(axis=1).sum()


def test_a_bar_is_told_by_its_own_layer(tmp_path):
    """Tips are those of the layers that are drawn; one without weights is not."""
    full = 1 + np.arange(32.0).reshape(4, 8)
    np.savez(
        tmp_path / "net.npz", **{"empty.mask": np.zeros((4, 8), bool), "full": full}
    )
    report = balance_ticket(tmp_path / "net.npz", budget=4, pes=4, allow_empty=True)
    read = PageReader(balance_page(report).render())
    told = [said for name, said in read.attributes if name == "data-tip"]
    loads = [layer.solution.loads for layer in report.layers]
    before = [layer.loads_before for layer in report.layers]
    bars = sum(np.count_nonzero(one) for one in (*loads, *before))
    assert len(told) == bars > 0
    assert all(one.startswith("full, ") for one in told)


def test_pixels_are_not_told(tmp_path, monkeypatch):
    """Where loads are a picture there is no bar to point at, and no text is made."""
    np.savez(tmp_path / "net.npz", wide=np.random.default_rng(0).random((64, 2048)))
    report = balance_ticket(
        tmp_path / "net.npz", pe_map="2:4", sparsity=0.5, reorder=False
    )
    drawn = drawn_of(loads_of(report))
    assert not has_bars(drawn)
    monkeypatch.setattr("hwmodel.pages.balance_page._tips", None)  # would be called
    assert "data-tip=" not in balance_page(report).render()


def test_warnings_name_what_must_not_be_overlooked(tmp_path):
    """Empty layers, dead channels and missing training stand in the summary."""
    scores = np.zeros((8, 16))
    scores[:, :4] = 1 + np.arange(32).reshape(8, 4)
    np.savez(tmp_path / "net.npz", a=scores, b=np.eye(8))
    report = balance_ticket(
        tmp_path / "net.npz", budget=4, pes=4, allow_empty=True, scope="global"
    )
    said = " ".join(warnings(report))
    assert "Without any weight: b" in said
    assert "output channels keep no weight (dead)" in said
    assert "trained" in said


def test_layers_bound_by_memory_are_named(swept):
    """A ticket on a narrow memory says so, and what would help."""
    report = balance_ticket(shipped_ticket(), None, Hardware.of("generic-45nm"))
    names = [
        x for x, cost in report.hardware.after.items() if cost.time.largest == "stalled"
    ]
    assert names
    assert f"Bound by memory: {', '.join(names)}." in set(warnings(report))
    assert any("memory" in said for said in answers(report, [])[-1].sentences)
    assert any("bound by memory" in warning for warning in sweep_page(swept).warnings)


def test_accuracy_is_told_where_it_is_known():
    """What the masks do to the accuracy stands in the summary."""

    class Meter:
        def __call__(self, masks, /):
            return 0.9 if masks is None else 0.4

        def effective(self, masks, /):
            return None

    report = balance_ticket(shipped_ticket(), accuracy=Meter())
    [fact] = [one for one in facts(report, []) if one.title == "Accuracy"]
    assert (fact.before, fact.value) == (0.9, 0.4)
    assert any("-50.0 points" in said for said in answers(report, [])[1].sentences)


def test_effective_weights_are_told():
    """Kept weights on no path are counted as the library counts them."""
    count = count_effective_of_shipped()
    report = balance_ticket(shipped_ticket(), effective=count)
    kept = sum(layer.solution.nonzeros for layer in report.layers)
    lost = kept - sum(report.effective.values())
    assert any(
        one.startswith(f"{lost:,} of {kept:,} kept weights") for one in warnings(report)
    )


def count_effective_of_shipped():
    from balancer import open_ticket

    return count_effective(open_ticket(shipped_ticket()))


def test_a_sweep_reads_back_from_its_folder(swept, tmp_path):
    """The folder alone gives the rows, axes and fronts of the sweep that wrote it."""
    read = SweepOnDisk(swept.folder)
    assert read.axes == swept.axes
    key = {row["key"]: row for row in read.rows}
    assert key == {row["key"]: row for row in swept.rows}
    swept.report(tmp_path / "a.html")
    rows = PageReader((tmp_path / "a.html").read_text()).csv["runs.csv"]
    assert [float(row["cycles"]) for row in rows] == [
        row["cycles"] for row in swept.rows
    ]
    told = {fact.title: fact.value for fact in sweep_page(swept).facts}
    front = swept.front("cycles")
    assert told["Runs done"] == 4
    assert told["Fewest cycles"] == cost_of(front[0], "cycles")
    assert told["Most kept"] == front[-1]["kept_share"]


def test_a_sweep_is_drawn_without_what_its_rows_do_not_know(swept, tmp_path):
    """A cost that is null in the journal leaves its row out of that panel alone."""
    rows = [
        json.loads(line)
        for line in (swept.folder / "rows.jsonl").read_text().splitlines()
    ]
    rows[0]["energy"] = None
    for row in rows[2:]:
        row["cycles"] = row["cycles_drawn"] = None
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    page = sweep_page(SweepOnDisk(tmp_path)).render()
    assert len(PageReader(page).csv["runs.csv"]) == len(rows)


def test_a_table_knows_what_is_not_known():
    """Columns that no row knows are left out; None is a dash, and empty in the CSV."""
    columns = (
        NumberColumn("a", "a", ".1f"),
        NumberColumn("b", "b", ".1f"),
        NumberColumn("c", "c"),
    )
    rows = [{"a": 1.0, "c": "x"}, {"a": None, "c": "y"}]
    table = NumberTable.of("t", "T", columns, rows)
    assert [column.name for column in table.columns] == ["a", "c"]
    assert [[cell.text for cell in row] for row in table.cells()] == [
        ["1.0", "x"],
        ["-", "y"],
    ]
    assert table.to_csv() == "a,c\n1.0,x\n,y\n"


# ------------------------------------------------------------------------ command


def test_the_command_writes_the_page_of_the_shipped_ticket(
    tmp_path, monkeypatch, capsys
):
    """Without arguments the page of the shipped ticket goes into runs/, twice alike."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "--frontier", "2"]) == 2
    assert "need --global" in capsys.readouterr().err
    assert cli.main(["report", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "ticket"
    path = tmp_path / document["outputs"]["report"]
    assert path == tmp_path / "runs" / "report-digits-conv3.html"
    read = PageReader(path.read_text())
    assert set(read.csv) >= {"loads.csv", "frontier.csv", "methods.csv"}
    assert [one.name for one in (tmp_path / "runs").iterdir()] == [path.name]


def test_the_command_takes_the_options_of_balance(tmp_path, capsys):
    """The ticket is balanced as they ask, and only the page is written."""
    out = tmp_path / "a.html"
    options = ["--global", "--sparsity", "0.95", "--pes", "8", "--frontier", "2"]
    assert cli.main(["report", *options, "--out", str(out)]) == 0
    asked = {"scope": "global", "sparsity": 0.95, "pes": 8}
    hardware = Hardware.of("u-ticket", "output_channel", 8)
    expected = balance_ticket(shipped_ticket(), None, hardware, **asked)
    read = PageReader(out.read_text())
    assert read.numbers[:2] == [expected.cycles_before, expected.cycles]
    assert len(read.csv["frontier.csv"]) == 2
    assert f"report: {out}" in capsys.readouterr().out


def test_the_command_knows_a_sweep(swept, tmp_path, capsys):
    """Its folder or its rows give one page; options of balancing are refused."""
    paths = [tmp_path / "a.html", tmp_path / "b.html"]
    for what, path in zip(
        (swept.folder, swept.folder / "rows.jsonl"), paths, strict=True
    ):
        assert cli.main(["report", str(what), "--out", str(path)]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    capsys.readouterr()
    assert cli.main(["report", str(swept.folder), "--sparsity", "0.5"]) == 2
    assert "--sparsity goes with a ticket" in capsys.readouterr().err


def test_what_has_no_page_is_said_in_one_line(tmp_path, capsys):
    """Other folders, masks of balance and other kinds of files are named."""
    (tmp_path / "masks.safetensors").touch()
    empty, run, rows = (tmp_path / name for name in ("empty", "run", "rows"))
    for folder in (empty, run, rows):
        folder.mkdir()
    (run / "config.json").touch()
    (run / "report.json").write_text("[" * 100_000)
    (rows / "rows.jsonl").write_text('{"key": "a"}\n')
    for arguments, said in (
        ([str(tmp_path)], "give the ticket"),
        ([str(empty)], "is the folder of no run, comparison or sweep"),
        ([str(run)], "report.json: no JSON: lists and mappings lie too deep"),
        ([str(rows)], "no row of a sweep"),
        (["--out", "a.pdf"], "a name that ends in .html"),
    ):
        assert cli.main(["report", *arguments]) in (1, 2)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_what_is_missing_is_said_before_any_work(report, tmp_path, monkeypatch, capsys):
    """Without Jinja2, or anybody who writes pages, a line says what to install."""
    monkeypatch.setattr("balancer.report.balance_report.entry_points", lambda **_: ())
    with pytest.raises(BalancerError, match="pip install"):
        report.report(tmp_path / "a.html")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PageError, match=r"\[plots\]"):
        check_page()
    assert cli.main(["report", "--out", str(tmp_path / "a.html")]) == 1
    assert "reports need jinja2" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_opened_when_asked(swept, tmp_path, monkeypatch, capsys):
    """`--open` hands the file to the browser."""
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "a.html"
    assert cli.main(["report", str(swept.folder), "--out", str(out), "--open"]) == 0
    assert opened == [out.as_uri()]
