"""Orthogonal Matching Pursuit on the observed features of each signal: the definition.

For a signal x (F,), a mask m (F,) that is 1 where x was observed and 0 elsewhere, and a dictionary D (K, F), find a
support S of at most s atoms and

    coefficients = argmin_a || m * (x - a D_S) ||_2

for the atoms as given, so that a D_S fills in what was not observed. Each step selects the largest

    score = |<m * d, r>| ||d|| / ||m * d||        r = m * (x - a D_S)

so that an atom is not disfavoured for what is hidden of it; where nothing is hidden that is OMP's. An atom of which
next to nothing is observed, ||m * d||^2 <= 16 eps ||d||^2, is no candidate. What was not observed of x is not used,
and may be NaN.

That is OMP (sparsefast.kernels.reference.omp) of m * x with the atoms (||d|| / ||m * d||) (m * d), each as long as
before, whose coefficients are multiplied by the same factors; and so it is computed, and stops, here. In its terms:
TOLERANCE is on the observed features, EXHAUSTED is at min(F_observed, K), ORTHOGONAL and DEPENDENT compare with
||m * x|| and ||m * d||, and NONFINITE is said of observed entries.

Sources: Mairal, Elad and Sapiro, Sparse representation for color image restoration, 2008; Elad, Sparse and Redundant
Representations, 2010, chapter 15.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference import omp
from sparsefast.kernels.reference.scaling import FORM, Coded, Layout, code_rows, prepare

__all__ = ["FORM", "masked", "prepare", "pursue"]


def masked(
    signals: np.ndarray,
    mask: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Pursue each row of signals (N, F) where mask (N, F) is True; write values (N, S), indices (N, S), counts (N,)
    and status (N,)."""

    def code(n: int, x: NDArray[np.float64], scaled_tol: float) -> Coded:
        return pursue(x, mask[n], layout.atoms, n_nonzero, scaled_tol)

    code_rows(np.where(mask, signals, 0), code, -layout.exponent, tol, values, indices, counts, status)


def pursue(
    x: NDArray[np.float64], mask: NDArray[np.bool_], atoms: NDArray[np.float64], n_nonzero: int, tol: float
) -> Coded:
    """Masked OMP of one signal, finite where mask is True: its support, coefficients, and why it ended."""
    observed = np.ascontiguousarray(atoms[:, mask])
    norms = np.linalg.norm(atoms, axis=1)
    observed_norms = np.linalg.norm(observed, axis=1)
    candidates = observed_norms**2 > omp.DEPENDENT_AT * norms**2
    factors = np.zeros(len(atoms))
    factors[candidates] = norms[candidates] / observed_norms[candidates]
    support, coefficients, why = omp.pursue(x[mask], observed * factors[:, None], n_nonzero, tol)
    return support, coefficients * factors[support], why
