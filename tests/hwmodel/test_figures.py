"""Figures: styles that mean the same everywhere, and files that repeat exactly."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli
from balancer import balance_ticket, shipped_ticket
from hwmodel import Accelerator, Hardware, LayerWorkload, ReportComparison, evaluate
from hwmodel.figures.canvas import FigureError, check_figure, shown
from hwmodel.figures.frontier_figure import plot_frontier
from hwmodel.figures.load_figure import draw_loads, loads_of, plot_loads
from hwmodel.figures.styles import METHODS, line_styles
from hwmodel.figures.use_figure import Use, draw_use, plot_use, uses_of

pytest.importorskip("matplotlib")
NAMES = st.sampled_from(
    [*METHODS, "lth:score=gradient", "optimal:budgets=lamp", "adam", "my own", "sgd"]
)


@pytest.fixture(scope="module")
def report():
    """The shipped ticket, balanced with a frontier."""
    asked = {"scope": "global", "frontier": 4}
    return balance_ticket(shipped_ticket(), hardware=Hardware.of(), **asked)


@given(st.lists(NAMES, unique=True, min_size=1))
def test_a_method_looks_the_same_beside_whatever_else(names):
    """Methods keep colour and marker, variants the colour, and no two look alike."""
    styles = line_styles(names)
    assert list(styles) == names
    assert len({(s.color, s.marker, s.fill) for s in styles.values()}) == len(names)
    for name, style in styles.items():
        method = name.partition(":")[0]
        if name in METHODS:
            assert style == line_styles([name])[name]
        if method in METHODS:
            assert style.color == METHODS[method]


def test_series_of_one_method_differ_in_colour():
    """What all series of a sweep have in common takes no colour from them."""
    styles = line_styles(["optimal loas", "optimal u-ticket", "optimal sata"])
    assert len({style.color for style in styles.values()}) > 1


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_same_report_gives_the_same_file(report, tmp_path, suffix):
    """Loads, frontier and use are drawn alike whenever they are drawn."""
    layer = LayerWorkload("a", np.eye(16), spike_rate=0.2)
    both = [evaluate([layer], Accelerator.load(name)) for name in ("sata", "u-ticket")]
    for number, (plot, what) in enumerate(
        (
            (plot_loads, report),
            (plot_frontier, report),
            (plot_use, both[0]),
            (plot_use, ReportComparison.of_accelerators(both)),
        )
    ):
        files = [tmp_path / f"{number}{side}{suffix}" for side in "ab"]
        for file in files:
            plot(what, file)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_bars_are_the_loads(report):
    """Every PE and group with work has a bar as long as its load, and rests wait."""
    for layer, drawn in zip(report.layers, loads_of(report), strict=True):
        np.testing.assert_array_equal(drawn.loads[1], layer.solution.loads)
        assert drawn.loads[0].sum() == layer.before.nonzeros
        figure = draw_loads([drawn])
        for side, axes in enumerate(figure.axes[:2]):
            bars = [one for one in axes.patches if one.get_gid()]
            loads = drawn.loads[side]
            assert len(bars) == np.count_nonzero(loads)
            for bar in bars:
                group, pe = map(int, bar.get_gid().split("-")[-2:])
                assert bar.get_width() == loads[group, pe]
            waiting = sum(
                one.get_width()
                for one in axes.patches
                if not one.get_gid() and not one.get_hatch()
            )
            assert waiting == (layer.before, layer.after)[side].idle_unbalanced


def test_many_bars_become_a_picture_of_the_same(report, monkeypatch):
    """Of pixels as fine as the steps, those that work are the loads."""
    monkeypatch.setattr("hwmodel.figures.load_figure.MOST_BARS", 0)
    drawn = loads_of(report)[0]
    figure = draw_loads([drawn])
    for axes, loads in zip(figure.axes[:2], drawn.loads, strict=False):
        [picture] = axes.images
        opaque = np.asarray(picture.get_array())[..., 3] == 1.0
        assert opaque.sum() == loads.sum()


def test_what_a_figure_leaves_out_is_said(report, monkeypatch):
    """Where there are more layers or bars than a figure takes, it says how many."""
    monkeypatch.setattr("hwmodel.figures.load_figure.MOST_LAYERS", 2)
    loads = loads_of(report)
    assert f"2 of {len(loads)} layers" in draw_loads(loads).get_supylabel()
    assert draw_loads(loads[:2]).get_supylabel() == ""
    use = Use("a", 3.0, {"busy": 3.0}, {"mac": 1.0}, "pJ")
    assert draw_use([use] * 41).axes[0].get_xlabel() == "cycles, the first 40 of 41"
    assert draw_use([use] * 40).axes[0].get_xlabel() == "cycles"


def test_the_uses_of_a_report_add_up():
    """The parts of a bar are all of its energy and all time of its PEs."""
    accelerator = Accelerator.load("sata")
    one = evaluate([LayerWorkload("a", np.eye(16), spike_rate=0.2)], accelerator)
    [use] = uses_of(one)
    assert sum(use.energy.values()) == pytest.approx(one.energy_pj)
    assert sum(use.time.values()) == pytest.approx(one.cycles * accelerator.array.size)


def test_a_name_is_written_as_it_is(tmp_path):
    """Dollars are no formulas, and what no file of XML can hold is left out."""
    names = {"$\\frac{$": np.ones((4, 4)), "<script>\x00": np.eye(4)}
    np.savez(tmp_path / "a.npz", **names)
    report = balance_ticket(tmp_path / "a.npz", budget=4, pes=2)
    plot_loads(report, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "$\\frac{$" in text
    assert "<script>" not in text
    assert not re.search("[\x00-\x08]", text)
    assert len(shown("x" * 100)) == 40


# ------------------------------------------------------------------------ commands


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        (["balance", "--plot", "a.svg"], b"<?xml"),
        (["balance", "--global", "--frontier", "3", "--plot", "a.pdf"], b"%PDF"),
        (["evaluate", "--plot", "a.png"], b"\x89PNG"),
        (["evaluate", "--accelerator", "loas", "--plot", "a.svg"], b"<?xml"),
    ],
)
def test_a_command_draws(options, begins, tmp_path, monkeypatch, capsys):
    """`--plot` writes a file of the kind that its suffix names, and says so."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(options) == 0
    assert (tmp_path / options[-1]).read_bytes().startswith(begins)
    assert f"figure: {options[-1]}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["balance", "evaluate"])
def test_another_kind_of_figure_is_refused(command, tmp_path, monkeypatch, capsys):
    """A suffix that no figure has is wrong usage, before anything is written."""
    monkeypatch.chdir(tmp_path)
    assert cli.main([command, "--plot", "a.gif"]) == 2
    assert "--plot is a.gif; accepted: .svg, .png, .pdf" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_matplotlib_is_said_before_any_work(tmp_path, monkeypatch, capsys):
    """One line says what to install; no masks are written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FigureError):
        check_figure(tmp_path / "a.svg")
    assert cli.main(["balance", "--plot", "a.svg"]) == 1
    error = capsys.readouterr().err
    assert "pip install -e '.[plots]'" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
