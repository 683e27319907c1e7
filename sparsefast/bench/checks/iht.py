"""The check of normalised iterative hard thresholding.

Whoever thresholds at every iteration can be led elsewhere by the last digit, so one run in float64 does not say what
is right. Here the definition is run without rounding and again REPLICAS times with rounding put in at random, of the
size that it has: PRODUCTS eps sqrt(F + S) ||d|| (||x|| + sum |a_j| ||d_j||) in a correlation <d, x - a D>, and
PRODUCTS eps sqrt(F + S) of a step.

  support   distinct atoms, at most n_nonzero of them;
  values    where all runs end in one support: that support, and each value to SPREAD times the largest deviation of a
            run from the one without rounding;
  residual  where the runs part: ||x - γ D|| within the runs' own range, widened by its length on either side. Where
            more than half of the rows part, nothing would have been shown, and that is said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks.checker import Checker, Terms, entries, twice
from sparsefast.bench.checks.code import Code

Array = NDArray[Any]
REPLICAS = 8
# Eight draws rarely show the largest deviation there is; a fourfold of theirs is as rarely exceeded.
SPREAD = 4.0
MAX_HALVINGS = 30
SAFE = 0.99


class IhtChecker(Checker):
    """Checks codes of a fixed number of iterations; the runs of a row are made once for each accuracy."""

    def __init__(self, problem: Problem, rows_checked: int = 64) -> None:
        super().__init__(problem, rows_checked)
        self._runs: dict[tuple[float, int], Array] = {}

    def wrong_rows(self, code: Code, rows: Array, terms: Terms) -> list[tuple[int, str]]:
        rounding = self.rounding(terms)
        self._run(rows, rounding)
        found, parted = [], 0
        for row in rows.tolist():
            runs = self._runs[rounding, row]
            norm = float(np.linalg.norm(self.signals[row].astype(np.float64)))
            support, values = entries(code, row)
            agree = ((runs != 0) == (runs[0] != 0)).all()
            parted += not agree
            why = twice(support)
            if why is None and norm == 0.0:
                why = "a zero signal has nonzero coefficients" if values.any() else None
            elif why is None:
                a = np.zeros(len(self.dictionary))
                a[support] = values / norm
                why = self._settled(a, runs, rounding) if agree else self._parted(a, row, norm, runs, rounding)
            if why is not None:
                found.append((row, why))
        if 2 * parted > len(rows):
            return [(int(rows[0]), f"rounding decides {parted} of {len(rows)} rows, too many to check by the rest")]
        return found

    def _settled(self, a: Array, runs: Array, rounding: float) -> str | None:
        expected = np.flatnonzero(runs[0])
        if not np.array_equal(np.flatnonzero(a), expected):
            return f"support {np.flatnonzero(a).tolist()} where it is {expected.tolist()}"
        allowed = SPREAD * np.abs(runs - runs[0]).max() + rounding * np.abs(runs[0]).max(initial=0.0)
        off = np.abs(a - runs[0])
        if off.max() > allowed:
            i = int(np.argmax(off))
            return f"the value of atom {i} is off by {off[i]:.1e} of ||x||, where rounding explains {allowed:.1e}"
        return None

    def _parted(self, a: Array, row: int, norm: float, runs: Array, rounding: float) -> str | None:
        x = self.signals[row].astype(np.float64) / norm
        range_of = np.linalg.norm(x - runs @ self.dictionary, axis=1)
        wide = float(np.ptp(range_of)) + rounding
        residual = float(np.linalg.norm(x - a @ self.dictionary))
        if not range_of.min() - wide <= residual <= range_of.max() + wide:
            return f"residual {residual:.6f} where rounding leads to {range_of.min():.6f} to {range_of.max():.6f}"
        return None

    def _run(self, rows: Array, rounding: float) -> None:
        missing = [row for row in rows.tolist() if (rounding, row) not in self._runs]
        if not missing:
            return
        x = self.signals[missing].astype(np.float64)
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        x = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
        sizes = np.repeat([0.0] + [rounding] * REPLICAS, len(x))
        many = iterate(np.tile(x, (REPLICAS + 1, 1)), self.dictionary, self.n_nonzero, self.problem.n_iterations, sizes)
        for k, row in enumerate(missing):
            self._runs[rounding, row] = many[k :: len(missing)]


def iterate(x: Array, d: Array, n_nonzero: int, n_iterations: int, rounding: Array) -> Array:
    """Normalised IHT of each x (R, F), with rounding of the given size (R,) put in: dense codes (R, K)."""
    rng = np.random.default_rng(0)
    s = min(n_nonzero, *d.shape)
    d_norms = np.linalg.norm(d, axis=1)
    x_norms = np.linalg.norm(x, axis=1, keepdims=True)
    size = rounding[:, None]
    a = np.zeros((len(x), len(d)))
    mu = np.full(len(x), 1 / d_norms.max() ** 2)
    for iteration in range(n_iterations):
        c = (x - a @ d) @ d.T
        c += size * d_norms * (x_norms + np.abs(a) @ d_norms[:, None]) * rng.uniform(-1, 1, c.shape)
        support = (hard_threshold(c, s) if iteration == 0 else a) != 0
        c_support = np.where(support, c, 0)
        along = np.sum((c_support @ d) ** 2, axis=1)
        mu = np.divide(np.sum(c_support**2, axis=1), along, out=mu, where=along > 0)
        mu *= 1 + rounding * rng.uniform(-1, 1, len(mu))
        new = hard_threshold(a + mu[:, None] * c, s)
        left = np.arange(len(x))
        for _ in range(MAX_HALVINGS):
            change = new[left] - a[left]
            changed = ((new[left] != 0) != support[left]).any(axis=1)
            too_long = mu[left] * np.sum((change @ d) ** 2, axis=1) > SAFE * np.sum(change**2, axis=1)
            left = left[changed & too_long]
            if not len(left):
                break
            mu[left] /= 2
            new[left] = hard_threshold(a[left] + mu[left, None] * c[left], s)
        a = new
    return a


def hard_threshold(a: Array, s: int) -> Array:
    """The s entries of each row that are largest in magnitude, and zeros."""
    if s == a.shape[1]:
        return a.copy()
    kept = np.argpartition(-np.abs(a), s - 1, axis=1)[:, :s]
    out = np.zeros_like(a)
    np.put_along_axis(out, kept, np.take_along_axis(a, kept, axis=1), axis=1)
    return out
