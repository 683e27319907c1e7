"""The check of non-negative OMP.

  support   distinct atoms, at most n_nonzero, and every coefficient above zero;
  refit     γ is the least squares fit on S, to rounding;
  path      some path of the algorithm, in float64, ends in S. Atoms come and go, so that S alone does not tell the
            path: it is followed from the start, and where two correlations, or a coefficient and zero, or a
            correlation and the stop, cannot be told apart to rounding, both ways are.

A step selects the largest <d, r> and refits with coefficients >= 0 by the inner loop of Lawson and Hanson.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.checks.checker import Checker, Terms, entries, twice
from sparsefast.bench.checks.code import Code
from sparsefast.bench.checks.fit import fit

Array = NDArray[Any]
Support = frozenset[int]
# Of the branches at near-ties; far more than a case needs, and few enough to end.
MOST_STATES = 400
ADDITIONS_PER_ATOM = 4


class PositiveChecker(Checker):
    """Checks codes that must not be negative."""

    def row(self, code: Code, row: int, terms: Terms) -> str | None:
        x = self.signals[row].astype(np.float64)
        norm = float(np.linalg.norm(x))
        if norm == 0.0:
            return "a zero signal has nonzero coefficients" if code.values[row].any() else None
        support, values = entries(code, row)
        if (why := twice(support)) is not None:
            return why
        if (values <= 0).any():
            return f"a coefficient is not above zero: {values.min():.1e}"
        x /= norm
        r = x - (values / norm) @ self.dictionary[support]
        ideal = fit(x, self.dictionary[support], self.rounding(terms), self.eps(terms))
        gap = float(np.linalg.norm(r - ideal.residual))
        if gap > ideal.slack:
            return f"coefficients are not least squares on their support: off by {gap:.1e} of ||x||"
        least = terms.stops_below / norm
        ends = Paths(self.dictionary, x, self.n_nonzero, self.rounding(terms), self.eps(terms), least)
        if not ends.reach(frozenset(support.tolist())):
            return f"no path ends in the support {sorted(support.tolist())}; one ends in {sorted(ends.first or ())}"
        return None


class Paths:
    """The paths of one signal x (F,) of norm 1 that rounding cannot tell apart."""

    def __init__(self, atoms: Array, x: Array, n_nonzero: int, rounding: float, eps: float, stops_below: float) -> None:
        self.atoms, self.x = atoms, x
        self.rounding, self.eps, self.stops_below = rounding, eps, stops_below
        self.limit = min(n_nonzero, *atoms.shape)
        self.norms = np.linalg.norm(atoms, axis=1)
        self.first: Support | None = None
        """Where the path without ties ends."""

    def reach(self, wanted: Support) -> bool:
        """Whether one of the paths ends in the support that is wanted."""
        stack: list[tuple[Support, int]] = [(frozenset(), 0)]
        seen: set[tuple[Support, int]] = set()
        while stack and len(seen) < MOST_STATES:
            state = stack.pop()
            if state in seen:
                continue
            seen.add(state)
            may_end, following = self._step(*state)
            if may_end:
                self.first = self.first if self.first is not None else state[0]
                if state[0] == wanted:
                    return True
            stack.extend((support, state[1] + 1) for support in reversed(following))
        return False

    def _step(self, support: Support, additions: int) -> tuple[bool, list[Support]]:
        """Whether the path may end here, and the supports that may be next, the likeliest first."""
        if len(support) == self.limit or additions == ADDITIONS_PER_ATOM * self.limit:
            return True, []
        chosen = sorted(support)
        now = fit(self.x, self.atoms[chosen], self.rounding, self.eps)
        correlation = self.atoms @ now.residual
        correlation[chosen] = -np.inf
        best = int(np.argmax(correlation))
        allowed = now.slack * self.norms[best]
        enough = max(allowed, 64 * self.eps * self.norms[best], self.stops_below)
        may_end = bool(correlation[best] <= enough)
        if correlation[best] <= 0:
            return True, []
        following: list[Support] = []
        # 2 * allowed: the best and the one that was taken may both be off.
        near = np.flatnonzero(correlation >= max(correlation[best] - 2 * allowed, 0.0))
        for i in sorted(near.tolist(), key=lambda i: -correlation[i]):
            for after in self._refits(chosen, now.coefficients, i):
                if i in after:
                    following.append(after)
                else:
                    may_end = True  # dropped by its own fit: the path stops with the support as it was
        if self._remainder(best, chosen) <= 64 * self.eps:
            may_end = True
        return may_end, following

    def _remainder(self, atom: int, chosen: list[int]) -> float:
        """Squared length of an atom outside the span of the chosen, as a fraction."""
        unit = self.atoms[atom] / self.norms[atom]
        return float(np.sum(fit(unit, self.atoms[chosen], self.rounding, self.eps).residual ** 2))

    def _refits(self, chosen: list[int], gamma: Array, new: int) -> list[Support]:
        """The supports that a refit with a new atom may leave."""
        stack = [([*chosen, new], np.append(gamma, 0.0))]
        found: list[Support] = []
        for _ in range(64):
            if not stack:
                break
            active, gamma = stack.pop()
            now = fit(self.x, self.atoms[active], self.rounding, self.eps)
            z = now.coefficients
            if (z > -now.coefficient_slack).all():
                found.append(frozenset(active))
            falling = z <= now.coefficient_slack
            if not falling.any():
                continue
            alpha = np.full(len(active), np.inf)
            alpha[falling] = gamma[falling] / np.maximum(gamma[falling] - z[falling], np.finfo(np.float64).tiny)
            least = int(np.argmin(alpha))
            gamma = np.maximum(gamma + min(float(alpha[least]), 1.0) * (z - gamma), 0.0)
            stack.append(([a for k, a in enumerate(active) if k != least], np.delete(gamma, least)))
        return found
