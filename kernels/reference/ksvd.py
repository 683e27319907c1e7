"""Dictionary learning on fixed supports: the definition.

Signals X (N, F), a dictionary D (K, F) and codes Γ (N, K), of which each row holds `counts` entries. R = X - Γ D is the
residual. For atom d of index k let I be the signals that name it, in increasing order, g = Γ[I, k] their coefficients
and E = R[I] + g dᵀ the error without it.

ksvd_update takes k = 0, 1, ... and replaces d and g by

    exact    d' = the leading right singular vector of E, with <d', d> >= 0;   g' = E d'
    approx   d' = Eᵀg / ||Eᵀg||;                                              g' = E d'

after which R[I] = E - g' d'ᵀ is what the next atom sees. With `parallel` all atoms see the R of the beginning. An atom
stays, and so do its coefficients, where no signal names it or E, or Eᵀg, is zero or not finite.

dictionary_stats adds A += ΓᵀΓ, B += ΓᵀX, the number of signals that name each atom, the number of signals and the sum
of ||x||², over the signals whose ||x||² is finite.

online_update takes k = 0, 1, ..., n_iterations times, and replaces d_k by u / max(||u||, 1), with `sphere` by
u / ||u||, where

    u = d_k + (b_k - sum_j A_kj d_j) / A_kk

An atom stays where A_kk is not positive, or u is zero or not finite.

Sources: Aharon, Elad and Bruckstein, K-SVD, 2006 (exact); Rubinstein, Zibulevsky and Elad, Efficient implementation of
the K-SVD algorithm, 2008 (approx); Mairal, Bach, Ponce and Sapiro, Online dictionary learning, 2009.
"""

import numpy as np
from numpy.typing import NDArray

from sparsefast.kernels.codes import check_codes, in_use

__all__ = ["dictionary_stats", "ksvd_update", "online_update"]

Float = NDArray[np.float64]


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
    check_codes(indices, counts, len(dictionary))
    x, d, gamma = (a.astype(np.float64) for a in (signals, dictionary, values))
    named = [np.nonzero((indices == k) & in_use(values, counts)) for k in range(len(d))]
    residual = x - _decode(d, gamma, named)
    start, found, coefs = residual.copy(), d.copy(), gamma.copy()
    for k, (rows, slots) in enumerate(named):
        g = gamma[rows, slots]
        error = (start if parallel else residual)[rows] + np.outer(g, d[k])
        new = _best_atom(error, g, d[k], exact)
        if new is None:
            continue
        found[k], coefs[rows, slots] = new, error @ new
        if not parallel:
            residual[rows] = error - np.outer(coefs[rows, slots], new)
    if parallel:
        residual = x - _decode(found, coefs, named)
    atoms[...], coefficients[...] = found, coefs
    errors[...] = np.sqrt((residual * residual).sum(axis=1))
    usage[...] = [len(rows) for rows, _ in named]


def _best_atom(error: Float, g: Float, d: Float, exact: bool) -> Float | None:
    """The new atom for E (n, F), coefficients (n,) and the old atom (F,); None where it stays."""
    if not np.isfinite(error).all() or not np.isfinite(g).all() or not error.any():
        return None
    if exact:
        first: Float = np.linalg.svd(error, full_matrices=False)[2][0]
        return -first if first @ d < 0 else first
    u = error.T @ g
    norm = np.sqrt(u @ u)
    return u / norm if norm > 0 and np.isfinite(norm) else None


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
    check_codes(indices, counts, len(A))
    x = signals.astype(np.float64)
    squares = (x * x).sum(axis=1)
    for n in np.flatnonzero(np.isfinite(squares)):
        support, g = indices[n, : counts[n]], values[n, : counts[n]].astype(np.float64)
        for k, coefficient in zip(support, g, strict=True):
            np.add.at(A[k], support, coefficient * g)
            B[k] += coefficient * x[n]
            usage[k] += 1
        totals += 1, squares[n]


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
    d = dictionary.astype(np.float64)
    for _ in range(n_iterations):
        for k in np.flatnonzero(np.diag(A) > 0):
            u = d[k] + (B[k] - A[k] @ d) / A[k, k]
            norm = np.sqrt(u @ u)
            if norm > 0 and np.isfinite(norm):
                d[k] = u / norm if sphere else u / max(norm, 1)
    atoms[...] = d


def _decode(d: Float, gamma: Float, named: list[tuple[np.ndarray, ...]]) -> Float:
    """Γ D, for the entries (rows, slots) that name each atom."""
    out = np.zeros((len(gamma), d.shape[1]))
    for k, (rows, slots) in enumerate(named):
        out[rows] += gamma[rows, slots, None] * d[k]
    return out
