"""What the definitions share: a dictionary and signals scaled by powers of two, signal by signal.

The dictionary is divided by the power of two that brings its largest entry into [1/2, 1), and so is each signal. That
is exact, and no norm or inner product can overflow. An atom that holds NaN or infinity counts as zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.status import Status

FORM = "atoms"

# What became of one signal: its support, the coefficients, and why it ended.
Coded = tuple[list[int], NDArray[np.float64], Status]


class Layout(NamedTuple):
    """A dictionary (K, F) in float64."""

    atoms: NDArray[np.float64]  # (K, F), divided by 2**exponent; rows that are not finite are zero
    exponent: int
    finite: NDArray[np.bool_]  # (K,), whether a row was finite


def prepare(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Layout:
    """The dictionary (K, F) in float64 and scaled to entries below one; `gram` and `n_threads` are not needed here."""
    atoms = np.array(dictionary, dtype=np.float64, order="C")
    finite = np.asarray(np.isfinite(atoms).all(axis=1))
    atoms[~finite] = 0
    exponent = exponent_of(atoms)
    return Layout(np.ldexp(atoms, -exponent), exponent, finite)


def exponent_of(a: NDArray[np.float64]) -> int:
    """The e for which the largest |a| / 2**e lies in [1/2, 1); 0 if there is none. All of a is finite."""
    return int(np.frexp(np.abs(a).max(initial=0.0))[1])


def code_rows(
    signals: np.ndarray,
    code: Callable[[int, NDArray[np.float64], float], Coded],
    exponent: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
) -> None:
    """Code each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,).

    `code(n, x, tol)` is asked for the support and coefficients of row n, given x = row / 2**e and tol / 2**e, and its
    coefficients are written times 2**(e + exponent). A tol that is negative or NaN is never met.
    """
    tolerances = np.broadcast_to(np.asarray(-1.0 if tol is None else tol, dtype=np.float64), len(signals))
    values[...] = 0
    indices[...] = 0
    for n, signal in enumerate(signals):
        x = signal.astype(np.float64)
        if not np.isfinite(x).all():
            values[n] = np.nan
            counts[n] = 0
            status[n] = Status.NONFINITE
            continue
        e = exponent_of(x)
        with np.errstate(over="ignore", under="ignore"):  # a tolerance far above or below the signal
            scaled_tol = np.ldexp(tolerances[n], -e)
        support, coefficients, why = code(n, np.ldexp(x, -e), scaled_tol)
        k = len(support)
        with np.errstate(over="ignore", under="ignore"):
            values[n, :k] = np.ldexp(coefficients, e + exponent).astype(values.dtype)
        indices[n, :k] = support
        counts[n] = k
        status[n] = why
