"""A sparse code as every contender's is read, and what is computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Code:
    """A sparse code: indices and values (N, S), counts (N,); padding is ignored.

    A nearest atom is a code of one entry, whose value is the distance.
    """

    indices: Array
    values: Array
    counts: Array


def residuals(code: Code, signals: Array, dictionary: Array, mask: Array | None = None) -> Array:
    """||x - γ D|| / ||x|| of the first len(signals) codes, in float64; 0 for a zero signal.

    With a mask (N, F), both norms are over the features where it is True.
    """
    n, width = len(signals), code.indices.shape[1]
    values = np.where(np.arange(width) < code.counts[:n, None], code.values[:n], 0).astype(np.float64)
    seen = signals.astype(np.float64) if mask is None else np.where(mask[:n], signals, 0).astype(np.float64)
    r = seen.copy()
    for k in range(width):
        r -= values[:, k, None] * dictionary[code.indices[:n, k]]
    if mask is not None:
        r *= mask[:n]
    norms = np.linalg.norm(seen, axis=1)
    relative: Array = np.divide(np.linalg.norm(r, axis=1), norms, out=np.zeros(n), where=norms > 0)
    return relative


def from_dense(dense: Array, n_nonzero: int) -> Code:
    """A dense (N, K) code as a Code. Rows with more than n_nonzero entries keep their count and are refused later."""
    counts = np.count_nonzero(dense, axis=1)
    width = max(n_nonzero, int(counts.max(initial=0)))
    rows, columns = np.nonzero(dense)
    place = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    indices = np.zeros((len(dense), width), dtype=np.int64)
    values = np.zeros((len(dense), width), dtype=dense.dtype)
    indices[rows, place], values[rows, place] = columns, dense[rows, columns]
    return Code(indices, values, counts)


def from_csc(matrix: Any, n_nonzero: int) -> Code:
    """A scipy CSC (K, N) code, a column a signal, as a Code."""
    counts = np.diff(matrix.indptr)
    width = max(n_nonzero, int(counts.max(initial=0)))
    place = np.arange(matrix.indices.size) - np.repeat(matrix.indptr[:-1], counts)
    rows = np.repeat(np.arange(counts.size), counts)
    indices = np.zeros((counts.size, width), dtype=np.int64)
    values = np.zeros((counts.size, width), dtype=matrix.dtype)
    indices[rows, place], values[rows, place] = matrix.indices, matrix.data
    return Code(indices, values, counts)


def sample_rows(n: int, wanted: int) -> Array:
    """Rows to check: both ends, where tiles and tails are, and the rest at random with a fixed seed."""
    if n <= wanted:
        return np.arange(n)
    ends = min(24, wanted // 4)
    middle = np.random.default_rng(0).choice(np.arange(ends, n - ends), wanted - 2 * ends, replace=False)
    return np.concatenate([np.arange(ends), np.sort(middle), np.arange(n - ends, n)])
