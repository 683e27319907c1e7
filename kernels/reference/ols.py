"""Order-recursive matching pursuit, also called orthogonal least squares or optimised OMP: the definition.

As OMP (sparsefast.kernels.reference.omp), but each step adds the atom with which the residual becomes smallest. With
d_perp the part of an atom d outside the span of the selected atoms, adding d lowers ||r||^2 by score^2, where

    score = |<d, r>| / ||d_perp||

The candidates are the atoms not selected of which both are true:

    correlated     |<d, r>| > 32 eps ||x|| ||d||
    independent    ||d_perp||^2 > 16 eps ||d||^2

When it stops: as OMP, except that where there is no candidate it is DEPENDENT if an atom not selected is correlated,
else ORTHOGONAL. Here the d_perp themselves are kept, made orthogonal to each selected atom in turn; the other kernels
keep their norms, which the progressive Cholesky factor gives.

Sources: Chen, Billings and Luo, Orthogonal least squares methods and their application to non-linear system
identification, 1989; Rebollo-Neira and Lowe, Optimized orthogonal matching pursuit approach, 2002.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference.omp import DEPENDENT_AT, ORTHOGONAL_AT, least_squares
from sparsefast.kernels.reference.scaling import FORM, Coded, Layout, code_rows, prepare
from sparsefast.kernels.status import Status

__all__ = ["FORM", "ols", "prepare", "pursue"]


def ols(
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
    """OLS of one finite signal: the support in the order of selection, its coefficients, and why it ended."""
    n_atoms, n_features = atoms.shape
    limit = min(n_nonzero, n_features, n_atoms)
    atom_norms = np.linalg.norm(atoms, axis=1)
    x_norm = np.linalg.norm(x)

    support: list[int] = []
    coefficients = np.empty(0)
    residual = x
    outside = atoms  # the d_perp
    basis = np.empty((0, n_features))  # orthonormal rows that span the selected atoms
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
        distances = np.sqrt((outside * outside).sum(axis=1))
        correlated = correlations > ORTHOGONAL_AT * x_norm * atom_norms
        candidates = correlated & (distances**2 > DEPENDENT_AT * atom_norms**2)
        if not candidates.any():
            why = Status.DEPENDENT if correlated.any() else Status.ORTHOGONAL
            return support, coefficients, why
        scores = np.zeros(n_atoms)
        scores[candidates] = correlations[candidates] / distances[candidates]
        i = int(np.argmax(scores))  # the first of equals

        # Once more against the basis: what rounding left of it in a short d_perp would be magnified.
        q = outside[i] / distances[i]
        q = q - (basis @ q) @ basis
        q /= np.linalg.norm(q)
        basis = np.vstack([basis, q])
        outside = outside - (outside * q).sum(axis=1, keepdims=True) * q

        support.append(i)
        coefficients = least_squares(atoms[support], atom_norms[support], x)
        residual = x - coefficients @ atoms[support]
