"""Dictionary learning in C++ (csrc/cpu/ksvd)."""

from __future__ import annotations

import numpy as np

from sparsefast.kernels.cpu.coders import extension

__all__ = ["dictionary_stats", "ksvd_update", "online_update"]


def ksvd_update(
    signals: np.ndarray,
    dictionary: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    exact: bool,
    parallel: bool,
    atoms: np.ndarray,
    coefficients: np.ndarray,
    errors: np.ndarray,
    usage: np.ndarray,
    n_threads: int,
) -> None:
    """Write the updated atoms (K, F), coefficients (N, S), errors (N,) and usage (K,)."""
    extension.ksvd_update(
        signals, dictionary, indices, values, counts, exact, parallel, atoms, coefficients, errors, usage, n_threads
    )


def dictionary_stats(
    signals: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    usage: np.ndarray,
    totals: np.ndarray,
    n_threads: int,
) -> None:
    """Add to A (K, K), B (K, F), usage (K,) and totals (2,) = (number of signals, sum of ||x||²)."""
    extension.dictionary_stats(signals, indices, values, counts, A, B, usage, totals, n_threads)


def online_update(
    A: np.ndarray,
    B: np.ndarray,
    dictionary: np.ndarray,
    n_iterations: int,
    sphere: bool,
    atoms: np.ndarray,
    n_threads: int,
) -> None:
    """Write the atoms (K, F) that the statistics A (K, K) and B (K, F) give, from a dictionary (K, F)."""
    extension.online_update(A, B, dictionary, n_iterations, sphere, atoms, n_threads)
