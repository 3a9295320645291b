"""Comparisons: honest statistics of runs that are done once."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from hwmodel.commands.console import to_markdown
from hwmodel.commands.text_tables import TextTable
from hwmodel.figures.styles import METHODS as PRUNERS
from hwmodel.figures.styles import line_styles
from snn.commands.comparison_tables import (
    comparison_markdown,
    comparison_notes,
    differences_table,
    methods_table,
)
from snn.lottery.comparison import (
    ComparisonError,
    Failure,
    MethodComparison,
    Run,
)
from snn.lottery.config import ConfigError, LotteryConfig
from snn.lottery.interpolation import accuracy_at
from snn.lottery.plots import plot_comparison
from snn.lottery.results import LayerOutcome, RoundOutcome
from snn.lottery.round_figure import plot_rounds
from snn.lottery.run import run_lottery
from snn.lottery.run_comparison import compare_methods
from snn.lottery.spread import holm
from snn.lottery.statistics import (
    EqualQuantity,
    compare_all,
    compare_pairs,
    nearest_rounds,
    report,
    summarize,
)
from snn.lottery.store import RunFolder

METHODS = ("lth", "optimal")
SEEDS = (0, 1)
TINY = LotteryConfig.of(
    {
        "network": "4c3-mp2-fc10",
        "timesteps": 1,
        "epochs": 2,
        "train_size": 100,
        "sparsities": (0.5, 0.8, 0.9),
        "pes": 4,
    }
)
accuracies = st.floats(0, 1)


def outcome(number=0, accuracy=0.5, nonzeros=100, cycles=100.0, **fields):
    layer = LayerOutcome(
        *("conv", 200, nonzeros), 0.9, 1.0, kept_fraction=1.0, **costs(cycles)
    )
    known = {
        "round": number,
        "timesteps": 4,
        "sparsity": 1 - nonzeros / 200,
        "nonzeros": nonzeros,
        "accuracy": accuracy,
        "loss": 1.0,
        "validation_accuracy": None,
        "kept_fraction": 1.0,
        "utilization": 0.9,
        "eta": 0.9,
        "spike_rate": 0.1,
        "cycles": cycles,
        "idle_cycles": cycles,
        "energy": None if cycles is None else 10 * cycles,
        "energy_unit": "pJ",
        "epochs": 2,
        "layers": (layer,),
    }
    return RoundOutcome(**known | fields)


def costs(cycles):
    return {"spike_rate": None, "cycles": cycles, "energy": cycles}


def made_up(curves):
    """Compare methods of which each seed has (accuracy, non-zeros, cycles) a round."""
    runs = [
        Run(
            method,
            seed,
            tuple(outcome(number, *point) for number, point in enumerate(points)),
        )
        for method, seeds in curves.items()
        for seed, points in enumerate(seeds)
    ]
    rounds = len(runs[0].outcomes) - 1
    sparsities = tuple(1 - 0.5**number for number in range(1, rounds + 1))
    config = LotteryConfig.of({"sparsities": sparsities})
    seeds = tuple({run.seed: None for run in runs})
    return MethodComparison(config, tuple(curves), seeds, tuple(runs))


def accuracies_only(**curves):
    """Compare methods of one round by their accuracies, a number for each seed."""
    return made_up(
        {
            method: [[(0.9, 200, 200.0), (one, 100, 100.0)] for one in values]
            for method, values in curves.items()
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return compare_methods(TINY, METHODS, SEEDS, root=root), root


# --- Statistics ------------------------------------------------------------------


def test_paired_difference_worked_by_hand():
    """Differences of 1, 2 and 3 points: 2 points, more or less 4.303 / sqrt(3)."""
    comparison = accuracies_only(lth=(0.5, 0.7, 0.6), optimal=(0.51, 0.72, 0.63))
    pair = compare_pairs(comparison, "optimal", 1)
    half = 0.01 * 4.30265 / math.sqrt(3)
    assert pair.n == 3
    assert pair.difference.mean == pytest.approx(0.02)
    assert pair.difference.sd == pytest.approx(0.01)
    assert pair.interval == pytest.approx((0.02 - half, 0.02 + half), abs=1e-7)
    assert pair.p == pytest.approx(0.0742, abs=1e-4)  # t = 2 sqrt(3), 2 degrees
    assert pair.p_holm is None


@given(st.lists(accuracies, min_size=1, max_size=4))
def test_no_method_differs_from_itself(values):
    """Whatever is equal, the difference of a method to itself is exactly 0."""
    comparison = accuracies_only(lth=values)
    for basis in get_args(EqualQuantity):
        for number in comparison.rounds:
            pair = compare_pairs(comparison, "lth", number, basis)
            assert pair.difference.mean == 0
            assert (
                pair.accuracy == summarize(comparison, "lth", number).values["accuracy"]
            )
    assert compare_pairs(comparison, "lth", 1).cycles_saved.mean == 0


def test_differences_are_corrected_for_those_beside_them():
    """Of two methods and two rounds there are four; one alone is not corrected."""
    values = [0.5, 0.7, 0.6, 0.65]
    curves = {
        "lth": [[(0.9, 200, 9.0), (v, 100, 8.0), (v, 50, 7.0)] for v in values],
        "optimal": [
            [(0.9, 200, 9.0), (v + 0.01 * k, 100, 8.0), (v + 0.02, 50, 7.0 + k)]
            for k, v in enumerate(values, 1)
        ],
        "latency": [
            [(0.9, 200, 9.0), (v - 0.01 * k, 100, 8.0), (v + 0.01 * (k - 2), 50, 7.0)]
            for k, v in enumerate(values, 1)
        ],
    }
    comparison = made_up(curves)
    pairs = compare_all(comparison, "sparsity", [1, 2])
    assert [(one.method, one.round) for one in pairs] == [
        *(("optimal", 1), ("latency", 1), ("optimal", 2), ("latency", 2))
    ]
    assert [one.p_holm for one in pairs] == holm([one.p for one in pairs])
    assert pairs[0].p_holm > pairs[0].p
    (alone,) = compare_all(
        made_up({m: curves[m] for m in ("lth", "optimal")}), "cycles", [1]
    )
    assert alone.p_holm == alone.p
    known = report(comparison, [1, 2])
    assert known["corrected_for"] == {"rounds": [1, 2], "differences": 4}
    found = {
        (one["basis"], one["method"], one["round"]): one["p_holm"]
        for one in known["paired"]
    }
    for one in pairs:
        assert found["sparsity", one.method, one.round] == one.p_holm
    assert found["sparsity", "optimal", 0] is None
    shown = [f"{one.p_holm:.3f}".replace("0.000", "<0.001") for one in pairs]
    table = differences_table(comparison, rounds=[1, 2])
    assert [row[table.header.index("p")] for row in table.rows] == shown
    assert "its table, 4 where" in comparison_markdown(comparison, [1, 2], "c.svg")
    assert not any(
        "Holm" in n for n in comparison_notes(made_up({"lth": curves["optimal"]}))
    )


def test_one_seed_has_no_interval():
    """A single pair gives a difference, no interval, and a note that says so."""
    comparison = accuracies_only(lth=(0.5,), optimal=(0.6,))
    pair = compare_pairs(comparison, "optimal", 1)
    assert pair.difference.mean == pytest.approx(0.1)
    assert pair.interval is None
    assert pair.difference.sd is None
    assert any("One seed" in note for note in comparison_notes(comparison))


def test_pairs_are_seeds_that_both_have():
    """A failed run leaves out its seed, of the other method too."""
    comparison = accuracies_only(lth=(0.5, 0.9), optimal=(0.6, 0.1))
    kept = tuple(r for r in comparison.runs if (r.method, r.seed) != ("optimal", 1))
    failure = Failure("optimal", 1, "out of memory")
    pair = compare_pairs(
        replace(comparison, runs=kept, failures=(failure,)), "optimal", 1
    )
    assert (pair.n, pair.difference.mean) == (1, pytest.approx(0.1))


def test_savings_are_relative_to_the_reference():
    """A method with 60 of 80 cycles saves a quarter of them, seed by seed."""
    comparison = made_up(
        {
            "lth": [[(0.9, 200, 100.0), (0.8, 100, 80.0)]] * 2,
            "optimal": [
                [(0.9, 200, 100.0), (0.8, 100, 60.0)],
                [(0.9, 200, 100.0), (0.8, 100, 40.0)],
            ],
        }
    )
    pair = compare_pairs(comparison, "optimal", 1)
    assert pair.cycles_saved.mean == pytest.approx((0.25 + 0.5) / 2)
    assert pair.energy_saved == pytest.approx(pair.cycles_saved)


# --- Interpolation ---------------------------------------------------------------


@st.composite
def falling_curves(draw):
    """Rounds with fewer and fewer cycles, and any accuracies."""
    cycles = draw(st.lists(st.integers(1, 10**6), min_size=2, max_size=6, unique=True))
    return [
        outcome(number, draw(accuracies), each, float(each))
        for number, each in enumerate(sorted(cycles, reverse=True))
    ]


@given(falling_curves(), st.floats(0, 2e6))
def test_interpolation_keeps_to_what_was_measured(outcomes, x):
    """Measured points are exact, between them is between them, outside is nothing."""
    for one in outcomes:
        assert accuracy_at(outcomes, "cycles", one.cycles, 4) == one.accuracy
    found = accuracy_at(outcomes, "cycles", x, 4)
    inside = outcomes[-1].cycles <= x <= outcomes[0].cycles
    assert (found is not None) == inside
    if inside:
        after = next(n for n, one in enumerate(outcomes) if one.cycles <= x)
        ends = [one.accuracy for one in outcomes[max(after - 1, 0) : after + 1]]
        assert min(ends) - 1e-12 <= found <= max(ends) + 1e-12


def test_interpolation_is_linear_in_the_logarithm():
    """Half way from 100 to 400 cycles, by ratio, are 200."""
    outcomes = [outcome(0, 0.9, cycles=400.0), outcome(1, 0.5, cycles=100.0)]
    assert accuracy_at(outcomes, "cycles", 200.0, 4) == pytest.approx(0.7)


def test_interpolation_takes_the_first_passage():
    """Where later rounds take more cycles again, the earlier round is read."""
    outcomes = [
        outcome(number, accuracy, cycles=cycles)
        for number, (accuracy, cycles) in enumerate(
            [(0.9, 400.0), (0.8, 100.0), (0.2, 400.0), (0.1, 100.0)]
        )
    ]
    assert accuracy_at(outcomes, "cycles", 200.0, 4) == pytest.approx(0.85)
    assert accuracy_at(outcomes, "cycles", 400.0, 4) == 0.9


def test_no_interpolation_between_numbers_of_time_steps():
    """Between rounds of which one ran with fewer time steps nothing is read."""
    outcomes = [
        outcome(0, 0.9, cycles=400.0),
        outcome(1, 0.8, cycles=200.0, timesteps=2),
        outcome(2, 0.7, cycles=100.0),
    ]
    assert accuracy_at(outcomes, "cycles", 300.0, 4) is None
    assert accuracy_at(outcomes, "cycles", 200.0, 4) is None
    assert accuracy_at(outcomes, "cycles", 100.0, 4) == 0.7


def test_equal_cycles_and_nonzeros_worked_by_hand():
    """A balanced method is read where it takes the reference's cycles or non-zeros."""
    comparison = made_up(
        {
            "lth": [[(0.9, 200, 100.0), (0.6, 100, 80.0), (0.3, 50, 60.0)]],
            "sparser": [[(0.9, 200, 100.0), (0.8, 80, 60.0), (0.7, 40, 20.0)]],
        }
    )
    equal = compare_pairs(comparison, "sparser", 2, "cycles")
    assert equal.at.mean == 60
    assert equal.difference.mean == pytest.approx(0.8 - 0.3)
    assert compare_pairs(comparison, "sparser", 2, "energy").at.mean == 600
    equal = compare_pairs(comparison, "sparser", 2, "nonzeros")
    share = math.log(50 / 80) / math.log(40 / 80)
    assert equal.at.mean == 50
    assert equal.accuracy.mean == pytest.approx(0.8 - share * 0.1)


def test_energy_is_a_quantity_of_its_own():
    """A method with the cycles of the reference may need another energy."""
    comparison = made_up(
        {name: [[(0.9, 200, 100.0), (0.6, 100, 50.0)]] for name in METHODS}
    )
    first, second = comparison.runs
    frugal = replace(second.outcomes[1], energy=250.0)
    second = replace(second, outcomes=(second.outcomes[0], frugal))
    comparison = replace(comparison, runs=(first, second))
    equal = compare_pairs(comparison, "optimal", 1, "energy")
    share = math.log(500 / 1000) / math.log(250 / 1000)
    assert equal.at.mean == 500
    assert equal.difference.mean == pytest.approx(0.9 - 0.3 * share - 0.6)
    assert compare_pairs(comparison, "optimal", 1, "cycles").difference.mean == 0


def test_reference_is_read_where_the_method_has_more():
    """A method with more non-zeros than the reference is compared at its own."""
    comparison = made_up(
        {
            "lth": [[(0.9, 400, 9.0), (0.6, 100, 9.0)]],
            "denser": [[(0.9, 400, 9.0), (0.8, 200, 9.0)]],
        }
    )
    equal = compare_pairs(comparison, "denser", 1, "nonzeros")
    assert equal.at.mean == 200
    assert equal.difference.mean == pytest.approx(0.8 - 0.75)


def test_nothing_is_compared_at_unknown_cycles():
    """Without cycles there is no difference at equal cycles and nothing saved."""
    comparison = made_up(
        {name: [[(0.9, 200, None), (0.8, 100, None)]] for name in METHODS}
    )
    equal = compare_pairs(comparison, "optimal", 1, "cycles")
    assert (equal.at, equal.difference, equal.interval) == (None, None, None)
    assert compare_pairs(comparison, "optimal", 1).energy_saved is None


def test_nearest_rounds():
    """Rounds are found by the weights that are left, each once."""
    comparison = made_up({"lth": [[(0.9, 200, 9.0)] * 5]})
    assert nearest_rounds(comparison, [0.9, 0.49, 0.52, 0.0]) == [0, 1, 3]
    with pytest.raises(ComparisonError, match="accepted: from 0"):
        nearest_rounds(comparison, [1.0])


# --- Running ---------------------------------------------------------------------


def test_runs_are_those_of_run_lottery(finished, tmp_path):
    """A comparison holds what each run by itself gives, method by method."""
    comparison, _ = finished
    assert [(r.method, r.seed) for r in comparison.runs] == [
        (method, seed) for method in METHODS for seed in SEEDS
    ]
    config = LotteryConfig.of(TINY.model_dump() | {"method": "optimal", "seed": 1})
    alone = run_lottery(config, root=tmp_path)
    assert comparison.of("optimal")[1].outcomes == alone.outcomes


def test_processes_do_not_change_the_results(finished, tmp_path):
    """Two runs at a time give what one after the other gives."""
    told = []
    both = compare_methods(
        TINY, METHODS, SEEDS, root=tmp_path, jobs=2, progress=told.append
    )
    assert both == finished[0]
    assert [each.done for each in told] == [1, 2, 3, 4]
    assert told[-1].seconds_left == 0


def test_finished_runs_are_not_done_again(finished):
    """A repeated comparison changes no file but the locks, and tells of every run."""
    comparison, root = finished

    def files():
        return {
            path: path.stat().st_mtime_ns
            for path in root.rglob("*.*")
            if path.is_file() and path.name != "lock"
        }

    before, told = files(), []
    again = compare_methods(TINY, METHODS, SEEDS, root=root, progress=told.append)
    assert again == comparison
    assert files() == before
    assert [each.ended for each in told] == sorted(
        comparison.runs, key=lambda run: run.seed
    )


def test_stopped_comparison_goes_on(finished, tmp_path):
    """After an interrupt the finished run is only read, and the result the same."""

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_methods(TINY, METHODS, SEEDS, root=tmp_path, progress=interrupt)
    reports = list(tmp_path.rglob("report.json"))
    assert len(reports) == 1
    written = reports[0].stat().st_mtime_ns
    assert compare_methods(TINY, METHODS, SEEDS, root=tmp_path) == finished[0]
    assert reports[0].stat().st_mtime_ns == written


def test_failing_run_is_named_and_others_are_kept(tmp_path):
    """One run whose ticket is no file of tickets fails; the other one is there."""
    config = LotteryConfig.of(
        TINY.model_dump(exclude_unset=True) | {"method": "lth", "seed": 0}
    )
    folder = RunFolder.of(config, tmp_path)
    folder.path.mkdir()
    folder.begin()
    folder.ticket_path(0).write_bytes(b"no ticket")
    comparison = compare_methods(TINY, METHODS, [0], root=tmp_path)
    (failure,) = comparison.failures
    assert str(failure).startswith("lth, seed 0: ")
    assert folder.ticket_path(0).name in failure.error
    assert [run.method for run in comparison.runs] == ["optimal"]
    assert any(str(failure) in note for note in comparison_notes(comparison))
    json.dumps(report(comparison), allow_nan=False)
    with pytest.raises(ComparisonError, match="every run failed"):
        compare_methods(TINY, ["lth"], [0], root=tmp_path)


@pytest.mark.parametrize(
    ("methods", "seeds", "jobs", "said"),
    [
        ([], [0], 1, "`methods`"),
        (["lth", "lth"], [0], 1, "each once"),
        (["lth"], [], 1, "`seeds`"),
        (["lth"], [0], 0, "`jobs` is 0"),
        (["magic"], [0], 1, "accepted"),
        (["lth"], [-1], 1, "seed is -1"),
    ],
)
def test_bad_comparisons_are_refused(tmp_path, methods, seeds, jobs, said):
    """What cannot be compared is refused before anything is run."""
    with pytest.raises((ComparisonError, ConfigError), match=said):
        compare_methods(TINY, methods, seeds, root=tmp_path, jobs=jobs)
    assert not list(tmp_path.iterdir())


def test_several_jobs_are_refused_under_torchrun(tmp_path, monkeypatch):
    """The processes of torchrun cannot each start others."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ComparisonError, match="torchrun"):
        compare_methods(TINY, METHODS, SEEDS, root=tmp_path, jobs=2)


# --- Output ----------------------------------------------------------------------


def test_json_round_trip(finished):
    """What JSON holds is the comparison."""
    comparison, _ = finished
    assert MethodComparison.from_dict(json.loads(comparison.to_json())) == comparison


def test_csv_has_a_row_for_each_method_seed_and_round(finished):
    """CSV holds the rows as they are, one for each method, seed and round."""
    comparison, _ = finished
    read = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    expected = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in comparison.rows()
    ]
    assert read == expected
    for row in read:
        assert int(row["dead_weights"]) == int(row["nonzeros"]) - int(row["effective"])
        assert 0 < int(row["smallest_layer"]) < int(row["nonzeros"])
        assert float(row["validation_accuracy"]) > 0
    assert [(row["method"], int(row["seed"]), int(row["round"])) for row in read] == [
        (method, seed, number)
        for method in METHODS
        for seed in SEEDS
        for number in range(4)
    ]


def test_report_holds_every_summary_and_pair(finished):
    """The report has a summary for each method and round, and pairs on every basis."""
    comparison, _ = finished
    known = json.loads(json.dumps(report(comparison), allow_nan=False))
    assert len(known["summaries"]) == 2 * 4
    assert len(known["paired"]) == 4 * 1 * 4
    assert known["reference"] == "lth"
    balanced = known["summaries"][-1]["values"]
    last = [run.outcomes[-1] for run in comparison.of("optimal").values()]
    for name, read in {
        "dead_weights": lambda one: one.nonzeros - one.effective,
        "smallest_layer": lambda one: min(layer.nonzeros for layer in one.layers),
        "validation_accuracy": lambda one: one.validation_accuracy,
    }.items():
        assert balanced[name]["mean"] == pytest.approx(np.mean([*map(read, last)]))
    assert balanced["least_utilization"] == {"n": 2, "mean": 1.0, "sd": 0.0}


def test_tables(finished):
    """Tables have a line for each method and round, in cells that all have text."""
    comparison, _ = finished
    table = methods_table(comparison, [1, 3])
    assert [row[0] for row in table.rows] == ["lth", "optimal"] * 2
    assert [row[1][:2] for row in table.rows] == ["50", "50", "90", "90"]
    assert all(cell for row in table.rows for cell in row)
    table = differences_table(comparison, rounds=[3])
    ((method, *cells),) = table.rows
    assert method == "optimal"
    assert all(cells)


def test_table_of_differences_worked_by_hand():
    """Points with their sign, percent, and the interval as text."""
    comparison = accuracies_only(lth=(0.5, 0.7, 0.6), optimal=(0.51, 0.72, 0.63))
    table = differences_table(comparison)
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "method": "optimal",
        "sparsity %": "50.00",
        "pairs": "3",
        "accuracy %": "62.00",
        "difference": "+2.00",
        "95% interval": "-0.48 to +4.48",
        "p": "0.074",
        "cycles saved %": "0.00",
        "energy saved %": "0.00",
    }


def test_markdown():
    """Markdown has a rule below the header, and numbers to the right."""
    table = TextTable(("method", "kept"), [("a|b", "1.0")], ("method",))
    assert to_markdown(table) == "| method | kept |\n| --- | ---: |\n| a\\|b | 1.0 |\n"


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".svg", b"<?xml"), (".png", b"\x89PNG")]
)
def test_figure_is_a_file_of_its_kind(finished, tmp_path, suffix, begins):
    """A figure is written whole, and drawn again it is the same file."""
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    plot_comparison(finished[0], first)
    plot_comparison(finished[0], second)
    assert first.read_bytes().startswith(begins)
    assert first.read_bytes() == second.read_bytes()


def test_the_rounds_of_one_run_are_drawn(finished, tmp_path):
    """The same run gives the same figure, with a panel of cycles where it has any."""
    outcomes = finished[0].runs[0].outcomes
    paths = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in paths:
        plot_rounds(outcomes, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "cycles of one inference" in paths[0].read_text()
    plot_rounds([replace(one, cycles=None) for one in outcomes], paths[0])
    assert "cycles of one inference" not in paths[0].read_text()


def test_figure_without_cycles_has_no_panel_of_them(tmp_path):
    """Where no cycles are known, the figure shows the rest."""
    paths = [tmp_path / "with.svg", tmp_path / "without.svg"]
    for path, cycles in zip(paths, (100.0, None), strict=True):
        points = [(0.9, 200, cycles), (0.8, 100, cycles)]
        plot_comparison(made_up({"lth": [points]}), path)
    assert [path.read_text().count(">test accuracy") for path in paths] == [2, 1]


def test_many_methods_look_different(tmp_path):
    """No two of 32 methods share a style, and long labels do not leave the figure."""
    names = [*PRUNERS, *(f"lth:pes={number}" for number in range(24))]
    assert len(set(line_styles(names).values())) == len(names) >= 32
    points = [(0.9, 200, 100.0), (0.8, 100, 50.0)]
    labels = [f"optimal-order:score=gradient:pes={number}" for number in range(9)]
    path = tmp_path / "many.svg"
    plot_comparison(made_up({label: [points] for label in labels}), path)
    drawn = path.read_text()
    width = float(re.search(r'viewBox="0 0 (\S+)', drawn).group(1))
    for label in labels:
        left = float(re.search(rf' x="([-\d.]+)"[^>]*>{label}<', drawn).group(1))
        assert 0 < left < width - 5 * len(label)


def test_a_method_without_cycles_is_in_the_other_panels(tmp_path):
    """One variant on a PE map that no cycles are known of keeps nobody's away."""
    points = [(0.9, 200, 100.0), (0.8, 100, 50.0)]
    comparison = made_up(
        {"lth": [[(a, n, None) for a, n, _ in points]], "optimal": [points]}
    )
    path = tmp_path / "some.svg"
    plot_comparison(comparison, path)
    drawn = path.read_text()
    assert drawn.count(">test accuracy") == 2
    assert all(f">{name}<" in drawn for name in METHODS)


def test_figure_of_another_kind_is_refused(finished, tmp_path):
    """Other suffixes are refused, saying which are accepted."""
    with pytest.raises(ComparisonError, match=r"\.svg, \.png, \.pdf"):
        plot_comparison(finished[0], tmp_path / "a.jpeg")
