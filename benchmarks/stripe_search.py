"""The stripe search of Pool & Yu for 2:4 masks, to be measured against.

J. Pool and C. Yu, "Channel permutations for N:M sparsity", NeurIPS 2021, section 4: the
columns form stripes of four. Of every pair of stripes the best of the 35 ways to divide
their eight columns is found by trying all; the pairs that gain most and share no stripe
are divided anew, the pairs with a stripe that changed are tried again, and so on until
no pair gains. Where nothing gains, two random columns of different stripes change
places, and the search goes on from there; it returns if that ends lower (their
"bounded regressions").
"""

import time
from itertools import combinations

import numpy as np

SIZE = 4
KEPT = 2
# With column 0 in the first half each division is listed once.
HALVES = [(0, *three) for three in combinations(range(1, 2 * SIZE), SIZE - 1)]
DIVISIONS = np.array(
    [(*half, *(c for c in range(2 * SIZE) if c not in half)) for half in HALVES]
)
# Entries tried at once stay in the cache.
ENTRIES = 2**16


def worth(quads: list[np.ndarray]) -> np.ndarray:
    """Sum of the two best of four columns, over the rows."""
    a, b, c, d = quads
    high, other = np.maximum(a, b), np.maximum(c, d)
    low, least = np.minimum(a, b), np.minimum(c, d)
    second = np.maximum(np.minimum(high, other), np.maximum(low, least))
    best = np.maximum(high, other) + second
    return best.sum(axis=-1, dtype=np.float32)


class StripeSearch:
    """Goes on with each `run`; `order`, `kept` and `complete` tell how far it came."""

    def __init__(self, scores: np.ndarray) -> None:
        self._columns = np.ascontiguousarray(scores.T.astype(np.float32))
        stripes = len(self._columns) // SIZE
        self._members = np.arange(stripes * SIZE).reshape(stripes, SIZE)
        self._pairs = np.array(list(combinations(range(stripes), 2)))
        self._gain = np.zeros(len(self._pairs), dtype=np.float32)
        self._division = np.zeros(len(self._pairs), dtype=np.int64)
        self._rng = np.random.default_rng(0)
        self._stale = list(range(len(self._pairs)))
        self._best = (self._total(), self._members.copy())
        self.complete, self._spent = False, 0.0

    @property
    def order(self) -> np.ndarray:
        return self._best[1].reshape(-1)

    @property
    def kept(self) -> float:
        return self._best[0]

    def _total(self) -> float:
        quads = [self._columns[self._members[:, place]] for place in range(SIZE)]
        return float(worth(quads).sum(dtype=np.float64))

    def _try(self, pairs: np.ndarray) -> None:
        """Try all divisions of some pairs of stripes."""
        columns = self._members[self._pairs[pairs]].reshape(len(pairs), 2 * SIZE)
        eight = [self._columns[columns[:, place]] for place in range(2 * SIZE)]
        values = np.stack(
            [
                worth([eight[c] for c in way[:SIZE]])
                + worth([eight[c] for c in way[SIZE:]])
                for way in DIVISIONS.tolist()
            ]
        )
        self._division[pairs] = values.argmax(axis=0)
        self._gain[pairs] = values.max(axis=0) - values[0]

    def _divide(self) -> set[int]:
        """Divide the pairs that gain most; return the stripes that changed."""
        changed: set[int] = set()
        for pair in np.argsort(-self._gain, kind="stable"):
            if self._gain[pair] <= 1e-5 * self.kept / len(self._members):
                break
            stripes = self._pairs[pair]
            if changed.isdisjoint(stripes.tolist()):
                columns = self._members[stripes].reshape(-1)
                new = columns[DIVISIONS[self._division[pair]]]
                self._members[stripes] = new.reshape(2, SIZE)
                changed.update(stripes.tolist())
        return changed

    def run(self, seconds: float) -> None:
        """Search until all calls together have taken so many seconds."""
        begun = time.perf_counter() - self._spent
        piece = max(1, ENTRIES // (2 * SIZE * self._columns.shape[1]))
        while True:
            while self._stale:
                self._spent = time.perf_counter() - begun
                if self._spent > seconds:
                    return
                self._try(np.array(self._stale[-piece:]))
                del self._stale[-piece:]
            changed = self._divide()
            if not changed:
                self.complete = True
                changed = self._escape()
            elif (total := self._total()) > self.kept:
                self._best = (total, self._members.copy())
            touched = np.isin(self._pairs, list(changed)).any(axis=1)
            self._stale = np.flatnonzero(touched).tolist()

    def _escape(self) -> set[int]:
        """Go back to the best order, and exchange two of its columns."""
        before = self._members
        self._members = self._best[1].copy()
        back = np.flatnonzero((before != self._members).any(axis=1))
        stripes = self._rng.choice(len(self._members), 2, replace=False)
        places = self._rng.integers(0, SIZE, 2)
        first, second = zip(stripes.tolist(), places.tolist(), strict=True)
        members = self._members
        members[first], members[second] = members[second], members[first]
        return {*stripes.tolist(), *back.tolist()}
