"""Is a contender's result right? A result that is wrong has no speed.

All in float64, on the contender's own answer r = x - γ D_S:
  support   distinct atoms, at most n_nonzero of them, indices in range, everything finite;
  refit     γ is the least squares fit on S: ||r - r_ls|| within rounding;
  greedy    S is a path that the algorithm may take: replaying it, each atom's score is the largest, to rounding.
            OMP scores |<d, r>| ("omp"); SPAMS is order-recursive and scores |<d, r>| / ||d without span S|| ("ols");
  stop      fewer atoms than asked for only where no atom correlates with r, or the best one depends on S;
  residual  ||r|| equals that of the float64 reference wherever the supports agree. Where they differ the replay has
            shown a tie to rounding, after which both paths are right.
Rounding is 4 eps sqrt(F + S) κ(D_S) max(||x||, σ_1(D_S) ||γ||): sums of F products and S steps of elimination, whose
errors add up as a random walk does, amplified by the condition of S and by how much larger than x its parts are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# The fit is made of two products, correlations and Gram matrix, and in float64 the check errs as much as the contender.
PRODUCTS = 4.0


@dataclass(frozen=True)
class Code:
    """A sparse code as every contender's is read: indices and values (N, S), counts (N,); padding is ignored."""

    indices: Array
    values: Array
    counts: Array


def residuals(code: Code, signals: Array, dictionary: Array) -> Array:
    """||x - γ D|| / ||x|| of the first len(signals) codes, in float64; 0 for a zero signal."""
    n, width = len(signals), code.indices.shape[1]
    values = np.where(np.arange(width) < code.counts[:n, None], code.values[:n], 0).astype(np.float64)
    r = signals.astype(np.float64)
    for k in range(width):
        r -= values[:, k, None] * dictionary[code.indices[:n, k]]
    norms = np.linalg.norm(signals.astype(np.float64), axis=1)
    relative: Array = np.divide(np.linalg.norm(r, axis=1), norms, out=np.zeros(n), where=norms > 0)
    return relative


def from_dense(dense: Array, n_nonzero: int) -> Code:
    """A dense (N, K) code as a Code. Rows with more than n_nonzero entries keep their count and are refused later."""
    counts = np.count_nonzero(dense, axis=1)
    width = max(n_nonzero, int(counts.max(initial=0)))
    rows, columns = np.nonzero(dense)
    place = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    indices = np.zeros((len(dense), width), dtype=np.int64)
    values = np.zeros((len(dense), width), dtype=dense.dtype)
    indices[rows, place], values[rows, place] = columns, dense[rows, columns]
    return Code(indices, values, counts)


def from_csc(matrix: Any, n_nonzero: int) -> Code:
    """A scipy CSC (K, N) code, a column a signal, as a Code."""
    counts = np.diff(matrix.indptr)
    width = max(n_nonzero, int(counts.max(initial=0)))
    place = np.arange(matrix.indices.size) - np.repeat(matrix.indptr[:-1], counts)
    rows = np.repeat(np.arange(counts.size), counts)
    indices = np.zeros((counts.size, width), dtype=np.int64)
    values = np.zeros((counts.size, width), dtype=matrix.dtype)
    indices[rows, place], values[rows, place] = matrix.indices, matrix.data
    return Code(indices, values, counts)


def sample_rows(n: int, wanted: int) -> Array:
    """Rows to check: both ends, where tiles and tails are, and the rest at random with a fixed seed."""
    if n <= wanted:
        return np.arange(n)
    ends = min(24, wanted // 4)
    middle = np.random.default_rng(0).choice(np.arange(ends, n - ends), wanted - 2 * ends, replace=False)
    return np.concatenate([np.arange(ends), np.sort(middle), np.arange(n - ends, n)])


class Checker:
    """Checks codes of one dictionary; the reference of a set of rows is computed once."""

    def __init__(self, signals: Array, dictionary: Array, n_nonzero: int, rows_checked: int = 160) -> None:
        self.signals, self.n_nonzero, self.rows_checked = signals, n_nonzero, rows_checked
        self.eps = float(np.finfo(signals.dtype).eps)
        self.dictionary = dictionary.astype(np.float64)
        self.gram = self.dictionary @ self.dictionary.T
        self._layout: Any = None
        self._references: dict[tuple[str, int], tuple[frozenset[int], float]] = {}

    def check(
        self,
        code: Code,
        n: int,
        selection: str = "omp",
        stops_below: float = 0.0,
        stops_relative: float = 0.0,
        eps: float = 0.0,
    ) -> str | None:
        """What is wrong with the code of the first n signals, or None.

        The contender may stop where all scores are <= stops_below or stops_relative ||x||, and be as inaccurate as eps.
        """
        self.eps = max(eps, float(np.finfo(self.signals.dtype).eps))
        wrong = self._shape(code, n)
        if wrong is not None:
            return wrong
        rows = sample_rows(n, self.rows_checked)
        stops = (stops_below, stops_relative)
        found = [(row, why) for row in rows if (why := self._row(code, int(row), selection, stops)) is not None]
        if not found:
            return None
        return f"{len(found)} of {len(rows)} checked, first signal {found[0][0]}: {found[0][1]}"

    def _shape(self, code: Code, n: int) -> str | None:
        if not len(code.indices) == len(code.values) == len(code.counts) == n:
            return f"{len(code.counts)} codes for {n} signals"
        if code.counts.max(initial=0) > self.n_nonzero or code.counts.min(initial=0) < 0:
            return f"a count of {code.counts.max()} where at most {self.n_nonzero} were asked for"
        if code.indices.max(initial=0) >= len(self.dictionary) or code.indices.min(initial=0) < 0:
            return f"an index outside 0 .. {len(self.dictionary) - 1}"
        if not np.isfinite(code.values).all():
            return "a coefficient that is not finite"
        return None

    def _row(self, code: Code, row: int, selection: str, stops: tuple[float, float]) -> str | None:
        x = self.signals[row].astype(np.float64)
        norm = float(np.linalg.norm(x))
        if norm == 0.0:
            return "a zero signal has nonzero coefficients" if code.values[row].any() else None
        x /= norm
        count = int(code.counts[row])
        support = code.indices[row, :count].astype(np.int64)
        if len(set(support.tolist())) != count:
            return f"an atom is selected twice: {support.tolist()}"
        atoms = self.dictionary[support]
        r = x - (code.values[row, :count].astype(np.float64) / norm) @ atoms
        residual = float(np.linalg.norm(r))
        fit, slack = self._fit(atoms, x)
        gap = float(np.linalg.norm(r - fit))
        if gap > slack:
            return f"coefficients are not least squares on their support: off by {gap:.1e} of ||x||"
        why = self._replay(x, support, selection, slack, max(stops[0] / norm, stops[1]))
        if why is None:
            expected, least = self.reference(row, selection)
            if expected == frozenset(support.tolist()) and residual > least + slack:
                why = f"residual {residual:.6f} where the reference has {least:.6f}"
        return why

    def _fit(self, atoms: Array, x: Array) -> tuple[Array, float]:
        """Residual of the least squares fit of x by atoms, and how far off rounding may be."""
        rounding = PRODUCTS * self.eps * float(np.sqrt(self.dictionary.shape[1] + self.n_nonzero))
        if not len(atoms):
            return x, rounding
        u, singular, _ = np.linalg.svd(atoms.T, full_matrices=False)
        # Directions that the support does not span to rounding are dropped, and so not amplified.
        kept = singular > singular[0] * self.eps * self.dictionary.shape[1]
        u, singular = u[:, kept], singular[kept]
        along = u.T @ x
        largest = max(1.0, float(singular[0] * np.linalg.norm(along / singular)))
        return x - u @ along, rounding * float(singular[0] / singular[-1]) * largest

    def _replay(self, x: Array, support: Array, selection: str, slack: float, stops_below: float) -> str | None:
        path = Path(self.dictionary, self.gram, x, selection, self.eps)
        remaining = support.tolist()
        limit = min(self.n_nonzero, *self.dictionary.shape)
        while True:
            scores = path.scores()
            best = int(np.argmax(scores))
            length = float(np.sqrt(self.gram[best, best]))
            # The OLS score divides by the length that is left, and so does its error.
            allowed = slack * (length if selection == "omp" else 1 / path.remainder(best))
            if not remaining:
                enough = max(allowed, 64 * self.eps * length, stops_below)
                if len(support) >= limit or path.dependent(best) or scores[best] <= enough:
                    return None
                return f"stopped after {len(support)} atoms although atom {best} has score {scores[best]:.1e} of ||x||"
            pick = max(remaining, key=lambda i: float(scores[i]))
            if scores[best] - scores[pick] > allowed:
                step = len(support) - len(remaining)
                return f"step {step} took atom {pick} (score {scores[pick]:.6f}), atom {best} has {scores[best]:.6f}"
            if path.dependent(pick):
                return None  # nothing is left to explain: the largest score is rounding
            path.take(pick)
            remaining.remove(pick)

    def reference(self, row: int, selection: str) -> tuple[frozenset[int], float]:
        """Support and ||r|| / ||x|| of the float64 algorithm; for "omp" that is kernels/reference."""
        key = (selection, row)
        if key not in self._references:
            x = self.signals[row].astype(np.float64)
            x /= np.linalg.norm(x)
            support = self._reference_omp(x) if selection == "omp" else self._reference_ols(x)
            self._references[key] = (
                frozenset(support),
                float(np.linalg.norm(self._fit(self.dictionary[support], x)[0])),
            )
        return self._references[key]

    def _reference_omp(self, x: Array) -> list[int]:
        from sparsefast.kernels.reference import omp as kernel

        values, indices = np.empty((1, self.n_nonzero)), np.empty((1, self.n_nonzero), dtype=np.int64)
        counts, status = np.empty(1, dtype=np.int32), np.empty(1, dtype=np.uint8)
        if self._layout is None:
            self._layout = kernel.prepare(self.dictionary, self.gram, 1)
        kernel.omp(x[None], self._layout, self.n_nonzero, None, values, indices, counts, status, 1)
        return [int(i) for i in indices[0, : counts[0]]]

    def _reference_ols(self, x: Array) -> list[int]:
        path = Path(self.dictionary, self.gram, x, "ols", self.eps)
        for _ in range(min(self.n_nonzero, *self.dictionary.shape)):
            best = int(np.argmax(path.scores()))
            if path.dependent(best):
                break
            path.take(best)
        return path.taken


class Path:
    """The state of a greedy pursuit in float64: correlations <d, r> and squared lengths outside the span, all atoms."""

    def __init__(self, dictionary: Array, gram: Array, x: Array, selection: str, eps: float) -> None:
        self.gram, self.selection, self.eps = gram, selection, eps
        self.correlation = dictionary @ x
        self.lengths = np.diag(gram).copy()
        self.basis: list[Array] = []
        self.taken: list[int] = []

    def scores(self) -> Array:
        scores: Array = np.abs(self.correlation)
        if self.selection == "ols":
            # In the contender's precision a shorter remainder is noise: no implementation can score it.
            usable = self.lengths > 64 * self.eps * np.diag(self.gram)
            scores = np.divide(scores, np.sqrt(self.lengths), out=np.zeros_like(scores), where=usable)
        scores[self.taken] = 0.0
        return scores

    def remainder(self, atom: int) -> float:
        """Length of what the span has left of an atom, as a fraction."""
        return max(float(np.sqrt(self.lengths[atom] / self.gram[atom, atom])), float(np.sqrt(self.eps)))

    def dependent(self, atom: int) -> bool:
        return bool(self.lengths[atom] <= 64 * self.eps * self.gram[atom, atom])

    def take(self, atom: int) -> None:
        length = np.sqrt(self.lengths[atom])
        u = self.gram[atom].copy()
        for other in self.basis:
            u -= other[atom] * other
        u /= length
        self.correlation = self.correlation - self.correlation[atom] / length * u
        self.lengths = np.maximum(self.lengths - u * u, 0.0)
        self.basis.append(u)
        self.taken.append(atom)
