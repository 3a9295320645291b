"""Pages in a real browser: nothing goes wrong, everything is seen, everybody can read.

Needs Chromium, node and what ``npm install`` puts into ``tests/browser``.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import cli
from hwmodel import sweep

FOLDER = Path(__file__).parent / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = [
    name
    for name, there in (
        ("chromium", CHROMIUM),
        ("node", shutil.which("node")),
        ("npm install --prefix tests/browser", (FOLDER / "node_modules").exists()),
    )
    if not there
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
BAD = ("serious", "critical")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the browser found in a page of each kind, in every view."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    folder = tmp_path_factory.mktemp("pages")
    pages = [folder / "ticket.html", folder / "sweep.html"]
    assert cli.main(["report", "--out", str(pages[0])]) == 0
    sweep(sparsity=[0.9, 0.95], out=folder / "swept", workers=0).report(pages[1])
    pages += pages_of_training(folder)
    done = subprocess.run(
        ["node", FOLDER / "look.cjs", CHROMIUM, folder, *pages],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {one["page"] for one in found} == {page.stem for page in pages}
    return found


def pages_of_training(folder):
    """Pages of a comparison of three methods and of one of its runs, with torch."""
    try:
        from snn import LotteryConfig, compare_methods, run_lottery
    except ImportError:
        return []
    tiny = {"sparsities": (0.5, 0.9), "epochs": 1, "timesteps": 1, "train_size": 100}
    methods = ("lth", "u-ticket", "optimal")
    compared = compare_methods(LotteryConfig(**tiny), methods, (0, 1), root=folder)
    compared.report(folder / "comparison.html")
    result = run_lottery(LotteryConfig(**tiny, method="lth"), root=folder / "alone")
    result.report(folder / "same.html")
    out = folder / "run.html"
    assert cli.main(["report", str(result.folder), "--out", str(out)]) == 0
    assert (folder / "same.html").read_bytes() == out.read_bytes()
    return [folder / "comparison.html", folder / "run.html"]


def test_the_browser_has_nothing_to_say_and_nothing_to_fetch(seen):
    """No view of a page logs an error, or asks for more than the page."""
    assert [(x["page"], x["view"], x["said"]) for x in seen if x["said"]] == []
    assert [(x["page"], x["view"], x["asked"]) for x in seen if x["asked"]] == []


def test_every_figure_is_seen(seen):
    """No figure is hidden or empty, and no page is wider than its view."""
    for one in seen:
        where = one["page"], one["view"]
        assert one["figures"] > 0, where
        assert (one["hidden"], one["empty"], one["wider"]) == (0, 0, 0), where


def test_everybody_can_read_it(seen):
    """axe finds no serious fault, in light and in dark, on a phone and on a desktop."""
    faults = [
        (one["page"], one["view"], fault)
        for one in seen
        for fault in one["faults"]
        if fault["impact"] in BAD
    ]
    assert faults == []


def test_a_column_sorts_both_ways(seen):
    """The first click sorts a table by a column, the second one the other way round."""
    sorted_ones = [one["sorted"] for one in seen if one["sorted"]]
    assert any(len(set(one["up"])) > 1 for one in sorted_ones)
    for one in sorted_ones:
        assert (one["up"] != one["down"]) == (len(set(one["up"])) > 1)
        assert sorted(one["up"]) == sorted(one["down"])
        numbers = [float(x) for x in one["up"] if is_number(x)]
        assert numbers == sorted(numbers)


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
