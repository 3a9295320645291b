"""Without OR-Tools, without time, or with a rejected model, greedy answers and says so.

Without torch everything but training works. Each case runs in a process of its own,
where what is missing can really be missing.
"""

import json
import subprocess
import sys

import pytest
from missing import without

# Groups of 4, 4 and 3 PEs: a knapsack whose core the presolve leaves open.
KNAPSACK = """
import numpy as np
from balancer import PEMap, RetentionProblem, register_solver, solve
from balancer.solvers.cp_sat import CpSatSolver

scores = np.random.default_rng(7).random((11, 40))
problem = RetentionProblem(scores, PEMap.output_channel((11, 40), pes=4), 101)
register_solver("rejected", CpSatSolver(integer_bits=64))
solution = solve(problem, {solver!r}, time_limit={limit})
solution.verify(problem)
assert solution.mask.sum() > 90 and 0 < solution.gap < 0.1
print(solution.solver, "|", solution.status, "|", solution.fallback_reason)
"""


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("before", "solver", "limit", "reason"),
    [
        (without("ortools"), "cp-sat", 30, "OR-Tools cannot be imported"),
        (without("ortools.sat"), "cp-sat", 30, "OR-Tools cannot be imported"),
        (without("ortools"), "binary", 30, "OR-Tools cannot be imported"),
        ("", "cp-sat", 0, "a limit of 0 leaves no time to search"),
        ("", "binary", 0, "a limit of 0 leaves no time to search"),
        ("", "rejected", 30, "CP-SAT rejected the model"),
    ],
)
def test_greedy_answers_with_the_reason(before, solver, limit, reason):
    """The answer is greedy's, verified, bounded, and says why."""
    out = python(before + KNAPSACK.format(solver=solver, limit=limit))
    answered, status, why = out.strip().split(" | ")
    assert (answered, status) == ("greedy", "feasible")
    assert reason in why


def test_the_command_line_works_without_or_tools(tmp_path):
    """`balance` without OR-Tools balances the shipped ticket and names the reason."""
    code = (
        without("ortools")
        + "import cli\nsys.exit(cli.main(['balance', '--json', '--out', 'out']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0
    for row in json.loads(done.stdout)["layers"]:
        assert row["solver"] == "greedy"
        assert row["utilization"] == 1.0
        assert "OR-Tools cannot be imported" in row["fallback_reason"]


def without_torch(*args):
    """Run the program where torch cannot be imported."""
    code = without("torch") + f"import cli\nsys.exit(cli.main({list(args)}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_lottery_without_torch_says_how_to_get_it():
    """The help needs no torch, and training without it ends with one line."""
    help_ = without_torch("lottery", "--help")
    assert help_.returncode == 0
    assert "--search-timesteps" in help_.stdout
    done = without_torch("lottery")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install -e '.[snn]'" in done.stderr
    assert done.stderr.count("\n") == 1
