"""The score: a table by file, the interval of a sample, and the survivors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .mutants import Mutant
from .trial import Trial

NOTICED = ("killed", "timed out")
Result = tuple[Mutant, Trial]


def interval(noticed: int, tested: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not tested:
        return 0.0, 1.0
    z, share = 1.959964, noticed / tested
    middle = share + z * z / (2 * tested)
    reach = z * math.sqrt(share * (1 - share) / tested + z * z / (4 * tested**2))
    scale = 1 + z * z / tested
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def summary(population: Counter[str], results: Sequence[Result]) -> dict[str, Any]:
    """Everything that is known, for JSON and for the table."""
    by_file: dict[str, Counter[str]] = {path: Counter() for path in population}
    for mutant, trial in results:
        by_file[mutant.path][trial.verdict] += 1
    files = [
        {"file": path, "mutants": population[path], **_counts(counted)}
        for path, counted in by_file.items()
    ]
    total = _counts(sum(by_file.values(), Counter()))
    sampled = total["tested"] < population.total()
    low, high = interval(total["killed"] + total["timed out"], total["tested"])
    return {
        "mutants": population.total(),
        **total,
        "no tests": len(results) - total["tested"],
        "sampled": sampled,
        "interval": [low, high] if sampled else None,
        "files": files,
        "trials": [
            {
                "file": mutant.path,
                "line": mutant.line,
                "operator": mutant.operator,
                "key": list(mutant.key),
                "verdict": trial.verdict,
                "by": trial.by,
                "seconds": round(trial.seconds, 2),
                "difference": mutant.difference(),
            }
            for mutant, trial in results
        ],
    }


def _counts(counted: Counter[str]) -> dict[str, Any]:
    kinds = ("killed", "timed out", "survived")
    tested = sum(counted[kind] for kind in kinds)
    noticed = sum(counted[kind] for kind in NOTICED)
    counts = {kind: counted[kind] for kind in kinds}
    return {"tested": tested, **counts, "score": noticed / tested if tested else None}


def lines(found: dict[str, Any]) -> list[str]:
    """Survivors, the table, and the score in a sentence."""
    said = []
    for trial in found["trials"]:
        if trial["verdict"] == "survived":
            said += [f"{trial['file']}:{trial['line']}  {trial['operator']}"]
            said += ["    " + line for line in trial["difference"].splitlines()]
    width = max(len(row["file"]) for row in found["files"])
    said += ["", f"{'':{width}}  mutants  tested  killed  timed out  survived   score"]
    columns = (("tested", 6), ("killed", 6), ("timed out", 9), ("survived", 8))
    for row in [*found["files"], {**found, "file": "all"}]:
        score = "" if row["score"] is None else f"{row['score']:.1%}"
        said.append(
            f"{row['file']:{width}}  {row['mutants']:7,}  "
            + "".join(f"{row[name]:{wide},}  " for name, wide in columns)
            + f"{score:>6}"
        )
    if found["no tests"]:
        said.append(f"{found['no tests']} are not counted: pytest could not begin.")
    if found["score"] is not None and found["sampled"]:
        low, high = found["interval"]
        said.append(
            f"Score {found['score']:.1%} of a sample of {found['tested']:,} out of "
            f"{found['mutants']:,} mutants; 95 % interval {low:.1%} to {high:.1%}."
        )
    elif found["score"] is not None:
        said.append(f"Score {found['score']:.1%} of all {found['tested']:,} mutants.")
    return said
