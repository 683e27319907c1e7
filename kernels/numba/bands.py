"""How work that moves memory is cut: into bands whose buffer stays in cache, chunks for Ctrl-C, and threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numba import types

from sparsefast.kernels.numba.layout import Worker
from sparsefast.kernels.numba.pool import run_ranges

# Of what one thread goes over again and again: a part of the smallest second-level caches.
CACHED_BYTES = 128 * 1024
# What the slowest machine moves in about a tenth of a second: how often Ctrl-C is looked for.
CHUNK_BYTES = 100_000_000
# Below this a second thread costs more than it brings (about 100 microseconds).
MIN_BYTES_PER_THREAD = 1_000_000


def readonly(element: Any, rank: int, order: Literal["C", "A"] = "C") -> Any:
    """Numba's type of an input."""
    return types.Array(element, rank, order, readonly=True)


def flat(x: np.ndarray) -> np.ndarray:
    """A C-contiguous array as one row, not copied."""
    return x.reshape(-1)


def band_rows(n_rows: int, row_bytes: float, n_others: int, n_threads: int) -> int:
    """How many of n_rows make a band: as many as stay in cache, and few enough that every thread has some bands, of
    which there are `n_others` times as many. Never does a result depend on it."""
    cached = max(1, int(CACHED_BYTES // max(1.0, row_bytes)))
    bands_wanted = -(-4 * n_threads // max(1, n_others)) if n_threads > 1 else 1
    return max(1, min(n_rows, cached, -(-n_rows // bands_wanted)))


def threads(n_threads: int, total_bytes: int) -> int:
    """How many threads are worth while."""
    return max(1, min(n_threads, total_bytes // MIN_BYTES_PER_THREAD))


def run(make_worker: Callable[[], Worker], n_items: int, total_bytes: int, n_threads: int) -> None:
    """Do n_items, of which each moves its share of the bytes."""
    share = max(1, total_bytes // max(1, n_items))
    chunk = max(1, min(CHUNK_BYTES // share, -(-n_items // (4 * n_threads)) if n_threads > 1 else n_items))
    run_ranges(make_worker, n_items, chunk, n_threads)
