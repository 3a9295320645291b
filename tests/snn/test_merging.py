"""Comparisons of several machines, merged, are the one that a single machine makes."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import cli
from snn.lottery.comparison import Failure, MethodComparison
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import LotteryConfig
from snn.lottery.merging import merge_comparisons, read_comparison
from snn.lottery.run_comparison import compare_methods

METHODS = ("lth", "optimal:budgets=lamp")
TINY = {
    "network": "4c3-mp2-fc10",
    "timesteps": 1,
    "epochs": 1,
    "rewind": 0,
    "train_size": 60,
    "sparsities": (0.5, 0.8),
    "pes": 4,
}
OPTIONS = [
    part
    for name, value in TINY.items()
    for part in (
        f"--{name.replace('_', '-')}",
        ",".join(map(str, value)) if isinstance(value, tuple) else str(value),
    )
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return compare_methods(LotteryConfig.of(TINY), METHODS, range(4), root=root)


def part(comparison, seeds, **fields):
    """What a machine with some of the seeds has."""
    runs = tuple(run for run in comparison.runs if run.seed in seeds)
    return replace(comparison, seeds=tuple(seeds), runs=runs, **fields)


@given(st.data())
def test_parts_in_any_order_are_the_whole(whole, data):
    """However the seeds are spread, and some of them given twice, nothing differs."""
    machines = data.draw(st.integers(1, 3))
    homes = [
        data.draw(st.sets(st.integers(0, machines - 1), min_size=1))
        for _ in whole.seeds
    ]
    parts = [
        part(whole, [seed for seed in whole.seeds if machine in homes[seed]])
        for machine in range(machines)
    ]
    parts = [one for one in parts if one.seeds]
    assert merge_comparisons(*data.draw(st.permutations(parts))) == whole


def test_other_places_of_the_same_data_are_no_difference(whole):
    """A data set may lie elsewhere; the first comparison says where it is."""
    here = whole.config.model_copy(update={"dataset": "/a/digits", "data_folder": "/a"})
    there = whole.config.model_copy(update={"dataset": "/b/digits", "seed": 7})
    merged = merge_comparisons(
        part(whole, (0, 1), config=here), part(whole, (2, 3), config=there)
    )
    assert merged.config == here
    assert merged.runs == whole.runs


def test_a_run_that_one_has_is_not_missing(whole):
    """A failure counts only where no other machine has the run."""
    failures = (Failure("lth", 1, "killed"), Failure("lth", 5, "killed"))
    broken = part(whole, (1, 5), failures=failures)
    broken = replace(broken, runs=broken.runs[1:])
    assert [run.method for run in broken.runs] == [METHODS[1]]
    for parts in ((broken, part(whole, (0, 1))), (part(whole, (0, 1)), broken)):
        merged = merge_comparisons(*parts)
        assert merged.seeds == (0, 1, 5)
        assert merged.failures == failures[1:]
        assert merged.of("lth")[1] == whole.of("lth")[1]


def otherwise(run):
    last = replace(run.outcomes[-1], accuracy=0.123)
    return replace(run, outcomes=(*run.outcomes[:-1], last))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: replace(c, methods=c.methods[::-1]), "the same methods in the same"),
        (lambda c: replace(c, methods=c.methods[:1]), "the same methods"),
        (
            lambda c: replace(c, config=c.config.model_copy(update={"epochs": 3})),
            r"differ in epochs \(1, 3\)",
        ),
        (
            lambda c: replace(
                c, config=c.config.model_copy(update={"dataset": "/a/mnist"})
            ),
            r"differ in dataset \(digits, mnist\)",
        ),
        (
            lambda c: replace(c, runs=(*c.runs[:-1], otherwise(c.runs[-1]))),
            "optimal:budgets=lamp, seed 3 has several outcomes",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(whole, change, said):
    """Other methods, settings or outcomes are named, and in one line."""
    with pytest.raises(ComparisonError, match=said) as refused:
        merge_comparisons(whole, change(whole))
    assert "\n" not in str(refused.value)


def test_nothing_is_no_comparison():
    """At least one comparison is needed."""
    with pytest.raises(ComparisonError, match="give one at least"):
        merge_comparisons()


@pytest.mark.parametrize(
    "text", [None, "", "[1, 2]", '{"seeds": [0]}', '{"config": {"speed": 1}}', "\0"]
)
def test_other_files_are_named(tmp_path, text):
    """A file that is not there, or holds something else, is one line with its name."""
    file = tmp_path / "comparison.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ComparisonError, match=r"comparison\.json: ") as refused:
        read_comparison(file)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"methods": []},
        {"methods": [["lth"], "optimal"]},
        {"seeds": ["0"]},
        {"failures": [{"method": "lth", "seed": 0, "error": 3}]},
        {"failures": [{"method": "unknown", "seed": 0, "error": "e"}]},
        {"runs": [{"method": "lth", "seed": 0, "rounds": []}]},
        {"runs": [{"method": "lth", "seed": 99, "rounds": []}]},
    ],
)
def test_runs_that_do_not_take_part_are_no_comparison(whole, tmp_path, change):
    """Other methods and seeds, and rounds that are missing, are one line."""
    file = tmp_path / "comparison.json"
    file.write_text(json.dumps(whole.to_dict()))
    assert read_comparison(file) == whole
    file.write_text(json.dumps(whole.to_dict() | change))
    with pytest.raises(ComparisonError, match=r"comparison\.json: is no comparison"):
        read_comparison(file)


def test_a_comparison_of_failures_alone_has_an_empty_table(whole):
    """Nothing that ended well is no row, and no error."""
    assert replace(whole, runs=()).to_csv() == ""


# --- The command -----------------------------------------------------------------


def run(capsys, *args):
    status = cli.main(["lottery", *(str(arg) for arg in args), "--json"])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_merges_files(capsys, tmp_path, monkeypatch):
    """Two machines' files give the numbers, tables and curves of one with all seeds."""
    monkeypatch.chdir(tmp_path)
    compare = [*OPTIONS, "--compare", ",".join(METHODS)]
    files = []
    for folder, seed, many in (("one", 0, 1), ("two", 1, 2), ("all", 0, 3)):
        given = [*compare, "--seed", seed, "--seeds", many, "--out", folder]
        status, out, _ = run(capsys, *given)
        assert status == 0
        files.append(json.loads(out)["outputs"])
    status, out, err = run(
        capsys, "--merge", files[1][0], files[0][0], "--out", "merged"
    )
    assert (status, err) == (0, "")
    document, expected = (
        json.loads(out),
        json.loads((tmp_path / files[2][0]).read_text()),
    )
    for name in ("methods", "seeds", "runs", "failures", "summaries", "paired"):
        assert document[name] == expected[name], name
    for merged, made in zip(document["outputs"][1:], files[2][1:], strict=True):
        assert (tmp_path / merged).read_bytes() == (tmp_path / made).read_bytes()
    again = MethodComparison.from_dict(document)
    assert read_comparison(tmp_path / document["outputs"][0]) == again
    status, _, err = run(capsys, "--merge", files[0][0], "--epochs", 3)
    assert status == 2
    assert "--epochs does not go with --merge" in err
    status, _, err = run(capsys, "--merge", files[0][0], "nowhere.json")
    assert (status, err.count("\n")) == (1, 1)
    assert "nowhere.json: No such file" in err


@pytest.mark.parametrize(
    "option", ["--compare=lth", "--jobs=2", "--seeds=2", "--resume"]
)
def test_options_that_would_say_nothing_are_refused(capsys, option):
    """What is merged has been run: options for running are a mistake."""
    status, out, err = run(capsys, "--merge", "a.json", option)
    assert (status, out) == (2, "")
    assert f"{option.partition('=')[0]} does not go with --merge" in err
