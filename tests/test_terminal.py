"""What a person sees: the commands in a real terminal, at every usual width.

tmux is the terminal: what does not fit a line of its pane it breaks as any other does,
and `capture-pane` tells such lines from those that were printed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

import cli

ROOT = Path(cli.__file__).parent
WIDTHS = (80, 100, 120, 160)
SWEEP = "pes = [8, 16]\nsparsity = 0.95\nmethod = ['lth', 'u-ticket']\n"
# Each on the ticket that comes with the package, with the columns of its first table
# whose numbers are to be seen or named as left out.
COMMANDS = {
    "balance --layer-wise": (
        *("layer", "shape", "non-zeros", "effective", "utilization", "kept", "price"),
        *("cycles", "gap", "status", "solver", "time"),
    ),
    "balance --global --frontier 3": ("layer", "kept", "cycles", "time", "budget"),
    "balance --nested --order optimized": ("layer", "kept", "solver", "effective"),
    "balance --map grid:4x4 --compare": ("layer", "method", "slots", "kept"),
    "evaluate": (
        *("layer", "shape", "nonzeros", "effective", "utilization", "eta", "cycles"),
        *("stall cycles", "energy E_d", "gated pe cycles"),
    ),
    "evaluate --accelerator u-ticket --accelerator sata": ("label", "energy E_d"),
    "accelerators": (),
    "sweep design.toml --workers 0": ("pes", "method", "kept", "front", "energy"),
    "export streams": ("layer", "longest stream", "PEs"),
    "lottery --help": (),
    "balance --map nowhere": (),
}
COPIED = ("train them: ", "written: ", "masks: ", "report: ", "export: ")  # whole lines
END = "-- the end"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


SCRIPT = """
import contextlib, sys, cli
for command in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        cli.main(command.split())
    sys.stderr.flush()
    print("-- the end", flush=True)
"""


def tmux(server, *args):
    done = subprocess.run(
        ["tmux", "-S", server, "-f", "/dev/null", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=dict(os.environ),  # readline may have put its columns beside it
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed_in_a_pane(width, folder):
    """What a pane shows of each command: its lines, and how tmux broke them."""
    server = folder / "tmux"
    program = shlex.join([sys.executable, "-c", SCRIPT, *COMMANDS])
    size = ("-x", str(width), "-y", "50")
    tmux(
        server,
        *("start-server", ";", "set-option", "-g", "history-limit", "5000", ";"),
        *("new-session", "-d", *size, "-c", str(folder), f"{program}; sleep 600"),
    )
    capture = ("capture-pane", "-p", "-S", "-")
    try:
        until = time.monotonic() + 300
        while tmux(server, *capture).count(END) < len(COMMANDS):
            assert time.monotonic() < until, tmux(server, *capture)
            time.sleep(0.2)
        joined, broken = tmux(server, *capture, "-J"), tmux(server, *capture)
    finally:
        tmux(server, "kill-server")
    pairs = zip(joined.split(END), broken.split(END), strict=True)
    return {
        command: [part.strip("\n").splitlines() for part in pair]
        for command, pair in zip(COMMANDS, pairs, strict=False)
    }


@pytest.fixture(scope="module", params=WIDTHS)
def seen(request, tmp_path_factory):
    """Width, and what was printed by each command, in whole and in broken lines."""
    folder = tmp_path_factory.mktemp("pane")
    (folder / "design.toml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("LC_ALL", "C.UTF-8")
        return request.param, printed_in_a_pane(request.param, folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_broken_by_the_terminal(seen, command):
    """Only commands and names of files, which are to be copied, may be too long."""
    width, printed = seen
    whole, shown = printed[command]
    assert whole
    for line in whole:
        if not line.startswith(COPIED) and "runs/" not in line:
            assert cell_len(line.rstrip()) <= width
    assert max(map(cell_len, shown)) <= width


@pytest.mark.parametrize("command", COMMANDS)
def test_every_column_is_there_or_named(seen, command):
    """A header is shown in whole words; a column without room is named below."""
    width, printed = seen
    whole, _ = printed[command]
    text = " ".join(" ".join(whole).split())
    for name in COMMANDS[command]:
        assert all(re.search(rf"(?<!\w){word}(?!\w)", text) for word in name.split())
    left_out = [line for line in whole if line.startswith("Left out at")]
    assert {line.partition(": ")[0] for line in left_out} <= {
        f"Left out at {width} columns"
    }


def numbers_of(lines):
    return NUMBER.findall("\n".join(line for line in lines if "Left out" not in line))


@pytest.mark.parametrize("command", ["balance --layer-wise", "evaluate"])
def test_no_number_is_cut_or_split(seen, command, capsys, monkeypatch, tmp_path):
    """Every number of the terminal is one of those that a wide pipe gets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.main(command.split()) == 0
    known = set(numbers_of(capsys.readouterr().out.splitlines()))
    _, printed = seen
    whole, _ = printed[command]
    rows = [line for line in whole if " ms" not in line]  # times differ
    assert set(numbers_of(rows)) <= known
    assert "…" not in "\n".join(whole)


def test_numbers_stand_below_their_headers(seen):
    """The numbers of a column end where the last line of its header ends."""
    width, printed = seen
    whole, _ = printed["balance --layer-wise"]
    header = next(line for line in whole if "utilization" in line)
    rows = [line for line in whole if "→ 1.000" in line]
    assert len(rows) == 5
    for name in ("non-zeros", "utilization", "kept", "cycles", "status"):
        end = header.index(name) + len(name)
        for row in rows:
            assert row[end - 1] != " "
            assert row[end : end + 1] in ("", " ")
    if width == max(WIDTHS):
        assert "Left out" not in "\n".join(whole)


def test_an_error_is_broken_between_words(seen):
    """A terminal gets the line of a pipe in lines that it does not have to break."""
    command = [sys.executable, ROOT / "cli.py", "balance", "--map", "nowhere"]
    piped = subprocess.run(command, capture_output=True, text=True)
    assert piped.returncode == 2
    _, printed = seen
    whole, _ = printed["balance --map nowhere"]
    assert " ".join(map(str.rstrip, whole)) == piped.stderr.rstrip()


def test_what_belongs_together_stays_in_a_line(seen):
    """A number before and after is not parted, nor a command from its arguments."""
    _, printed = seen
    for command in ("balance --layer-wise", "balance --global --frontier 3"):
        whole, _ = printed[command]
        assert "\n".join(whole).count("7,104 → ") == 2
        assert not any(line.rstrip().endswith("→") for line in whole)
        [train] = [line for line in whole if line.startswith("train them: ")]
        assert train.endswith("/masks.safetensors")


def test_a_bar_vanishes_and_rows_stay(seen):
    """Nothing of a progress bar is left on the screen."""
    _, printed = seen
    for whole, _ in printed.values():
        assert not re.search(r"[━╸╺]|balancing|sweeping", "\n".join(whole))
