"""Comparisons of other seeds, made elsewhere, as one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from balancer.errors import MALFORMED
from balancer.text_files import read_text_file
from snn.lottery.comparison import MethodComparison, Run
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import LotteryConfig

# Where things are on a machine, and what each run of a comparison has of its own.
_MAY_DIFFER = ("data_folder", "download", "tensorboard", "method", "seed")


def read_comparison(path: Path | str) -> MethodComparison:
    """Read the ``comparison.json`` that ``lottery --compare`` writes.

    Raises
    ------
    ComparisonError
        A file that cannot be read, or holds something else.

    Examples
    --------
    >>> from pathlib import Path
    >>> from snn import LotteryConfig, MethodComparison, read_comparison
    >>> made = MethodComparison(LotteryConfig(), ("lth", "optimal"), (0, 1), runs=())
    >>> _ = Path("comparison.json").write_text(made.to_json())
    >>> read_comparison("comparison.json").methods
    ('lth', 'optimal')
    """
    path = Path(path)
    known = read_text_file("JSON", path, ComparisonError)
    try:
        return MethodComparison.from_dict(known)
    except MALFORMED as error:  # those of its configuration are among them
        raise ComparisonError(
            f"is no comparison.json of `lottery --compare` ({error!r})", about=path
        ) from error


def merge_comparisons(*comparisons: MethodComparison) -> MethodComparison:
    """Join comparisons of the same methods with other seeds.

    So a study is spread over machines. A run that several have must be the same in
    all; where one has it and another failed, it counts.

    Parameters
    ----------
    comparisons : MethodComparison
        One or more, with the same methods and the same configuration, but for the
        folder of the data.

    Returns
    -------
    MethodComparison
        With the seeds of all, in order.

    Raises
    ------
    ComparisonError
        No comparisons, or such as do not belong together.

    Examples
    --------
    >>> from snn import LotteryConfig, MethodComparison, merge_comparisons
    >>> here, there = (
    ...     MethodComparison(LotteryConfig(), ("lth", "optimal"), (seed,), runs=())
    ...     for seed in (1, 0)
    ... )
    >>> merge_comparisons(here, there).seeds
    (0, 1)
    """
    if not comparisons:
        raise ComparisonError("no comparisons to merge; give one at least")
    first, *others = comparisons
    for other in others:
        _check(first, other)
    seeds = sorted({seed for one in comparisons for seed in one.seeds})
    runs = _joined(run for one in comparisons for run in one.runs)
    failures = {
        (failure.method, failure.seed): failure
        for one in reversed(comparisons)
        for failure in one.failures
    }
    order = [(method, seed) for method in first.methods for seed in seeds]
    return MethodComparison(
        first.config,
        first.methods,
        tuple(seeds),
        tuple(runs[key] for key in order if key in runs),
        tuple(failures[key] for key in order if key in failures and key not in runs),
    )


def _check(first: MethodComparison, other: MethodComparison) -> None:
    if other.methods != first.methods:
        raise ComparisonError(
            f"comparisons of {', '.join(first.methods)} and of "
            f"{', '.join(other.methods)}; merge those of the same methods in the same "
            "order"
        )
    ours, theirs = _common(first.config), _common(other.config)
    said = ", ".join(
        f"{name} ({ours.get(name)}, {theirs.get(name)})"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    )
    if said:
        raise ComparisonError(
            f"comparisons that differ in {said}; merge those that differ in seeds only"
        )


def _common(config: LotteryConfig) -> dict[str, object]:
    """Return what the configurations of all parts have to agree in."""
    known = config.in_common()
    known = {name: value for name, value in known.items() if name not in _MAY_DIFFER}
    return known | {"dataset": Path(config.dataset).name}


def _joined(runs: Iterable[Run]) -> dict[tuple[str, int], Run]:
    """Arrange runs by method and seed; those that are there twice must agree."""
    found: dict[tuple[str, int], Run] = {}
    for run in runs:
        former = found.setdefault((run.method, run.seed), run)
        if former != run:
            raise ComparisonError(
                f"{run.method}, seed {run.seed} has several outcomes; give every seed "
                "to one machine, or leave one of the comparisons out"
            )
    return found
