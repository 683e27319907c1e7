"""The check of greedy pursuits: OMP, order-recursive (OLS), and either on the observed features alone.

All in float64, on the contender's own answer r = x - γ D_S:
  support   distinct atoms, at most n_nonzero of them, indices in range, everything finite;
  refit     γ is the least squares fit on S: ||r - r_ls|| within rounding;
  greedy    S is a path that the algorithm may take: replaying it, each atom's score is the largest, to rounding.
            OMP scores |<d, r>| ("omp"); order-recursive ones, as SPAMS is, |<d, r>| / ||d without span S|| ("ols");
  stop      fewer atoms than asked for only where no atom correlates with r, or the best one depends on S (SPAMS stops
            earlier, by its own definition: `Terms.subtracts`);
  residual  ||r|| equals that of the float64 algorithm wherever the supports agree. Where they differ the replay has
            shown a tie to rounding, after which both paths are right.
With a mask m all that is said of m * x and the atoms m * d, and OMP scores |<m * d, r>| ||d|| / ||m * d||, of atoms
that are not hidden altogether.
Rounding is 4 eps sqrt(F + S) κ(D_S) max(||x||, σ_1(D_S) ||γ||): sums of F products and S steps of elimination, whose
errors add up as a random walk does, amplified by the condition of S and by how much larger than x its parts are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks.checker import Checker, Terms, entries, twice
from sparsefast.bench.checks.code import Code
from sparsefast.bench.checks.fit import fit

Array = NDArray[Any]


@dataclass(frozen=True)
class View:
    """A signal of norm 1, the atoms, and the factor of each atom's score, where nothing hidden is left."""

    x: Array
    norm: float
    atoms: Array
    weights: Array
    limit: int
    """How many atoms can be selected."""


class GreedyChecker(Checker):
    """Checks codes of one dictionary; the float64 path of a row is computed once."""

    def __init__(self, problem: Problem, selection: str = "omp", rows_checked: int = 160) -> None:
        super().__init__(problem, rows_checked)
        self.selection = selection
        self._layout: Any = None
        self._references: dict[tuple[str, int], tuple[frozenset[int], float]] = {}

    def view(self, row: int, eps: float) -> View:
        """What the pursuit of a row works on."""
        x, atoms = self.signals[row].astype(np.float64), self.dictionary
        weights, n_features = np.ones(len(atoms)), atoms.shape[1]
        if self.problem.mask is not None:
            mask = self.problem.mask[row]
            x, atoms, n_features = x[mask], atoms[:, mask], int(mask.sum())
            whole, seen = np.linalg.norm(self.dictionary, axis=1), np.linalg.norm(atoms, axis=1)
            weights = np.divide(whole, seen, out=np.zeros_like(whole), where=seen**2 > 16 * eps * whole**2)
        norm = float(np.linalg.norm(x))
        limit = min(self.n_nonzero, n_features, len(atoms))
        return View(x / norm if norm else x, norm, atoms, weights, limit)

    def row(self, code: Code, row: int, terms: Terms) -> str | None:
        view = self.view(row, self.eps(terms))
        if view.norm == 0.0:
            return "a zero signal has nonzero coefficients" if code.values[row].any() else None
        support, values = entries(code, row)
        if (why := twice(support)) is not None:
            return why
        selection = terms.selection or self.selection
        r = view.x - (values / view.norm) @ view.atoms[support]
        ideal = fit(view.x, view.atoms[support], self.rounding(terms), self.eps(terms))
        gap = float(np.linalg.norm(r - ideal.residual))
        if gap > ideal.slack:
            return f"coefficients are not least squares on their support: off by {gap:.1e} of ||x||"
        path = Path(view, selection, self.eps(terms))
        why = self._replay(path, support.tolist(), ideal.slack, terms.stops_below / view.norm, terms.subtracts)
        if why is None:
            expected, least = self.reference(row, selection, terms)
            residual = float(np.linalg.norm(r))
            if expected == frozenset(support.tolist()) and residual > least + ideal.slack:
                why = f"residual {residual:.6f} where the reference has {least:.6f}"
        return why

    def _replay(self, path: Path, support: list[int], slack: float, stops_below: float, subtracts: bool) -> str | None:
        if subtracts:
            # A part of x along an atom is off by the slack, its square by twice that: zero may be ||r||^2 of as much.
            stops_below = max(stops_below, (2 * slack) ** 0.5)
        remaining = list(support)
        while True:
            scores = path.scores()
            best = int(np.argmax(scores))
            length = float(np.sqrt(path.norms2[best]))
            # The OLS score divides by the length that is left, and so does its error.
            allowed = slack * (length * path.weights[best] if path.selection == "omp" else 1 / path.remainder(best))
            if not remaining:
                enough = max(allowed, 64 * path.eps * length, stops_below)
                ended = len(support) >= path.limit or path.dependent(best) or scores[best] <= enough
                if ended or (subtracts and path.any_dependent()):
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

    def reference(self, row: int, selection: str, terms: Terms) -> tuple[frozenset[int], float]:
        """Support and ||r|| / ||x|| of the float64 algorithm; for OMP of all features that is kernels/reference."""
        key = (selection, row)
        if key not in self._references:
            eps = self.eps(terms)
            view = self.view(row, eps)
            if selection == "omp" and self.problem.mask is None:
                support = self._reference_omp(view)
            else:
                support = Path(view, selection, eps).run()
            least = fit(view.x, view.atoms[support], self.rounding(terms), eps).residual
            self._references[key] = frozenset(support), float(np.linalg.norm(least))
        return self._references[key]

    def _reference_omp(self, view: View) -> list[int]:
        from sparsefast.kernels.reference import omp as kernel

        values, indices = np.empty((1, self.n_nonzero)), np.empty((1, self.n_nonzero), dtype=np.int64)
        counts, status = np.empty(1, dtype=np.int32), np.empty(1, dtype=np.uint8)
        if self._layout is None:
            self._layout = kernel.prepare(view.atoms, None, 1)
        kernel.omp(view.x[None], self._layout, self.n_nonzero, None, values, indices, counts, status, 1)
        return [int(i) for i in indices[0, : counts[0]]]


class Path:
    """The state of a greedy pursuit in float64: correlations <d, r> and squared lengths outside the span, all atoms."""

    def __init__(self, view: View, selection: str, eps: float) -> None:
        self.atoms, self.weights, self.limit = view.atoms, view.weights, view.limit
        self.selection, self.eps = selection, eps
        self.correlation = view.atoms @ view.x
        self.norms2 = np.einsum("kf,kf->k", view.atoms, view.atoms)
        self.lengths = self.norms2.copy()
        self.basis: list[Array] = []
        self.taken: list[int] = []

    def scores(self) -> Array:
        scores: Array = np.abs(self.correlation)
        if self.selection == "omp":
            scores = scores * self.weights
        else:
            # In the contender's precision a shorter remainder is noise: no implementation can score it.
            usable = (self.lengths > 64 * self.eps * self.norms2) & (self.weights > 0)
            scores = np.divide(scores, np.sqrt(self.lengths), out=np.zeros_like(scores), where=usable)
        scores[self.taken] = 0.0
        return scores

    def remainder(self, atom: int) -> float:
        """Length of what the span has left of an atom, as a fraction."""
        return max(float(np.sqrt(self.lengths[atom] / self.norms2[atom])), float(np.sqrt(self.eps)))

    def dependent(self, atom: int) -> bool:
        return bool(self.lengths[atom] <= 64 * self.eps * self.norms2[atom])

    def any_dependent(self) -> bool:
        """Whether an atom that is not taken lies in the span of those that are, to rounding."""
        short = self.lengths <= 64 * self.eps * self.norms2
        short[self.taken] = False
        return bool(short.any())

    def take(self, atom: int) -> None:
        length = np.sqrt(self.lengths[atom])
        u = self.atoms @ self.atoms[atom]
        for other in self.basis:
            u -= other[atom] * other
        u /= length
        self.correlation = self.correlation - self.correlation[atom] / length * u
        self.lengths = np.maximum(self.lengths - u * u, 0.0)
        self.basis.append(u)
        self.taken.append(atom)

    def run(self) -> list[int]:
        """The atoms that the pursuit selects."""
        for _ in range(self.limit):
            best = int(np.argmax(self.scores()))
            if self.dependent(best):
                break
            self.take(best)
        return self.taken
