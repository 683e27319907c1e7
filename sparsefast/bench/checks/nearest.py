"""The check of nearest atoms.

  nearest    ||x - d|| is the least there is, to rounding;
  distance   it is ||x - d||, to rounding.

Rounding, with u = eps / 2. A square that is summed from the differences is off by (F + 2) u of itself, and its root by
half of that and u. One that is summed as ||x||^2 - 2 <x, d> + ||d||^2 (`Terms.expands`) is off by (F + 2) u of
(||x|| + ||d||)^2, however small it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.checks.checker import Checker, Terms
from sparsefast.bench.checks.code import Code

Array = NDArray[Any]


class NearestChecker(Checker):
    """Checks codes of one entry: the nearest atom, and how far it is."""

    def residuals(self, code: Code, n: int) -> Array:
        """Distances over the root mean square of ||x||: of a signal near zero no atom is near."""
        x = self.signals[:n].astype(np.float64)
        distances: Array = np.linalg.norm(x - self.dictionary[code.indices[:n, 0]], axis=1)
        scale = float(np.sqrt(np.mean(np.sum(x * x, axis=1)))) if n else 0.0
        return distances / scale if scale else distances

    def row(self, code: Code, row: int, terms: Terms) -> str | None:
        if code.counts[row] != 1:
            return f"{code.counts[row]} atoms where one is nearest"
        x = self.signals[row].astype(np.float64)
        difference = self.dictionary - x
        squares = np.einsum("kf,kf->k", difference, difference)
        taken, best = int(code.indices[row, 0]), int(np.argmin(squares))
        relative = (len(x) + 2) * self.eps(terms) / 2
        if terms.expands:
            lengths = np.linalg.norm(x) + np.linalg.norm(self.dictionary[[taken, best]], axis=1)
            slack = relative * lengths**2
        else:
            slack = relative * squares[[taken, best]]
        if squares[taken] - squares[best] > slack.sum():
            return f"took atom {taken} at {squares[taken] ** 0.5:.6g}, atom {best} is at {squares[best] ** 0.5:.6g}"
        distance = float(code.values[row, 0])
        exact = float(squares[taken]) ** 0.5
        # |sqrt(d^2 + e) - d| <= min(e / d, sqrt(e)), and one rounding of the root.
        off = min(slack[0] / exact, slack[0] ** 0.5) if exact > 0 else slack[0] ** 0.5
        if not abs(distance - exact) <= off + self.eps(terms) * exact:
            return f"distance {distance:.6g} of atom {taken} is {exact:.6g}"
        return None
