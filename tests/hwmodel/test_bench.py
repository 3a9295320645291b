"""Benchmarks: what is measured is right, and what became slower is told."""

import dataclasses
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli
from balancer import LoadMetrics, PEMap, RetentionProblem, map_kinds, solve
from hwmodel import BenchError, BenchResult, BenchSettings, run_bench
from hwmodel.bench import measuring, run
from hwmodel.bench.bench_case import BenchCase, cases_of, draw_scores, sort_rows
from hwmodel.bench.growth import GROWTH_FROM, Growth
from hwmodel.bench.measuring import BenchRow, measure, ratio_quartiles
from hwmodel.bench.methods import METHODS, chosen_methods, missing_methods
from hwmodel.bench.reference import compare, read_reference, save_reference
from hwmodel.bench.settings import MAPS, SIZES

ROOT = Path(cli.__file__).parent
SMALL = BenchSettings([1000], methods=["topk-per-pe", "cp-sat"], repeats=1)


@pytest.fixture(scope="module")
def everything():
    """All methods on one small layer each, for three maps."""
    maps = ("output_channel", "input_channel", "2:4")
    return run_bench(BenchSettings([600], maps, [4], [0.7], repeats=1))


def row_of(ratio, size=10**5, method="cp-sat", seconds=0.01):
    case = BenchCase(size, "banked", 16, 0.98)
    return BenchRow(case, method, seconds, seconds / ratio, ratio, ratio, ratio, 1)


# ------------------------------------------------------------------- what is measured


def test_the_default_has_every_map():
    """A map that is added to the package is benchmarked."""
    texts = [kind for kind in map_kinds() if kind.pes is None and not kind.function]
    for kind in texts:
        assert any(kind.numbers(text) is not None for text in MAPS), kind.spec
    assert list(SIZES) == sorted(SIZES)


@given(st.integers(1000, 10**8))
def test_a_layer_has_about_the_size_asked_for(size):
    """It is within a third from 1e3 weights on, and its channels fit the patterns."""
    case = BenchCase(size)
    assert abs(case.weights - size) <= size / 3
    assert case.shape[0] % 16 == case.shape[1] % 4 == 0


def test_combinations_leave_out_what_a_map_says_itself():
    """PEs and sparsities vary only where the map leaves them open."""
    asked = BenchSettings([1000], ["banked", "grid:2x2", "2:4"], [2, 4], [0.5, 0.9])
    series = [case.series for case in cases_of(asked, 1000)]
    assert series == [
        *((None, None, share) for share in (0.5, 0.9)),
        *(("banked", pes, share) for pes in (2, 4) for share in (0.5, 0.9)),
        *(("grid:2x2", None, share) for share in (0.5, 0.9)),
        ("2:4", None, None),
    ]


def test_the_sort_that_all_is_compared_with_sorts_every_row(monkeypatch):
    """Cut into pieces it sorts as many weights as in one."""
    seen = []
    monkeypatch.setattr(np, "sort", lambda rows, axis: seen.append(rows.size))
    monkeypatch.setattr("hwmodel.bench.bench_case.SORTED_AT_ONCE", 100)
    scores = draw_scores(BenchCase(1000), seed=0)
    sort_rows(scores)
    assert sum(seen) == scores.size
    assert len(seen) > 1


def test_weights_follow_the_seed():
    """The same seed and size give the same layer, others give others."""
    first, again = (draw_scores(BenchCase(1000), seed=3) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, draw_scores(BenchCase(1000), seed=4))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_what_it_claims(name, everything):
    """No mask keeps more than its bound, than unstructured pruning, or its budget."""
    rows = [row for row in everything.rows if row.method == name]
    if name in missing_methods():
        assert not rows
        return
    fitting = [
        case
        for case in cases_of(everything.settings, 600)
        if METHODS[name].needs_map == (case.map is not None)
        and METHODS[name].fits(case)
    ]
    assert [row.case for row in rows] == fitting
    for row in rows:
        assert row.ratio > 0
        assert row.gap is None or row.gap >= -1e-9
        assert row.kept_fraction <= 1
        budget = row.case.sparsity and int(row.case.weights * (1 - row.case.sparsity))
        if budget and name != "u-ticket":  # its rule rounds loads to either side
            assert row.nonzeros <= budget


@pytest.mark.parametrize("name", ["topk-per-pe", "greedy", "cp-sat", "literal"])
def test_methods_for_pes_balance_them(name):
    """All PEs of a group get the same work."""
    case = BenchCase(600, "input_channel", 4, 0.9)
    call = METHODS[name].prepare(case, draw_scores(case, seed=0), 10.0)
    assert LoadMetrics.of(call().mask, case.pe_map()).mu == 1.0


def test_programs_of_weights_and_of_slices_agree(everything):
    """Slices, booleans and HiGHS keep equally much where they prove it."""
    kept = {}
    for row in everything.rows:
        if row.gap is not None and row.gap < 1e-6:
            kept.setdefault(row.case, {})[row.method] = row.kept_fraction
    compared = 0
    for of_case in kept.values():
        for name in {"greedy", "literal", "milp"} & of_case.keys():
            assert of_case[name] == pytest.approx(of_case["cp-sat"], abs=1e-6)
            compared += 1
    assert compared >= 3 * len({"greedy", "literal", "milp"} - missing_methods().keys())


@pytest.mark.parametrize("bounds", [{"min_load": [5, 0]}, {"max_load": [6, 2]}])
def test_the_textbook_program_of_milp_heeds_bounds_on_loads(bounds):
    """HiGHS gets least and greatest loads as the other solvers do."""
    pytest.importorskip("scipy")
    from hwmodel.bench.milp import solve_by_milp

    scores = np.random.default_rng(0).random((4, 6))
    scores[2:] += 1  # without bounds all of these are kept, and no others
    pe_map = PEMap.output_channel((4, 6), pes=2)
    problem = RetentionProblem(scores, pe_map, 12, **bounds)
    mask, bound = solve_by_milp(problem, 10.0)
    assert scores[mask].sum() == pytest.approx(solve(problem).kept)
    assert bound == pytest.approx(solve(problem).kept)
    assert LoadMetrics.of(mask, pe_map).mu == 1.0


# ----------------------------------------------------------------------- how it is told


def test_ratios_are_of_neighbours(monkeypatch):
    """A ratio is of a call and the sort after it, not of two sums."""
    assert ratio_quartiles([(1.0, 1.0), (20.0, 10.0), (3.0, 1.0)]) == (1.5, 2.0, 2.5)
    times = itertools.chain([1.0, 2.0, 9.0, 3.0], itertools.repeat(1.0))
    monkeypatch.setattr(measuring, "seconds_of", lambda work: (work(), next(times))[1])
    case = BenchCase(1000, "banked", 4, 0.9)
    methods = chosen_methods(["cp-sat"])
    scores = draw_scores(case, seed=0)
    [row], _ = measure(case, scores, methods, repeats=1, seconds=10.0)
    assert (row.ratio, row.repeats) == (0.5, 1)  # 1 s beside 2 s: slow, so once
    assert row.peak_bytes > case.weights  # the mask at least


def test_what_takes_long_is_timed_once(monkeypatch):
    """A slow call has one pair, a short one at least as many as asked for."""
    case, clock = BenchCase(1000, "banked", 4, 0.9), itertools.count()
    scores = draw_scores(case, seed=0)
    for second, pairs in ((10.0, 1), (1e-3, 4)):
        monkeypatch.setattr(
            measuring,
            "seconds_of",
            lambda work, taken=second: (work(), next(clock), taken)[2],
        )
        monkeypatch.setattr(measuring, "ENOUGH", 0.0)
        [row], _ = measure(case, scores, chosen_methods(["greedy"]), 4, 10.0)
        assert row.repeats == pairs


def test_a_method_that_fails_is_named_and_the_others_go_on():
    """What refuses a layer has a reason in place of a row."""
    asked = BenchSettings([1000], ["grid:64x64"], methods=["global", "greedy"])
    refused = dataclasses.replace(METHODS["global"], prepare=_refuse)
    rows, failures = measure(
        BenchCase(1000, "grid:64x64", None, 0.98),
        draw_scores(BenchCase(1000), 0),
        {"global": refused, "greedy": METHODS["greedy"]},
        1,
        1.0,
    )
    assert failures == {"global": "not so"}
    assert [row.method for row in rows] == ["greedy"]
    assert run_bench(asked).rows[-1].method == "greedy"


def _refuse(case, scores, seconds):
    raise BenchError("not so")


@given(
    st.floats(0.2, 3.0),
    st.floats(1e-9, 1e3),
    st.lists(st.integers(GROWTH_FROM, 10**9), min_size=3, max_size=12, unique=True),
)
def test_an_exponent_is_found_again(exponent, factor, sizes):
    """Times that follow a power give it back, with hardly any margin."""
    if max(sizes) < 2 * min(sizes):
        sizes = [*sizes[1:], 3 * max(sizes)]
    seconds = [factor * (size / GROWTH_FROM) ** exponent for size in sizes]
    growth = Growth.of(sizes, seconds)
    assert growth.exponent == pytest.approx(exponent, abs=1e-4)
    assert growth.margin <= 1e-3
    assert growth.points == len(sizes)


def test_the_interval_of_an_exponent_is_that_of_a_regression():
    """Slope and margin are SciPy's, on times with noise; small sizes do not count."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    sizes = [10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7]
    seconds = [1e-9 * n * rng.lognormal(0.0, 0.2) for n in sizes]
    fit = stats.linregress(np.log(sizes), np.log(seconds))
    growth = Growth.of([10, *sizes], [7.0, *seconds])
    assert growth.exponent == pytest.approx(fit.slope, abs=1e-5)
    margin = stats.t.ppf(0.975, 3) * fit.stderr
    assert growth.margin == pytest.approx(margin, rel=1e-3)
    assert Growth.of(sizes[:2], seconds[:2]) is None


# ------------------------------------------------------------------ the same as before


def test_a_planted_regression_is_reported():
    """What is slower by more than the tolerance is found, the worst first."""
    rows = [row_of(2.0, method=name) for name in ("greedy", "cp-sat", "lth", "new")]
    before = {
        (10**5, "banked", 16, 0.98, "greedy"): 1.9,
        (10**5, "banked", 16, 0.98, "cp-sat"): 1.0,
        (10**5, "banked", 16, 0.98, "lth"): 0.5,
        (10**6, "banked", 16, 0.98, "lth"): 0.1,  # was not measured now
    }
    found, compared = compare(BenchResult(SMALL, rows), before, tolerance=1.5)
    assert [(one.row.method, one.factor) for one in found] == [
        ("lth", 4.0),
        ("cp-sat", 2.0),
    ]
    assert compared == 3
    assert compare(BenchResult(SMALL, rows), before, tolerance=5)[0] == []


def test_calls_of_less_than_a_millisecond_are_not_compared():
    """Fixed costs are no regression."""
    before = {(10**5, "banked", 16, 0.98, "cp-sat"): 1.0}
    result = BenchResult(SMALL, [row_of(9.0, seconds=1e-4)])
    assert compare(result, before) == ([], 0)


def test_a_reference_is_read_as_it_was_written(tmp_path):
    """Ratios survive the file, whatever map, PEs and sparsity they belong to."""
    path = tmp_path / "reference.json"
    result = run_bench(dataclasses.replace(SMALL, maps=("banked", "2:4")))
    save_reference(result, path)
    known = read_reference(path)
    assert list(known.values()) == [row.ratio for row in result.rows]
    slow = [dataclasses.replace(row, seconds=1.0) for row in result.rows]
    assert compare(BenchResult(SMALL, slow), known) == ([], len(slow))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"kind": "x"}',
        '{"kind": "balanced-sparsity bench"}',
        '{"kind": "balanced-sparsity bench", "rows": [3]}',
        '{"kind": "balanced-sparsity bench", "rows": [{"ratio": 0}]}',
        '{"kind": "balanced-sparsity bench", "rows": [{"ratio": true}]}',
        '{"kind": "balanced-sparsity bench", "rows": [{"ratio": 1, "map": []}]}',
        '{"kind": "balanced-sparsity bench", "rows": [{"ratio": NaN}]}',
        '{"kind": "balanced-sparsity bench", "rows": [{"ratio": 1e999}]}',
        '{"kind": "balanced-sparsity bench", "rows": [{"ratio": 1%s}]}' % ("0" * 400),
    ],
)
def test_what_is_no_reference_is_named(tmp_path, text):
    """A file of another kind ends in one line."""
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"reference\.json"):
        read_reference(path)


# ------------------------------------------------------------------------- the command


def bench(capsys, *args):
    status = cli.main(["bench", *map(str, args)])
    return status, *capsys.readouterr()


TINY = ("--sizes", "1e3", "--maps", "banked", "--methods", "cp-sat,lth", "--repeats", 1)


def test_the_command_fails_where_something_became_slower(capsys, tmp_path, monkeypatch):
    """Exit status 0 beside its own reference, 1 and a line beside a faster one."""
    monkeypatch.setattr("hwmodel.bench.reference.LEAST_SECONDS", 0.0)
    path = tmp_path / "reference.json"
    assert bench(capsys, *TINY, "--save-reference", path)[0] == 0
    same = (*TINY, "--reference", path, "--tolerance", 1000)
    status, out, _ = bench(capsys, *same)
    assert status == 0
    assert "Of 2 ratios" in out
    document = json.loads(path.read_text())
    for row in document["rows"]:
        row["ratio"] /= 1e5
    path.write_text(json.dumps(document))
    status, out, err = bench(capsys, *same)
    assert status == 1
    assert out.count("slower: ") == 2
    assert "2 of 2 calls take more than 1000 times as long" in err
    status, out, _ = bench(capsys, *same, "--json")
    assert (status, len(json.loads(out)["regressions"])) == (1, 2)
    other = (*TINY[:3], "interleaved", "--methods", "greedy", "--repeats", 1)
    status, _, err = bench(capsys, *other, "--reference", path)
    assert status == 1
    assert "in common" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sizes", "10"), "sizes: 10 is out of range"),
        (("--sizes", "1.5"), "'1.5' is no list of whole numbers, as 1e4,1e6"),
        (("--sizes", ","), "sizes: none"),
        (("--sizes", "1e3,1e3"), "twice"),
        (("--sizes", ",".join(str(n) for n in range(1000, 1013))), "at most 12"),
        (("--sizes", "4e9"), "GB"),
        (("--pes", "0"), "pes: 0 is out of range"),
        (("--sparsity", "1"), "a share above 0 and below 1"),
        (("--maps", "nowhere"), "nowhere"),
        (("--methods", "magic"), "accepted: lth, torch-topk"),
        (("--repeats", "0"), "repeats"),
        (("--call-limit", "0"), "call limit"),
        (("--tolerance", "0.5"), "the least is 1"),
        (("--plot", "x.gif"), ".svg"),
    ],
)
def test_wrong_options_end_in_one_line(capsys, options, said, monkeypatch):
    """Exit status 2, before anything is measured."""
    monkeypatch.setattr(run, "measure", None)
    monkeypatch.setattr("os.sysconf", lambda name: 2**17 if "PAGES" in name else 4096)
    status, out, err = bench(capsys, *options)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_size_whose_calls_would_take_too_long_is_left_out(monkeypatch):
    """The call before says it, and larger layers are not tried either."""
    slow = lambda case, *rest: ([row_of(1.0, seconds=0.5)], {})  # noqa: E731
    monkeypatch.setattr(run, "measure", slow)
    asked = BenchSettings([10**5, 10**6, 10**7], ["banked"], methods=["cp-sat"])
    result = run_bench(asked)
    assert [row.case.size for row in result.rows] == [10**5]
    [out] = result.left_out
    assert (out.method, out.case.size) == ("cp-sat", 10**6)
    assert out.seconds == pytest.approx(5.0, rel=0.05)


def test_ctrl_c_shows_what_was_measured(capsys, monkeypatch, tmp_path):
    """Rows until then are in the table and in the reference; the status is 130."""
    real, calls = measure, []

    def cut_short(case, *rest):
        calls.append(case)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return real(case, *rest)

    monkeypatch.setattr(run, "measure", cut_short)
    path = tmp_path / "reference.json"
    status, out, err = bench(capsys, *TINY, "--save-reference", path)
    assert status == 130
    assert "lth" in out
    assert "cancelled: 1 calls were measured" in err
    assert len(read_reference(path)) == 1


def test_ctrl_c_in_a_search_ends_the_benchmark(monkeypatch, capsys):
    """A search that Ctrl-C ends by itself is not the end of it alone."""
    from balancer.solvers.cp_sat import CpSatSolver

    def pressed(self, problem, search):
        raise KeyboardInterrupt

    monkeypatch.setattr(CpSatSolver, "solve", pressed)
    result = run_bench(BenchSettings([1000], ["banked"], methods=["cp-sat"]))
    assert result.cancelled
    assert list(result.rows) == []
    options = ("--sizes", "1e3", "--maps", "banked", "--methods", "cp-sat")
    status, out, err = bench(capsys, *options)
    assert (status, out) == (130, "")
    assert err.endswith("cancelled: nothing was measured\n")


def test_the_figure_repeats_exactly(tmp_path, everything):
    """A panel for each map and a line for each method, the same bytes every time."""
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    everything.plot(first)
    time.sleep(0.01)
    everything.plot(second)
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    for name in ("output_channel, 4 PEs", "2:4", "cp-sat", "weights of the layer"):
        assert name in text
    assert "mathdefault" not in text


def test_progress_ends_at_the_whole():
    """What is told grows from nothing to all of it."""
    seen = []
    run_bench(SMALL, seen.append)
    shares = [one.done / one.total for one in seen]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_the_stored_reference_is_one_that_can_be_compared_with():
    """It holds methods and maps that there are, of the default sparsity and PEs."""
    known = read_reference(ROOT / "benchmarks" / "reference.json")
    assert {method for *_, method in known} <= METHODS.keys()
    assert {text for _, text, *_ in known} == {None, *MAPS}
    assert {pes for _, _, pes, *_ in known} <= {None, *BenchSettings().pes}
