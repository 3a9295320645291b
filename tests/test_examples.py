"""The examples run as they are, and leave what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from balancer import open_ticket, read_streams

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(example, folder):
    """Output of an example, run in a folder on the packages of this checkout."""
    done = subprocess.run(
        [sys.executable, example],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    # What torch logs where spikingjelly's neurons look for a GPU compiler.
    lines = done.stderr.splitlines()
    said = [line for line in lines if "Triton not available" not in line]
    assert (done.returncode, said) == (0, [])
    return done.stdout


# Those that have a test of their own run there.
TESTED = {"balance_under_a_latency_budget", "own_loop", "tutorial"}


@pytest.mark.parametrize(
    "example",
    [one for one in EXAMPLES if one.stem not in TESTED],
    ids=lambda path: path.stem,
)
def test_an_example_runs(example, tmp_path):
    """Every example ends well in an empty folder."""
    if "from snn" in example.read_text():
        pytest.importorskip("torch")
    assert run(example, tmp_path)


def test_an_array_of_ones_own_takes_less_than_forty_lines(tmp_path):
    """The example says one array twice, and stands in its document."""
    example = ROOT / "examples" / "own_accelerator.py"
    text = example.read_text()
    assert len(text.splitlines()) < 40
    assert f"```python\n{text}```" in (ROOT / "docs/own-accelerator.md").read_text()
    fixed, optimized, layer = run(example, tmp_path).splitlines()
    kept = [float(said.split()[-4].rstrip("%")) for said in (fixed, optimized)]
    assert kept[0] < kept[1] <= 100
    # 64 output pixels and 4 time steps; PEs of a group have equal loads.
    cycles, loads = re.fullmatch(r"(\d+) cycles for \[(.*)\]", layer).groups()
    assert int(cycles) == 64 * 4 * sum(map(int, loads.split()))


def test_the_latency_budget_is_kept_in_ten_lines(tmp_path):
    """Ten lines balance a ticket within its budget of cycles, and save the result."""
    example = ROOT / "examples" / "balance_under_a_latency_budget.py"
    assert len(example.read_text().splitlines()) <= 10
    said = run(example, tmp_path).splitlines()[-1]
    report = json.loads((tmp_path / "balanced" / "report.json").read_text())
    network = report["network"]
    assert said == f"cycles: {network['cycles_before']:,} -> {network['cycles']:,}"
    assert network["cycles"] <= network["latency_budget"] < network["cycles_before"]
    masks = open_ticket(tmp_path / "balanced" / "masks.safetensors")
    kept = sum(int(layer.read_mask().sum()) for layer in masks.layers)
    assert kept == network["nonzeros"]


def test_streams_for_rtl_take_less_than_forty_lines(tmp_path):
    """The example is what the document shows, and leaves memories that read back."""
    example = (ROOT / "examples" / "export_rtl.py").read_text()
    assert len(example.splitlines()) < 40
    assert example.partition('"""\n\n')[2] in (ROOT / "docs" / "export.md").read_text()
    run(ROOT / "examples" / "export_rtl.py", tmp_path)
    streams = read_streams(tmp_path / "streams")
    for layer in open_ticket(tmp_path / "balanced" / "masks.safetensors").layers:
        lengths = streams[layer.name].lengths
        assert lengths.sum() == layer.read_mask().sum()
        assert all(len(set(group[group > 0])) <= 1 for group in lengths)


def test_the_document_shows_the_loop_as_it_runs():
    """`docs/own-loop.md` holds the example to the letter."""
    shown = (ROOT / "docs" / "own-loop.md").read_text(encoding="utf-8")
    example = (ROOT / "examples" / "own_loop.py").read_text(encoding="utf-8")
    assert f"```python\n{example}```" in shown


def test_tickets_of_a_loop_of_ones_own_take_forty_lines(tmp_path):
    """Both methods leave theirs, and a figure; a second call has nothing to do."""
    pytest.importorskip("torch")
    example = ROOT / "examples" / "own_loop.py"
    assert len(example.read_text().splitlines()) < 40
    said = run(example, tmp_path).splitlines()
    assert len(said) == 5
    tickets = sorted(tmp_path.glob("runs/*/round-02.safetensors"))
    methods = [open_ticket(path).about["method"] for path in tickets]
    assert methods == ["lth", "optimal-order"]
    assert (tmp_path / "own_loop.png").exists()
    assert run(example, tmp_path) == ""  # all rounds are there already


def test_the_tutorial_prints_what_its_page_shows(tmp_path):
    """With less training, the script prints the same lines but for the numbers."""
    pytest.importorskip("torch")
    text = (ROOT / "examples" / "tutorial.py").read_text(encoding="utf-8")
    short = text.replace('"epochs": 8', '"epochs": 2, "train_size": 400')
    assert short != text
    (tmp_path / "tutorial.py").write_text(short, encoding="utf-8")
    said = run("tutorial.py", tmp_path)
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    shown = "".join(re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    # How many weights are left over or revived depends on the training, too.
    said, shown = (
        [words(line) for line in text.splitlines()] for text in (said, shown)
    )
    assert [line for line in said if line[:1] != ["NOTE"]] == [
        line for line in shown if line[:1] != ["NOTE"]
    ]
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("unbalanced.png", "balanced.png")
    }


def words(line):
    """Words of a line without its numbers; a note of the report says so alone."""
    if re.match("  (?!network:|on |[\\w.]+: )", line):
        return ["NOTE"]
    return re.sub(r"[-\d.,%]+", "#", line).split()
