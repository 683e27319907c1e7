"""A greedy pursuit replayed in float64 along the support that a kernel chose: was each choice the best, to rounding?

Two kernels that round differently may select different atoms where two are nearly as good, and all that they do
afterwards differs. So a kernel is held to the definition step by step, given its own earlier choices.

The bound on rounding. A kernel computes <d, r> = <d, x> - sum_j gamma_j <d, d_j> from sums of F products, whose errors
together are at most eps (F + k) ||d|| (||x|| + sum_j |gamma_j| ||d_j||); and its gamma solve the normal equations of
the selected atoms, which shifts r by up to their condition number times as much, so

    |error of <d, r>|      <= 2 eps (F + k) cond(D_S) ||d|| (||x|| + sum_j |gamma_j| ||d_j||)
    |error of ||d_perp||^2| <= 4 eps (F + k) cond(D_S) ||d||^2

the latter for ||d||^2 - ||w||^2 with w the part of d in the span of the selected atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsefast.kernels.status import Status
from tests.kernels.helper import Code, condition, lstsq


@dataclass(frozen=True)
class Step:
    """All atoms (K,) at one step of a pursuit: their scores and by how much a kernel's may differ from them."""

    scores: np.ndarray
    errors: np.ndarray
    surely: np.ndarray
    """Whether an atom is a candidate however its score is rounded."""
    perhaps: np.ndarray
    """Whether it is one if rounding helps."""


class Replay:
    """One signal x (F,) and the atoms (K, F), in float64, pursued by the rule "omp", "ols" or "positive"."""

    def __init__(self, x: np.ndarray, atoms: np.ndarray, eps: float, rule: str = "omp") -> None:
        self.x, self.atoms, self.eps, self.rule = x.astype(np.float64), atoms.astype(np.float64), eps, rule
        self.norms = np.linalg.norm(self.atoms, axis=1)

    def step(self, support: np.ndarray) -> Step:
        """What the rule sees when `support` is selected."""
        selected = self.atoms[support]
        x_norm = np.linalg.norm(self.x)
        residual, parts = self.x, x_norm
        outside = self.atoms
        if len(support):
            coefficients = lstsq(self.x, selected)
            residual = self.x - coefficients @ selected
            parts = x_norm + np.abs(coefficients) @ self.norms[support]
            basis = np.linalg.qr((selected / self.norms[support, None]).T)[0].T
            outside = self.atoms - (self.atoms @ basis.T) @ basis
        rounding = self.eps * (self.x.size + len(support)) * condition(selected)

        correlations = self.atoms @ residual
        if self.rule != "positive":
            correlations = np.abs(correlations)
        errors = 2 * rounding * parts * self.norms
        correlated = 32 * self.eps * x_norm * self.norms
        distances2 = (outside**2).sum(axis=1)
        of_distances2 = 4 * rounding * self.norms**2
        dependent = 16 * self.eps * self.norms**2

        free = self.norms > 0
        free[support] = False
        surely = free & (correlations - errors > correlated) & (distances2 - of_distances2 > dependent)
        perhaps = free & (correlations + errors > correlated) & (distances2 + of_distances2 > dependent)
        scores = np.where(free, correlations, -np.inf)
        if self.rule == "ols":
            # Where rounding may be all of the distance, a score may be anything.
            anything = free & (distances2 <= 2 * of_distances2)
            surely &= ~anything
            distances2 = np.where(free, np.maximum(distances2, of_distances2), 1)
            scores = scores / np.sqrt(distances2)
            errors = errors / np.sqrt(distances2) + np.where(free, scores, 0) * of_distances2 / (2 * distances2)
            errors[anything] = np.inf
        return Step(scores, errors, surely, perhaps)

    def check(self, support: np.ndarray) -> None:
        """Each atom of the support was the best of the candidates when it was selected."""
        for k, i in enumerate(support):
            step = self.step(support[:k])
            assert step.perhaps[i], f"atom {i} is no candidate in step {k}"
            # OMP asks only the best atom whether it is a candidate, OLS all of them.
            others = step.surely if self.rule == "ols" else np.isfinite(step.scores)
            worst = np.where(others, step.scores - step.errors, -np.inf)
            best = int(worst.argmax())
            assert step.scores[i] + step.errors[i] >= worst[best], (
                f"step {k} took atom {i} with score {step.scores[i]:.9g}, atom {best} has {step.scores[best]:.9g}"
            )

    def check_end(self, support: np.ndarray, status: int, n_nonzero: int) -> None:
        """It ended where the rule says, if there is no tol."""
        limit = min(n_nonzero, *self.atoms.shape)
        if len(support) == limit:
            assert status == (Status.COMPLETE if limit == n_nonzero else Status.EXHAUSTED)
            return
        assert status in (Status.ORTHOGONAL, Status.DEPENDENT)
        step = self.step(support)
        if self.rule == "ols":
            assert not step.surely.any(), f"atom {np.argmax(step.surely)} is a candidate"
        else:  # one that may be the best is perhaps no candidate
            top = step.scores + step.errors >= (step.scores - step.errors).max()
            assert (~step.surely[top]).any(), "the best atom is a candidate"

    def is_clear(self, support: np.ndarray) -> bool:
        """Whether every kernel must select this support: no other atom is near as good at any step."""
        for k, i in enumerate(support):
            step = self.step(support[:k])
            rivals = step.perhaps if self.rule == "ols" else np.isfinite(step.scores)
            others = np.where(rivals, step.scores + step.errors, -np.inf)
            others[i] = -np.inf
            if not (step.surely[i] and step.scores[i] - step.errors[i] > others.max()):
                return False
        return True


def check_choices(
    signals: np.ndarray, dictionary: np.ndarray, code: Code, n_nonzero: int, eps: float, rule: str = "omp"
) -> None:
    """Every choice of every signal was the best to rounding, and each ended where it had to; there is no tol."""
    for x, support, status in zip(signals, code.supports(), code.status, strict=True):
        replay = Replay(x, dictionary, eps, rule)
        replay.check(support)
        replay.check_end(support, status, n_nonzero)


def clear(signals: np.ndarray, dictionary: np.ndarray, code: Code, eps: float, rule: str = "omp") -> np.ndarray:
    """For which signals (N,) the support could be no other, however sums are rounded with this eps."""
    return np.array(
        [Replay(x, dictionary, eps, rule).is_clear(s) for x, s in zip(signals, code.supports(), strict=True)], bool
    )


def check_least_squares(signals: np.ndarray, dictionary: np.ndarray, code: Code, eps: float) -> None:
    """The coefficients are least squares on their supports, and the residuals orthogonal to the selected atoms.

    Normal equations: errors in the coefficients grow with the square of the condition number.
    """
    atoms = dictionary.astype(np.float64)
    for x, support, coefficients in zip(signals.astype(np.float64), code.supports(), code.coefficients(), strict=True):
        if not len(support):
            continue
        selected = atoms[support]
        norms = np.linalg.norm(selected, axis=1)
        parts = np.linalg.norm(x) + np.abs(coefficients * norms).sum()
        bound = 4 * eps * (x.size + len(support)) * condition(selected) ** 2 * parts
        assert (np.abs(selected @ (x - coefficients.astype(np.float64) @ selected)) <= bound * norms).all()
        assert (np.abs(coefficients - lstsq(x, selected)) * norms <= bound).all()
