"""The command `lottery`: tables, JSON, files, and one clear line for every mistake."""

import json

import pytest

pytest.importorskip("torch")

import cli
from balancer.files.ticket import open_ticket
from snn import LotteryConfig

TINY = (
    *("--network", "8c3-mp2-16c3-mp2-fc10", "--timesteps", "1", "--train-size", "100"),
    *("--epochs", "2", "--sparsities", "0.5,0.9", "--pes", "8"),
)


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *args):
    """Exit status, stdout and stderr of a `lottery`."""
    status = cli.main(["lottery", *(str(arg) for arg in args)])
    return status, *capsys.readouterr()


def test_help_lists_every_field(capsys):
    """Every field of the configuration is an option."""
    with pytest.raises(SystemExit) as exit_:
        run(capsys, "--help")
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    for name in LotteryConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in out


def test_a_run_prints_its_rounds_and_its_ticket(capsys, tmp_path):
    """There is a line for each round, and the last ticket is where it says."""
    status, out, err = run(capsys, *TINY)
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    numbered = [row for row in rows if row[0].isdecimal()]
    assert [row[0] for row in numbered] == ["0", "1", "2"]
    assert all(row[6] == "1.000" for row in numbered)
    [path] = [row[1] for row in rows if row[0] == "ticket:"]
    assert len(open_ticket(tmp_path / path).layers) == 3
    assert "dense -> round 2" in out


def test_a_finished_run_is_shown_again(capsys):
    """The second time the same lines come from the folder, as tables or as JSON."""
    first = run(capsys, *TINY)
    assert run(capsys, *TINY) == first
    status, out, err = run(capsys, *TINY, "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert [one["round"] for one in document["rounds"]] == [0, 1, 2]
    assert document["ticket"] in first[1]
    assert document["config"]["sparsities"] == [0.5, 0.9]


def test_options_go_before_the_file(capsys, tmp_path):
    """A TOML file sets fields, and an option overrides it."""
    file = tmp_path / "run.toml"
    file.write_text(
        'network = "8c3-mp2-fc10"\nepochs = 1\ntrain_size = 100\nseed = 4\n'
        "timesteps = 1\nrounds = 1\nrewind = 0\n"
    )
    status, out, _ = run(capsys, "--config", file, "--seed", 5, "--json")
    config = json.loads(out)["config"]
    assert status == 0
    assert (config["seed"], config["network"], config["rounds"]) == (
        5,
        "8c3-mp2-fc10",
        1,
    )


@pytest.mark.parametrize(
    ("option", "rounds"),
    [(["--rounds", 0], 0), (["--sparsities", "0.6"], 1), (["--seed", 1], 2)],
)
def test_a_schedule_of_the_options_replaces_that_of_the_file(
    capsys, tmp_path, option, rounds
):
    """Rounds go before the sparsities of a file, and sparsities before its rounds."""
    of_file = "rounds = 9" if "--sparsities" in option else "sparsities = [0.5, 0.7]"
    (tmp_path / "run.toml").write_text(of_file)
    tiny = ("--network", "8c3-mp2-fc10", "--epochs", 1, "--rewind", 0)
    tiny = (*tiny, "--train-size", 100, "--timesteps", 1, "--pes", 8)
    status, out, _ = run(capsys, "--config", "run.toml", *tiny, *option, "--json")
    assert status == 0
    assert len(json.loads(out)["rounds"]) == rounds + 1


def test_compare_tabulates_methods(capsys, tmp_path):
    """`--compare` prints every method and writes numbers and curves."""
    args = (*TINY, "--compare", "lth,optimal", "--seeds", 2)
    status, out, err = run(capsys, *args)
    assert status == 0
    assert err.count("\n") == 4
    assert "Differences to lth at equal cycles" in out
    written = [
        tmp_path / line.split()[1] for line in out.splitlines() if "written:" in line
    ]
    assert [path.suffix for path in written] == [".json", ".csv", ".md", ".svg"]
    assert all(path.stat().st_size for path in written)
    document = json.loads(written[0].read_text())
    assert len(document["summaries"]) == 2 * 3
    assert document["corrected_for"] == {"rounds": [2], "differences": 1}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--epochs", "many"], "epochs is 'many'"),
        (["--method", "magic"], "accepted: latency, lth"),
        (["--sparsities", "0.9,0.5"], "must rise"),
        (["--map", "spiral"], "unknown PE map"),
        (["--rounds", "2", "--sparsities", "0.5"], "leave one out"),
        (["--rewind", "40"], "rewind to an earlier one"),
        (["--rewind", "1.5"], "a whole epoch"),
        (["--validation", "0", "--early-stopping", "3"], "needs validation images"),
        (["--seeds", "3"], "--seeds goes with --compare"),
        (["--compare", "lth", "--seeds", "0"], "--seeds is 0"),
        (["--compare", "lth", "--jobs", "0"], "--jobs is 0"),
        (["--compare", "lth", "--plot", "x.gif"], "accepted: .svg, .png, .pdf"),
        (["--compare", "lth", "--restart"], "--compare goes on with its runs"),
        (["--resume", "--restart"], "not allowed with"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_bad_usage_is_one_line(capsys, tmp_path, args, said):
    """Wrong options end with status 2, one line, and no file."""
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--network", "vgg99"], "accepted: conv3"),
        (["--network", "vgg16"], "vgg16"),
        (["--dataset", "faces"], "faces"),
        (["--accelerator", "abacus"], "abacus"),
        (["--train-size", "5"], "train_size"),
        (["--method", "latency", "--map", "2:4"], "cycles are not known"),
        (["--method", "latency", "--accelerator", "loas"], "slice costs"),
        (["--compare", "lth,lth"], "each once"),
    ],
)
def test_work_that_fails_is_one_line(capsys, tmp_path, args, said):
    """What cannot be run ends with status 1 and one line, and leaves no run folder."""
    status, out, err = run(capsys, "--epochs", 2, *args)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))


def test_a_file_with_an_unknown_field_is_named(capsys, tmp_path):
    """An error in a configuration file names the file and what is accepted."""
    (tmp_path / "run.toml").write_text("speed = 3\n")
    status, _, err = run(capsys, "--config", "run.toml")
    assert status == 2
    assert err.startswith(
        "balanced-sparsity: error: run.toml: no field is named 'speed'"
    )


def test_a_file_with_two_schedules_is_refused(capsys, tmp_path):
    """Rounds beside sparsities would say nothing, so they are not read over."""
    (tmp_path / "run.toml").write_text("prune_rate = 0.5\nsparsities = [0.5]\n")
    status, _, err = run(capsys, "--config", "run.toml")
    assert status == 2
    assert err.startswith(
        "balanced-sparsity: error: run.toml: prune_rate and sparsities are given"
    )


def test_rounds_fit_a_terminal(capsys, monkeypatch):
    """In 80 columns the rows fit, and what has no room is named."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsys, *TINY)
    lines = out.splitlines()
    assert lines[1].startswith("Left out at 80 columns: spikes, worst layer, effect")
    assert max(map(len, lines[2:6])) <= 80
    assert {len(line) for line in lines[2:6]} == {len(lines[2])}


def test_ctrl_c_says_how_to_resume(capsys, monkeypatch):
    """Status 130, and the option that goes on with the rounds that are done."""

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("snn.lottery.run.run_lottery", interrupted)
    for args, said in (
        ((), "go on with the same options and --resume"),
        (("--restart",), "and --resume instead of --restart"),
        (("--resume",), "the same command goes on where it stopped"),
    ):
        status, _, err = run(capsys, *TINY, *args)
        assert status == 130
        assert said in err


def test_a_run_that_would_empty_a_layer_is_refused_before_it_begins(capsys, tmp_path):
    """The last sparsity has to leave a slice to every layer, or `--allow-empty`."""
    far = (*TINY[:-3], "0.999", *TINY[-2:])
    status, _, err = run(capsys, *far)
    assert status == 1
    assert "need at least" in err
    assert not list(tmp_path.rglob("round-*"))
