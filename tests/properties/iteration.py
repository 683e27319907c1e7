"""One iteration of iterative hard thresholding in float64, and by how much a kernel's may differ.

Each entry of c = D (x - a D) is a sum of F products of an atom with x and s rows, off by at most

    of_c = 2 eps (F + s) max ||d|| (||x|| + sum |a_j| max ||d||)

From it follow the errors of the normalised step mu = ||c_G||^2 / ||c_G D_G||^2, of a + mu c, and of both sides of
mu <= 0.99 ||a' - a||^2 / ||(a' - a) D||^2. Where entries are equal to rounding, a kernel may keep either.
"""

from __future__ import annotations

import numpy as np

MAX_HALVINGS = 30


class Iteration:
    """From the code a (K,) of a signal x (F,) in atoms (K, F), of at most s entries; all in float64."""

    def __init__(self, x: np.ndarray, atoms: np.ndarray, a: np.ndarray, s: int, eps: float) -> None:
        self.atoms, self.a, self.s, self.eps = atoms, a, s, eps
        self.longest = float(np.linalg.norm(atoms, axis=1).max())
        self.residual = x - a @ atoms
        self.c = atoms @ self.residual
        parts = float(np.linalg.norm(x) + np.abs(a).sum() * self.longest)
        self.of_c = 2 * eps * (x.size + s) * self.longest * parts

    def errors(self, target: np.ndarray, mu: float, of_mu: float) -> np.ndarray:
        """Of target = a + mu c, with the relative error of mu."""
        return mu * (self.of_c + np.abs(self.c) * of_mu) + 8 * self.eps * np.abs(target)

    def leads_to(self, new: np.ndarray, mu: float, of_mu: float) -> bool:
        """Whether `new` is H_s(a + mu c), to rounding; or a, where that overflows."""
        target = self.a + mu * self.c
        if not np.abs(target).max() < np.finfo(np.float32).max / 4:
            return True
        errors = self.errors(target, mu, of_mu)
        kept = np.flatnonzero(new)
        if not (np.abs(new - target)[kept] <= errors[kept]).all():
            return False
        left = np.delete(np.abs(target) - errors, kept)
        least = (np.abs(target) + errors)[kept].min() if len(kept) == self.s else 0.0
        return bool((left <= least).all())

    def step_along(self, support: np.ndarray) -> tuple[float, float] | None:
        """mu for a support and its relative error; None where the gradient on it is hardly more than its rounding, of
        which the step is made then."""
        gradient = np.linalg.norm(self.c[support])
        ascent = np.linalg.norm(self.c[support] @ self.atoms[support])
        of_gradient = np.sqrt(self.s) * self.of_c
        if not gradient > 8 * of_gradient or not ascent > 0:
            return None
        of_mu = 2 * of_gradient * (1 / gradient + np.sqrt(self.s) * self.longest / ascent)
        return float(gradient**2 / ascent**2), float(of_mu + 4 * self.atoms.shape[1] * self.eps)

    def check_first(self, new: np.ndarray) -> None:
        """From a = 0 the step is along the support that it finds, and the support cannot change."""
        step = self.step_along(np.flatnonzero(new))
        assert step is None or self.leads_to(new, *step)

    def check_normalised(self, new: np.ndarray) -> None:
        """A step along the support of a, halved until the support stays or the residual surely shrinks."""
        support = np.flatnonzero(self.a)
        step = self.step_along(support)
        if step is None:
            return
        mu, of_mu = step
        for halving in range(MAX_HALVINGS + 1):
            if self.leads_to(new, mu, of_mu) and (
                halving == MAX_HALVINGS
                or np.array_equal(np.flatnonzero(new), support)
                or self.is_short(new, mu, of_mu) is not False
            ):
                return
            target = self.a + mu * self.c
            errors = self.errors(target, mu, of_mu)
            order = np.argsort(-np.abs(target), kind="stable")
            kept, rest = order[: self.s], order[self.s :]
            if np.abs(target)[rest].max(initial=0) + errors.max() < np.abs(target)[kept].min() - errors.max():
                mine = np.zeros_like(target)
                mine[kept] = target[kept]
                ends = np.array_equal(np.sort(kept), support) or self.is_short(mine, mu, of_mu) is True
                assert not ends, f"the step {mu} was to be taken, after {halving} halvings"
            mu /= 2
        raise AssertionError("no step leads there")

    def is_short(self, new: np.ndarray, mu: float, of_mu: float) -> bool | None:
        """Whether mu <= 0.99 ||new - a||^2 / ||(new - a) D||^2; None where rounding decides."""
        change = new - self.a
        length, energy = np.linalg.norm(change), np.linalg.norm(change @ self.atoms)
        if length == 0 or energy == 0:
            return None
        of_change = np.sqrt(2 * self.s) * self.errors(new, mu, of_mu).max()
        slack = of_mu + 2 * of_change * (1 / length + np.sqrt(2 * self.s) * self.longest / energy)
        slack += 4 * self.atoms.shape[1] * self.eps
        ratio = mu * energy**2 / (0.99 * length**2)
        return None if abs(ratio - 1) <= slack else bool(ratio < 1)
