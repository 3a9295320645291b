"""Variants of methods: what a label says is what is run, and how it is shown."""

import csv
import io
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import cli
from balancer.network.layer_counts import Budgets
from snn.commands.comparison_tables import comparison_notes, sections
from snn.lottery.comparison import MethodComparison
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import ConfigError, LotteryConfig
from snn.lottery.plots import plot_comparison
from snn.lottery.run import run_lottery
from snn.lottery.run_comparison import compare_methods
from snn.lottery.statistics import report
from snn.lottery.store import RunFolder
from snn.lottery.variants import SHARED, parse_variant, variant_configs

LABELS = ("lth", "lth:budgets=lamp", "optimal:score=gradient:live-paths")
TINY = LotteryConfig.of(
    {
        "network": "4c3-mp2-fc10",
        "timesteps": 1,
        "epochs": 2,
        "train_size": 100,
        "sparsities": (0.5, 0.8),
        "pes": 4,
    }
)
FLAGS = sorted(
    name
    for name, field in LotteryConfig.model_fields.items()
    if field.annotation is bool and name not in SHARED
)
given_settings = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.booleans() for name in FLAGS},
        "budgets": st.sampled_from(get_args(Budgets)),
        "score": st.sampled_from(["magnitude", "gradient", "taylor", "rate"]),
        "map": st.sampled_from(["output_channel", "kernel:2", "2:4", "grid:4x8"]),
        "pes": st.integers(1, 64).map(str),
        "learning_rate": st.sampled_from(["0.1", "1e-3"]),
    },
)


# --- Labels ----------------------------------------------------------------------


@given(given_settings, st.randoms())
def test_a_label_says_its_settings(settings, random):
    """Flags, ``no-`` flags and values are read back, with either kind of hyphen."""
    parts = []
    for name, value in settings.items():
        if isinstance(value, bool):
            text = name if value else f"no_{name}"
        else:
            text = f"{name}={value}"
        head, *rest = text.split("=")
        parts.append("=".join([head.replace("_", random.choice("-_")), *rest]))
    label = ":".join(["optimal", *parts])
    assert parse_variant(label) == {"method": "optimal", **settings}


@pytest.mark.parametrize(
    ("label", "said"),
    [
        *(
            (f"lth:{name.replace('_', '-')}=1", "same for all")
            for name in sorted(SHARED)
        ),
        ("lth:method=optimal", "'method' is given twice"),
        ("lth:pes=4:pes=8", "'pes' is given twice"),
        ("lth:revive:no-revive", "'no-revive' is given twice"),
        ("lth:live-pahts", "'live-pahts' is no setting"),
        ("lth:", "'' is no setting"),
        ("lth:no-budgets", "'no-budgets' needs a value"),
        ("lth:score", "'score' needs a value"),
    ],
)
def test_what_a_label_cannot_say(label, said):
    """Shared, unknown, repeated and missing settings are named, in one line."""
    with pytest.raises(ComparisonError, match=said) as refused:
        parse_variant(label)
    assert repr(label) in str(refused.value)
    assert "accepted: METHOD:FIELD=VALUE" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_variants_go_before_what_they_have_in_common():
    """A setting of a variant counts, whatever the common one is."""
    made = variant_configs(
        {"budgets": "erk", "live_paths": True, "seed": 3},
        ["optimal", "optimal:budgets=lamp", "latency:no-live-paths"],
    )
    assert {
        label: (one.method, one.budgets, one.live_paths, one.seed)
        for label, one in made.items()
    } == {
        "optimal": ("optimal", "erk", True, 3),
        "optimal:budgets=lamp": ("optimal", "lamp", True, 3),
        "latency:no-live-paths": ("latency", "erk", False, 3),
    }


@pytest.mark.parametrize(
    "labels",
    [
        ("lth", "lth:budgets=global"),
        ("optimal:pes=8:revive", "optimal:revive=true:pes=8"),
    ],
)
def test_two_labels_for_one_run_are_refused(labels):
    """A run that takes part twice would be compared with itself."""
    with pytest.raises(ComparisonError, match="are the same run"):
        variant_configs({}, labels)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("magic", "'magic': method|'magic': .*accepted"),
        ("lth:score=best", "'lth:score=best': score is 'best'"),
        ("optimal:growth=gradient", "growth is gradient.*give revive too"),
    ],
)
def test_values_that_no_run_can_have_are_named_with_their_variant(label, said):
    """Of several labels, the error says which is wrong."""
    with pytest.raises(ConfigError, match=said):
        variant_configs({}, ["lth", label])


# --- Runs ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return compare_methods(TINY, LABELS, (0, 1), root=root), root


def test_a_variant_is_the_run_of_its_settings(finished, tmp_path):
    """What is compared is what `run_lottery` gives with the label's settings."""
    comparison, _ = finished
    assert [(run.method, run.seed) for run in comparison.runs] == [
        (label, seed) for label in LABELS for seed in (0, 1)
    ]
    settings = {"method": "optimal", "score": "gradient", "live_paths": True}
    alone = run_lottery(
        LotteryConfig.of(TINY.model_dump() | settings | {"seed": 1}), root=tmp_path
    )
    assert comparison.of(LABELS[2])[1].outcomes == alone.outcomes
    nonzeros = {
        label: [layer.nonzeros for layer in runs[0].outcomes[-1].layers]
        for label in LABELS
        if (runs := comparison.of(label))
    }
    assert nonzeros["lth"] != nonzeros["lth:budgets=lamp"]


def test_labels_are_shown_everywhere(finished, tmp_path):
    """Tables, rows, JSON and the figure call a variant by its label."""
    comparison, _ = finished
    read = csv.DictReader(io.StringIO(comparison.to_csv()))
    assert list(dict.fromkeys(row["method"] for row in read)) == list(LABELS)
    assert MethodComparison.from_dict(json.loads(comparison.to_json())) == comparison
    known = report(comparison)
    assert {pair["method"] for pair in known["paired"]} == set(LABELS[1:])
    assert {one["method"] for one in known["summaries"]} == set(LABELS)
    for _, table in sections(comparison, [-1]):
        assert {row[0] for row in table.rows} >= set(LABELS[1:])
    plot_comparison(comparison, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text()
    assert all(f">{label}<" in drawn for label in LABELS)


def test_variants_run_once(finished):
    """A comparison with one more variant reads the others' runs."""
    comparison, root = finished
    tickets = {path: path.stat().st_mtime_ns for path in root.rglob("round-*")}
    again = compare_methods(TINY, (*LABELS[:2], "lth:pes=2"), (0, 1), root=root)
    assert again.of("lth:budgets=lamp") == comparison.of("lth:budgets=lamp")
    assert {path: path.stat().st_mtime_ns for path in tickets} == tickets
    assert len(list(root.rglob("round-*"))) == len(tickets) + 2 * 3


def test_a_failing_variant_is_named(tmp_path):
    """A run that fails says by its label which it was; the others are kept."""
    settings = {"method": "lth", "budgets": "lamp", "seed": 0}
    given = TINY.model_dump(exclude_unset=True)
    folder = RunFolder.of(LotteryConfig.of(given | settings), tmp_path)
    folder.path.mkdir()
    folder.begin()
    folder.ticket_path(0).write_bytes(b"no ticket")
    comparison = compare_methods(TINY, LABELS[:2], [0], root=tmp_path)
    (failure,) = comparison.failures
    assert str(failure).startswith("lth:budgets=lamp, seed 0: ")
    assert [run.method for run in comparison.runs] == ["lth"]
    assert any(
        "lth:budgets=lamp, seed 0" in one for one in comparison_notes(comparison)
    )


def test_the_command_compares_variants(capsys, tmp_path, monkeypatch):
    """Labels come in a list with commas; a wrong one is one line, before any run."""
    monkeypatch.chdir(tmp_path)
    options = (
        *("--network", "4c3-mp2-fc10", "--timesteps", "1", "--epochs", "1"),
        *("--rewind", "0", "--train-size", "50", "--sparsities", "0.5", "--pes", "4"),
        *("--seeds", "1", "--json"),
    )
    given = ["lottery", *options, "--compare", "lth, lth:budgets=lamp"]
    assert cli.main(given) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["methods"] == ["lth", "lth:budgets=lamp"]
    known = set(tmp_path.rglob("*"))
    assert cli.main([*given[:-1], "lth,lth:seed=4"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'lth:seed=4': 'seed' is the same for all runs" in said
    assert set(tmp_path.rglob("*")) == known
