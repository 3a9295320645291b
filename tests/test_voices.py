"""What is said, and where: quiet, verbose, colors, streams that are closed or full."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from missing import without
from rich.cells import cell_len
from safetensors.numpy import save_file

import cli
from hwmodel.commands.console import say, show
from hwmodel.commands.safe_text import LONGEST, in_one_line, printable, shorten
from hwmodel.commands.text_tables import TextTable
from hwmodel.commands.verbosity import quietly

ROOT = Path(cli.__file__).parent


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *args):
    """Exit status, stdout and stderr of a command."""
    status = cli.main([str(arg) for arg in args])
    return status, *capsys.readouterr()


def without_times(text):
    return re.sub(r"[\d.]+ ms", "TIME", text)


def shell(command, **variables):
    """Run a line of shell in which PROGRAM is the command line."""
    program = f"{sys.executable} {ROOT / 'cli.py'}"
    return subprocess.run(
        ["bash", "-c", command.replace("PROGRAM", program)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
    )


# ------------------------------------------------------------- quiet and verbose


def test_quiet_prints_the_result_alone(capsys):
    """With --quiet the table, the costs and the files stay; notes do not."""
    _, full, _ = run(capsys, "balance", "--out", "a")
    status, out, err = run(capsys, "balance", "--out", "a", "--quiet")
    assert (status, err) == (0, "")
    lines = [without_times(line).split() for line in out.splitlines()]
    known = [without_times(line).split() for line in full.splitlines()]
    assert [line for line in known if line in lines] == lines
    assert out.count("→ 1.000") == 5
    assert "masks: a/masks.safetensors" in out
    assert "idle by structure" in full
    assert "idle by structure" not in out
    assert Path("a/report.json").exists()


@pytest.mark.parametrize(
    ("started", "name"),
    [("cli.py", "python cli.py"), ("/opt/bin/balanced-sparsity", "balanced-sparsity")],
)
def test_a_command_to_copy_starts_as_this_one_was_started(
    capsys, monkeypatch, started, name
):
    """From a checkout it names the script, elsewhere the installed command."""
    monkeypatch.setattr(sys, "argv", [started])
    _, out, _ = run(capsys, "balance", "--out", "a")
    assert f"train them: {name} retrain a/masks.safetensors" in out.splitlines()


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_quiet_leaves_what_programs_read_as_it_is(capsys, form):
    """JSON and CSV are the same, and what stands beside CSV on stderr is gone."""
    save_file({"a.weight": np.ones((16, 8))}, "net.safetensors")
    _, out, err = run(capsys, "evaluate", "net.safetensors", form)
    assert run(capsys, "evaluate", "net.safetensors", form, "-q") == (0, out, "")
    assert bool(err) == (form == "--csv")


def test_verbose_says_what_is_decided(capsys):
    """With --verbose stderr names the solver of each layer; stdout is the same."""
    _, plain, nothing = run(capsys, "balance", "--out", "a")
    status, out, err = run(capsys, "balance", "--out", "a", "--verbose")
    assert (status, nothing) == (0, "")
    assert without_times(out).split() == without_times(plain).split()
    for layer in ("classifier", "features.0", "features.3", "features.7"):
        assert re.search(rf"^{layer}: optimal by cp-sat in [\d.]+ ms", err, re.M)
    assert re.search(r"^all of it took [\d.]+ s$", err, re.M)
    assert run(capsys, "balance", "--out", "a", "--json")[2] == ""  # it is over


def test_verbose_names_the_reason_of_a_fallback(capsys):
    """Why another solver answered than the one asked for is on stderr."""
    code = f"import cli\nsys.exit(cli.main({['balance', '--verbose']}))"
    done = subprocess.run(
        [sys.executable, "-c", without("ortools") + code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert re.search(r"^cp-sat has no answer \(.*\); slice-greedy", done.stderr, re.M)
    assert re.search(r"^features.0: .* by greedy in .*ms, gap 0 \(", done.stderr, re.M)


def test_both_are_refused(capsys):
    """Nobody can be quiet and verbose."""
    status, _, err = run(capsys, "balance", "-q", "-v")
    assert status == 2
    assert "not allowed with" in err


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda one: one.name)
def test_every_command_has_the_common_options(capsys, command):
    """What holds for all commands is accepted by each, before and after its name."""
    known = {"export": ["nir"], "retrain": ["m"], "sweep": ["f"], "completion": ["zsh"]}
    args = [command.name, *known.get(command.name, [])]
    for given_args in (["-q", *args], [*args, "--quiet"]):
        parsed = cli._parser().parse_args(given_args)
        assert parsed.quiet
        assert "verbose" not in parsed
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as done:
            cli.main([command.name, option])
        assert done.value.code == 0
        assert capsys.readouterr().out.startswith(
            "balanced-sparsity 0" if option == "--version" else "usage: balanced-spars"
        )


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("command", ["", *(one.name for one in cli.COMMANDS)])
def test_help_fits(capsys, monkeypatch, command, width):
    """No line of help is wider than the terminal; a command in it can be copied."""
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        cli.main([*filter(None, [command]), "--help"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    _, _, examples = out.partition("examples:\n")
    assert examples
    joined = re.sub(r" \\\n +", " ", examples)
    for line in re.findall(r"^  (\S.*)$", joined, re.M):
        assert line.startswith(("balanced-sparsity ", "torchrun ", 'eval "$(balanced'))
    if not command:
        for word in ("exit status:", "130", "environment:", "NO_COLOR", "COLUMNS"):
            assert word in out


# ------------------------------------------------------------------ colors


def test_colors_follow_the_environment():
    """FORCE_COLOR styles a pipe, NO_COLOR takes colors out, and a pipe has neither."""
    line = "PROGRAM balance --map nowhere"
    assert "\x1b" not in shell(line, FORCE_COLOR="").stderr
    assert "\x1b[1;31merror: " in shell(line, FORCE_COLOR="1", TERM="xterm").stderr
    both = shell(line, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").stderr
    assert not re.search(r"\x1b\[[\d;]*3\d", both)


# ----------------------------------------------------------------- streams


@pytest.mark.parametrize(
    "line",
    ["balance", "accelerators", "evaluate --csv", "--help", "completion bash"],
)
def test_a_reader_that_leaves_is_no_error(line):
    """`| head` ends the program without a word, as SIGPIPE does."""
    done = shell(f"PROGRAM {line} | true; echo ${{PIPESTATUS[0]}}", PYTHONUNBUFFERED="")
    assert done.stdout == "141\n"
    assert done.stderr == ""


def test_a_pipe_without_a_reader_ends_with_141():
    """The status says that the output was not read to its end."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", "accelerators"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_streams_take_everything():
    """Without stdout the work is done; without stderr an error is a status."""
    done = shell("PROGRAM balance --out here >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Path("here/masks.safetensors").exists()
    assert shell("PROGRAM balance nowhere.npz 2>&-").returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    """What cannot be written is an error that is said once."""
    done = shell("PROGRAM accelerators >/dev/full")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_an_encoding_without_arrows_gets_escapes():
    """Characters that the terminal has no code for are no error."""
    done = shell("PROGRAM balance --out here", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"0.856 \u2192 1.000" in done.stdout


# ----------------------------------------------------- text from anywhere

anything = st.text(
    st.characters() | st.sampled_from("\x1b\x07\x00\n\r\t\u202e[]/\\ "), max_size=40
)


@given(anything)
def test_no_text_commands_a_terminal(text):
    """Whatever a name is, no control character is left, and plain text is kept."""
    shown = printable(text)
    assert shown.replace("\n", "").isprintable()
    assert printable(text, lines=False).isprintable()
    if text.isprintable():
        assert shown == text


@given(
    st.text(st.characters(categories=["L", "N", "P"]), max_size=60), st.integers(1, 30)
)
def test_what_is_shortened_fits_and_keeps_its_ends(text, width):
    """A text that fits is untouched; of another one both ends stay."""
    short = shorten(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text
    else:
        # Half of a wide character is a space.
        head, _, tail = short.partition("…")
        assert "…" in text or text.startswith(head.rstrip())
        assert "…" in text or text.endswith(tail.lstrip())


@given(anything, st.integers(0, 100_000))
def test_a_message_is_one_line_that_a_terminal_can_hold(text, repeats):
    """No error is longer than so many columns, however long the name in it."""
    line = in_one_line(f"layer {text * (1 + repeats // 40)}: what is accepted")
    assert line.isprintable()
    assert cell_len(line) <= LONGEST


@pytest.mark.parametrize("width", [80, 160])
def test_names_in_a_table_are_text_that_fits(capsys, monkeypatch, width):
    """Markup, escapes, wide characters and giants stand in the table as text."""
    monkeypatch.setenv("COLUMNS", str(width))
    names = ("[/x]", "[red]x", "a\x1b[31mb", "two\nlines", "日本語", "x" * 900_000)
    rows = [(name, "1,000", "0.5") for name in names]
    show(TextTable(("layer", "non-zeros", "kept"), rows, ("layer",)))
    out = capsys.readouterr().out
    assert max(map(cell_len, out.splitlines())) <= width
    for shown in ("[/x]", "[red]x", r"a\x1b[31mb", r"two\nlines", "日本語", "xx…xx"):
        assert shown in out
    assert out.count("1,000") == len(rows)
    assert "\x1b" not in out
    say(names[0] + names[2])
    assert capsys.readouterr().out == "[/x]a\\x1b[31mb\n"


@pytest.mark.parametrize("name", ["[/x]", "[red]x", "a\x1b[31mb", "y" * 70_000])
def test_no_name_of_a_layer_breaks_a_command(capsys, name):
    """`balance`, `evaluate` and their errors end well whatever layers are called."""
    rng = np.random.default_rng(0)
    save_file({f"{name}.weight": rng.random((8, 8))}, "net.safetensors")
    for args in (
        ("balance", "net.safetensors", "--pes", 4, "--sparsity", 0.5, "-v"),
        ("evaluate", "net.safetensors"),
        ("balance", "net.safetensors", "--layers", "none*"),
    ):
        status, out, err = run(capsys, *args)
        assert status == (2 if "--layers" in args else 0)
        assert "\x1b" not in out + err
        longest = max(map(len, (out + err).splitlines()))
        assert longest <= LONGEST + len("balanced-sparsity: error: ")


def test_warnings_are_notes(capsys):
    """--quiet leaves a warning out, and errors never."""
    from hwmodel.commands.asides import complain

    with quietly(True):
        complain("warning", "so so")
        complain("error", "no")
    assert capsys.readouterr().err == "balanced-sparsity: error: no\n"


def test_json_stays_one_document(capsys):
    """--quiet and --verbose together with --json leave stdout to the document."""
    for how in ("--quiet", "--verbose"):
        _, out, _ = run(capsys, "balance", "--json", how)
        assert json.loads(out)["network"]["utilization"] == 1.0
