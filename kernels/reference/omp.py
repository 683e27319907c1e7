"""Orthogonal Matching Pursuit: the definition.

For a signal x (F,) and a dictionary D (K, F) whose rows are the atoms, find a support S of at most s atoms and

    coefficients = argmin_a || x - a D_S ||_2

by adding to S, one at a time, the atom that correlates most with what is left of x, and fitting all coefficients
again after each (Pati, Rezaiifar and Krishnaprasad, 1993). Atoms are taken as given: one with a larger norm has larger
correlations. The other kernels compute the same from the Gram matrix G = D D^T and a progressive Cholesky factor
of G_SS (Batch-OMP: Rubinstein, Zibulevsky and Elad, 2008); here the residual itself is kept, and the Cholesky factor
serves only to say how far an atom lies outside the span of those selected.

When it stops, in the order in which the questions are asked (sparsefast.kernels.status has the codes):

    NONFINITE    x is not finite: nothing is selected and the row of values is NaN
    TOLERANCE    ||r|| <= tol, the norm itself and not its square
    COMPLETE     n_nonzero atoms are selected
    EXHAUSTED    min(F, K) atoms are selected: more cannot be independent
    ORTHOGONAL   |<d, r>| <= 32 eps ||x|| ||d|| for the best atom d: what is left is rounding, or out of D's reach
    DEPENDENT    the squared distance of d from the span of the selected atoms is <= 16 eps ||d||^2: a fit with it
                 would have coefficients made of rounding

eps is that of float64, in which everything here is computed. Ties go to the lowest index; an atom that holds NaN or
infinity counts as zero and is never selected. The signal and the dictionary are each scaled by a power of two, exactly,
so that no norm can overflow.

A Gram matrix that the caller gives is a promise of D D^T that saves work: it never changes what is defined here.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference.scaling import FORM, Coded, Layout, code_rows, prepare
from sparsefast.kernels.status import Status

__all__ = ["DEPENDENT_AT", "EPS", "FORM", "ORTHOGONAL_AT", "least_squares", "omp", "prepare", "pursue"]

EPS = float(np.finfo(np.float64).eps)
ORTHOGONAL_AT = 32 * EPS
DEPENDENT_AT = 16 * EPS


def omp(
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
    """OMP of one finite signal: the support in the order of selection, its coefficients, and why it ended.

    A tol that is negative or NaN is never met.
    """
    n_atoms, n_features = atoms.shape
    limit = min(n_nonzero, n_features, n_atoms)
    atom_norms = np.linalg.norm(atoms, axis=1)
    x_norm = np.linalg.norm(x)

    support: list[int] = []
    coefficients = np.empty(0)
    residual = x
    factor = np.zeros((limit, limit))  # lower triangular: factor @ factor.T = G_SS
    while True:
        k = len(support)
        if np.linalg.norm(residual) <= tol:
            return support, coefficients, Status.TOLERANCE
        if k == n_nonzero:
            return support, coefficients, Status.COMPLETE
        if k == limit:
            return support, coefficients, Status.EXHAUSTED

        # Row by row and not by BLAS, whose sums may differ between equal atoms: a tie must stay a tie.
        correlations = np.abs((atoms * residual).sum(axis=1))
        correlations[support] = 0
        i = int(np.argmax(correlations))  # the first of equals
        if correlations[i] <= ORTHOGONAL_AT * x_norm * atom_norms[i]:
            return support, coefficients, Status.ORTHOGONAL

        # G_ii = ||w||^2 + distance2: the parts of the atom inside and outside the span of the support.
        w = np.linalg.solve(factor[:k, :k], atoms[support] @ atoms[i])
        distance2 = atom_norms[i] ** 2 - w @ w
        if distance2 <= DEPENDENT_AT * atom_norms[i] ** 2:
            return support, coefficients, Status.DEPENDENT
        factor[k, :k] = w
        factor[k, k] = np.sqrt(distance2)

        support.append(i)
        coefficients = least_squares(atoms[support], atom_norms[support], x)
        residual = x - coefficients @ atoms[support]


def least_squares(
    selected: NDArray[np.float64], norms: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """argmin_a ||x - a selected||; unit columns keep small atoms from looking like a loss of rank."""
    return np.linalg.lstsq((selected / norms[:, None]).T, x, rcond=0)[0] / norms
