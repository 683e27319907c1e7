"""The check of the largest correlations.

values    each is <d, x>, to γ_F ||x|| ||d||, γ_F = F u / (1 - F u), u = eps / 2: the bound of any order of summation
          (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1);
order     |value| does not increase;
largest   no atom that was left out has a larger |<d, x>| than one that was taken, to twice that;
count     fewer than n_nonzero only where the others are zero, to that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks.checker import Checker, Terms, entries, twice
from sparsefast.bench.checks.code import Code

Array = NDArray[Any]


class TopkChecker(Checker):
    """Checks codes whose values are the correlations themselves."""

    def __init__(self, problem: Problem, rows_checked: int = 160) -> None:
        super().__init__(problem, rows_checked)
        self.norms = np.linalg.norm(self.dictionary, axis=1)

    def row(self, code: Code, row: int, terms: Terms) -> str | None:
        x = self.signals[row].astype(np.float64)
        support, values = entries(code, row)
        if (why := twice(support)) is not None:
            return why
        correlation = self.dictionary @ x
        terms_summed = self.dictionary.shape[1] * self.eps(terms) / 2
        bound = terms_summed / (1 - terms_summed) * float(np.linalg.norm(x)) * self.norms
        off = np.abs(values - correlation[support])
        if (off > bound[support]).any():
            k = int(np.argmax(off - bound[support]))
            return f"entry {k} has value {values[k]:.6g} where <d, x> is {correlation[support[k]]:.6g}"
        if (np.diff(np.abs(values)) > 0).any():
            return f"entries are not in the order of decreasing |value|: {values.tolist()}"
        left_out = np.abs(correlation)
        left_out[support] = -np.inf
        best = int(np.argmax(left_out))
        if len(support) < min(self.n_nonzero, len(self.dictionary)):
            if left_out[best] > bound[best]:
                return f"only {len(support)} atoms although atom {best} has correlation {correlation[best]:.6g}"
        elif left_out[best] - np.abs(correlation[support[-1]]) > bound[best] + bound[support[-1]]:
            return f"atom {best} has |<d, x>| {left_out[best]:.6g} and was left out for atom {support[-1]}"
        return None
