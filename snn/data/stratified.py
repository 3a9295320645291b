"""Draw part of labelled things, with every class in proportion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def stratified_choice(
    labels: npt.NDArray[np.int64], count: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Choose `count` things at random, as many of every class as its share demands.

    Parameters
    ----------
    labels : ndarray of int64 [N]
        Classes, from 0.
    count : int
        From 0 to N.
    rng : Generator
        Where chance comes from.

    Returns
    -------
    ndarray of bool [N]
        True for exactly `count`. A class with n things has its share n * count / N,
        rounded down or up; the largest remainders are rounded up, of equal ones those
        of the lower classes.
    """
    sizes = np.bincount(labels)
    # Integer arithmetic: whole shares must not be rounded, whatever the sizes.
    quotas, remainders = np.divmod(sizes * count, max(len(labels), 1))
    missing = count - quotas.sum()
    quotas[np.argsort(-remainders, kind="stable")[:missing]] += 1
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:quota]] = True
    return chosen
