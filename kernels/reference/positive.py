"""Non-negative Orthogonal Matching Pursuit: the definition.

For a signal x (F,) and a dictionary D (K, F), a support S of at most s atoms and coefficients gamma > 0 that minimise
||x - gamma D_S||. Each step

1. selects the atom, of those not in S, with the largest correlation <d, r>, its sign included: a negative one could
   only be subtracted;
2. fits gamma >= 0 on S and the new atom by the inner loop of Lawson and Hanson, the new atom starting from gamma = 0:

       z = least squares on S
       while some z_j <= 0:
           alpha = min over those j of gamma_j / (gamma_j - z_j)
           gamma <- gamma + alpha (z - gamma)
           drop from S the atoms with gamma_j <= 0, at least one that attains the minimum
           z = least squares on S
       gamma = z

   The atoms that are left keep their order of selection.

When it stops: as OMP (sparsefast.kernels.reference.omp) with the signed correlation, in the same order, and besides

    EXHAUSTED    after 4 min(s, F, K) additions too: atoms that come and go for ever would do so by rounding
    ORTHOGONAL   too if the new atom is dropped by its own fit, when its correlation was rounding; the support and
                 coefficients are put back as they were before it

With s = min(F, K) the steps are those of Lawson and Hanson's non-negative least squares.

Sources: Bruckstein, Elad and Zibulevsky, On the uniqueness of nonnegative sparse solutions to underdetermined systems
of equations, 2008; Nguyen, Idier, Soussen and Djermoune, Non-negative orthogonal greedy algorithms, 2019; Lawson and
Hanson, Solving Least Squares Problems, 1974, chapter 23.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference.omp import DEPENDENT_AT, ORTHOGONAL_AT, least_squares
from sparsefast.kernels.reference.scaling import FORM, Coded, Layout, code_rows, prepare
from sparsefast.kernels.status import Status

__all__ = ["FORM", "positive", "prepare", "pursue"]

ADDITIONS_PER_ATOM = 4


def positive(
    signals: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Pursue each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""

    def code(n: int, x: NDArray[np.float64], scaled_tol: float) -> Coded:
        return pursue(x, layout.atoms, n_nonzero, scaled_tol)

    code_rows(signals, code, -layout.exponent, tol, values, indices, counts, status)


def pursue(x: NDArray[np.float64], atoms: NDArray[np.float64], n_nonzero: int, tol: float) -> Coded:
    """Non-negative OMP of one finite signal: the support as selected, its coefficients > 0, and why it ended."""
    n_atoms, n_features = atoms.shape
    limit = min(n_nonzero, n_features, n_atoms)
    atom_norms = np.linalg.norm(atoms, axis=1)
    x_norm = np.linalg.norm(x)

    support: list[int] = []
    coefficients = np.empty(0)
    residual = x
    n_additions = 0
    while True:
        k = len(support)
        if np.linalg.norm(residual) <= tol:
            return support, coefficients, Status.TOLERANCE
        if k == n_nonzero:
            return support, coefficients, Status.COMPLETE
        if k == limit or n_additions == ADDITIONS_PER_ATOM * limit:
            return support, coefficients, Status.EXHAUSTED

        # Row by row and not by BLAS, whose sums may differ between equal atoms: a tie must stay a tie.
        correlations = (atoms * residual).sum(axis=1)
        correlations[support] = 0
        i = int(np.argmax(correlations))  # the first of equals
        if correlations[i] <= ORTHOGONAL_AT * x_norm * atom_norms[i]:
            return support, coefficients, Status.ORTHOGONAL
        if _distance2(atoms[i], atoms[support]) <= DEPENDENT_AT * atom_norms[i] ** 2:
            return support, coefficients, Status.DEPENDENT

        refitted = refit([*support, i], np.append(coefficients, 0.0), atoms, atom_norms, x)
        if refitted is None:
            return support, coefficients, Status.ORTHOGONAL
        support, coefficients = refitted
        residual = x - coefficients @ atoms[support]
        n_additions += 1


def refit(
    support: list[int],
    gamma: NDArray[np.float64],
    atoms: NDArray[np.float64],
    atom_norms: NDArray[np.float64],
    x: NDArray[np.float64],
) -> tuple[list[int], NDArray[np.float64]] | None:
    """Lawson and Hanson's inner loop from gamma, 0 for the new atom, which is the last, and positive for the others.

    Returns the atoms that it leaves and their gamma > 0, or None if it drops the new one.
    """
    new = support[-1]
    while new in support:
        z = least_squares(atoms[support], atom_norms[support], x)
        falling = z <= 0
        if not falling.any():
            return support, z
        if falling[-1] and gamma[-1] == 0:  # alpha is 0, and 0 / 0 where z is
            return None
        alphas = np.full(len(support), np.inf)
        alphas[falling] = gamma[falling] / (gamma[falling] - z[falling])
        alpha = alphas.min()
        gamma = gamma + alpha * (z - gamma)
        stays = (gamma > 0) & (alphas > alpha)  # rounding may leave an atom that attains the minimum above 0
        support = [i for i, kept in zip(support, stays, strict=True) if kept]
        gamma = gamma[stays]
    return None


def _distance2(atom: NDArray[np.float64], selected: NDArray[np.float64]) -> float:
    """The squared distance of an atom from the span of the selected atoms."""
    projection = least_squares(selected, np.linalg.norm(selected, axis=1), atom) @ selected
    return float(np.sum((atom - projection) ** 2))
