"""What all checkers share: the shape of a result, the rows that are looked at, and how a fault is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks.code import Code, residuals, sample_rows

Array = NDArray[Any]
# The fit is made of two products, correlations and Gram matrix, and in float64 the check errs as much as the contender.
PRODUCTS = 4.0


@dataclass(frozen=True)
class Terms:
    """What a contender may do by its own definition; a check allows that and no more."""

    selection: str = ""
    """Another algorithm of the same family than the one measured, by the name that the checker has for it."""
    stops_below: float = 0.0
    """It stops where all scores are at most this."""
    subtracts: bool = False
    """It keeps ||r||^2 and every ||d without span S||^2 by subtracting squares, and stops where ||r||^2 is zero or
    rounding makes an atom that depends on S the best."""
    eps: float = 0.0
    """Its own relative accuracy, where that is worse than the dtype's."""
    expands: bool = False
    """Its distances are the roots of ||x||^2 - 2 <x, d> + ||d||^2."""


class Checker:
    """Checks results for one problem. A kind of result is a subclass with its own `row` or `wrong_rows`."""

    def __init__(self, problem: Problem, rows_checked: int = 160) -> None:
        self.problem, self.rows_checked = problem, rows_checked
        self.signals, self.n_nonzero = problem.signals, problem.n_nonzero
        self.dictionary = problem.dictionary.astype(np.float64)

    def check(self, code: Code, n: int, terms: Terms | None = None) -> str | None:
        """What is wrong with the code of the first n signals, or None."""
        wrong = self._shape(code, n)
        if wrong is not None:
            return wrong
        rows = sample_rows(n, self.rows_checked)
        found = self.wrong_rows(code, rows, terms or Terms())
        if not found:
            return None
        return f"{len(found)} of {len(rows)} checked, first signal {found[0][0]}: {found[0][1]}"

    def residuals(self, code: Code, n: int) -> Array:
        """The relative residual of the first n codes, by which readers see that results are alike."""
        problem = self.problem.first(n)
        return residuals(code, problem.signals, self.dictionary, problem.mask)

    def wrong_rows(self, code: Code, rows: Array, terms: Terms) -> list[tuple[int, str]]:
        """The rows that are wrong, with the reason."""
        return [(int(row), why) for row in rows if (why := self.row(code, int(row), terms)) is not None]

    def row(self, code: Code, row: int, terms: Terms) -> str | None:
        """What is wrong with one row, or None."""
        raise NotImplementedError

    def eps(self, terms: Terms) -> float:
        """The relative accuracy that is asked of a contender."""
        return max(terms.eps, float(np.finfo(self.signals.dtype).eps))

    def rounding(self, terms: Terms) -> float:
        """Of sums of F products and S steps of elimination, whose errors add up as a random walk does."""
        return PRODUCTS * self.eps(terms) * float(np.sqrt(self.dictionary.shape[1] + self.n_nonzero))

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


def entries(code: Code, row: int) -> tuple[Array, Array]:
    """The atoms and the coefficients of one row, without its padding."""
    count = int(code.counts[row])
    return code.indices[row, :count].astype(np.int64), code.values[row, :count].astype(np.float64)


def twice(support: Array) -> str | None:
    """Whether an atom is there more than once."""
    if len(set(support.tolist())) != len(support):
        return f"an atom is selected twice: {support.tolist()}"
    return None
