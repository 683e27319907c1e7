"""Analytic dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import arrays


def overcomplete_dct(patch_size: int, n_atoms_per_axis: int, dtype: Any = np.float32) -> np.ndarray:
    """The separable overcomplete cosine dictionary of square patches.

    Parameters
    ----------
    patch_size : int
        Height and width p of a patch, in pixels.
    n_atoms_per_axis : int
        How many frequencies q along each axis, at least `patch_size`: cos(pi k i / q) at the pixels i = 0 to p - 1 for
        k = 0 to q - 1, with the mean taken out of all but the constant.
    dtype : numpy.float32 or numpy.float64

    Returns
    -------
    array of shape (q * q, p * p)
        Unit-norm atoms as rows, for patches flattened row by row. Atom 0 is constant; atom a * q + b has vertical
        frequency a and horizontal frequency b.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer, patch_size is below 1, n_atoms_per_axis below patch_size, or the dtype another.

    References
    ----------
    M. Elad, M. Aharon, "Image denoising via sparse and redundant representations over learned dictionaries", IEEE
    Transactions on Image Processing 15(12), 2006.
    """
    p = arrays.index(patch_size, "overcomplete_dct: patch_size")
    q = arrays.index(n_atoms_per_axis, "overcomplete_dct: n_atoms_per_axis")
    if p < 1:
        raise ValueError(f"overcomplete_dct: patch_size={p}; it must be at least 1")
    if q < p:
        raise ValueError(f"overcomplete_dct: n_atoms_per_axis={q}; it must be at least patch_size={p}")
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"overcomplete_dct: dtype={kind}; it must be float32 or float64")
    if p == 1:
        # One pixel has no frequency but zero.
        return np.ones((q * q, 1), kind)
    waves = np.cos(np.outer(np.arange(q), np.arange(p)) * (np.pi / q))
    waves[1:] -= waves[1:].mean(axis=1, keepdims=True)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return np.kron(waves, waves).astype(kind)
