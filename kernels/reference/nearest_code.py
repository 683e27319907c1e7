"""The atom nearest to each signal, as in vector quantisation: the definition.

For a signal x (F,) and a codebook D (K, F),

    index = argmin_i ||x - d_i||_2        distance = ||x - d_index||_2

the lowest index among equals. The distance is that of the difference, entry by entry: ||x||^2 - 2 <x, d> + ||d||^2
would lose half of the digits where x is near d. An atom that holds NaN or infinity is never chosen. Where x is not
finite, or no atom is, the index is 0 and the distance NaN.

The codebook and each signal are divided by the same power of two, and each difference by one of its own, so that no
square overflows, or vanishes beside a far atom.

Source: Gersho and Gray, Vector Quantization and Signal Compression, 1992.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.reference.scaling import FORM, Layout, exponent_of, prepare

__all__ = ["FORM", "nearest_code", "prepare"]


def nearest_code(
    signals: np.ndarray, layout: Layout, indices: np.ndarray, distances: np.ndarray, n_threads: int
) -> None:
    """Find the atom nearest to each row of signals (N, F); write indices (N,) and distances (N,)."""
    for n, signal in enumerate(signals):
        x = signal.astype(np.float64)
        if not (np.isfinite(x).all() and layout.finite.any()):
            indices[n] = 0
            distances[n] = np.nan
            continue
        exponent = max(exponent_of(x), layout.exponent)
        atoms = np.ldexp(layout.atoms, layout.exponent - exponent)
        each = _norms(np.ldexp(x, -exponent) - atoms)
        each[~layout.finite] = np.inf
        i = int(np.argmin(each))  # the first of equals
        indices[n] = i
        with np.errstate(over="ignore", under="ignore"):
            # Not from `each`: x may have lost digits there, beside a far atom.
            difference = x - np.ldexp(layout.atoms[i], layout.exponent)
            distances[n] = _norms(difference[None])[0].astype(distances.dtype)


def _norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The norm of each row, whose squares may be too small or too large for float64; infinite where a row is."""
    exponents = np.frexp(np.abs(rows).max(axis=1))[1]
    scaled = np.ldexp(rows, -exponents[:, None])
    return np.ldexp(np.sqrt((scaled * scaled).sum(axis=1)), exponents)
