"""Products of sparse codes and dictionaries, and the gradients of coefficients, in C++ (csrc/cpu/products)."""

from __future__ import annotations

import numpy as np

from sparsefast.kernels.cpu.coders import extension

__all__ = ["accumulate", "correlate", "decode", "support_gradients"]


def decode(
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    dictionary: np.ndarray,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Write the signals (N, F) of codes (N, S); all arrays dense, indices int64."""
    extension.decode(values, indices, counts, dictionary, out, n_threads)


def correlate(
    signals: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    dictionary: np.ndarray,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Write the correlations (N, S) of signals (N, F) with the atoms of codes, zero in the padding."""
    extension.correlate(signals, indices, counts, dictionary, out, n_threads)


def accumulate(
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    signals: np.ndarray,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Write the sums (K, F) over the entries of codes of value times signal, atom by atom."""
    extension.accumulate(values, indices, counts, signals, out, n_threads)


def support_gradients(
    grad: np.ndarray,
    signals: np.ndarray,
    dictionary: np.ndarray,
    gram: np.ndarray,
    inverse_norms: np.ndarray,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    ridge: float,
    least_pivot: float,
    of_signals: np.ndarray | None,
    of_dictionary: np.ndarray | None,
    n_threads: int,
) -> None:
    """Write the gradients of signals (N, F) and dictionary (K, F), those that are asked for, from grad (N, S), the
    Gram matrix (K, K) of the atoms scaled to unit norm, and the inverses of their norms (K,)."""
    extension.support_gradients(
        grad, signals, dictionary, gram, inverse_norms, values, indices, counts, ridge, least_pivot,
        of_signals, of_dictionary, n_threads,
    )  # fmt: skip
