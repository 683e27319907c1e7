"""The n_nonzero atoms of largest correlation: the definition.

For a signal x (F,) and a dictionary D (K, F), c = D x and

    support        the n_nonzero atoms with the largest |c|, or with positive=True the largest c
    coefficients   c on the support

in the order of decreasing |c|, the lowest index first among equals. An atom with c = 0 (positive=True: c <= 0) is not
selected. n_nonzero may be anything up to the number of atoms. This is the encoder of k-sparse autoencoders; where the
atoms are orthonormal it is the best code there is.

    NONFINITE    x is not finite: nothing is selected and the row of values is NaN
    COMPLETE     n_nonzero atoms are selected
    ORTHOGONAL   fewer are: no other atom correlates

Source: Makhzani and Frey, k-Sparse autoencoders, 2013.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference.scaling import FORM, Coded, Layout, code_rows, prepare
from sparsefast.kernels.status import Status

__all__ = ["FORM", "largest", "prepare", "topk"]


def topk(
    signals: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    positive: bool,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Code each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""

    def code(n: int, x: NDArray[np.float64], scaled_tol: float) -> Coded:
        # Row by row and not by BLAS, whose sums may differ between equal atoms: a tie must stay a tie.
        correlations = (layout.atoms * x).sum(axis=1)
        support = largest(np.maximum(correlations, 0) if positive else correlations, n_nonzero)
        why = Status.COMPLETE if len(support) == n_nonzero else Status.ORTHOGONAL
        return support, correlations[support], why

    code_rows(signals, code, layout.exponent, None, values, indices, counts, status)


def largest(a: NDArray[np.float64], n: int) -> list[int]:
    """Where the n entries of a (K,) are that are largest in magnitude, in that order; zeros are left out."""
    order = np.argsort(-np.abs(a), kind="stable")[:n]  # stable: the lowest index first among equals
    return [int(i) for i in order if a[i] != 0]
