"""Batch-OMP on one or more threads, compiled by Numba: packs the dictionary, splits the signals over the pool.

Each thread takes ranges of signals and has a workspace for one block of them, about 256 KiB of correlations; a result
depends neither on the split nor on the number of threads. The mathematics and the layout are in omp_serial.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from sparsefast.kernels.numba.omp_serial import LANES, PANEL, compiled, gram_rows, omp_range
from sparsefast.kernels.numba.pool import run_ranges

BLOCK_BYTES = 256 * 1024
MAX_BLOCK = 64
# Multiply-adds that the slowest machine does in about a tenth of a second: how often Ctrl-C is looked for.
CHUNK_WORK = 200_000_000
# Below this many multiply-adds a second thread costs more than it brings (about 100 microseconds).
MIN_WORK_PER_THREAD = 2_000_000


class Layout(NamedTuple):
    """A dictionary (K, F) packed for these kernels, divided by 2**exponent."""

    panels: np.ndarray  # (n_panels * padded_features * PANEL,), 64-byte aligned
    gram: np.ndarray  # (K * padded_atoms,), 64-byte aligned
    norms: NDArray[np.float64]  # (K,)
    exponent: int
    n_atoms: int
    n_features: int


@functools.cache
def _compiled(name: str, dtype: np.dtype, index_dtype: np.dtype | None = None) -> Callable[..., None]:
    """The kernel for these dtypes and for arrays of any strides: compiled once a machine, then read from the cache."""
    real = types.float32 if dtype == np.float32 else types.float64
    bits = types.int32 if dtype == np.float32 else types.int64
    work, work2, wide, whole = real[::1], real[:, ::1], types.float64[::1], types.int64[::1]
    if name == "omp":
        index = types.int32 if index_dtype == np.int32 else types.int64
        function = omp_range.py_func
        arguments = [
            types.intp, types.intp, types.Array(real, 2, "A", readonly=True), work, work, wide, types.intp, types.intp,
            wide, types.intp, types.float64, bits,
            real[:, :], index[:, :], types.int32[:], types.uint8[:],
            work2, bits[:, ::1], work, work, bits[::1], types.float64[:, ::1], wide, wide, whole, whole, wide,
        ]  # fmt: skip
    else:
        function = gram_rows.py_func
        arguments = [types.intp, types.intp, work2, work, types.intp, work2, work, work]
    signature = types.void(*arguments)
    try:
        return compiled(signature, cache=True)(function)
    except RuntimeError:  # Numba found no directory to keep compiled code in
        return compiled(signature)(function)


def prepare(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Layout:
    """Pack dictionary (K, F) and gram (K, K), or compute the latter. Float32 or float64, any strides."""
    n_atoms, n_features = dictionary.shape
    dtype = dictionary.dtype
    n_lanes, n_panels, padded_features = _sizes(n_atoms, n_features)
    finite = np.isfinite(dictionary)
    exponent = int(np.frexp(np.abs(dictionary, where=finite, out=np.zeros(dictionary.shape, dtype)).max(initial=0))[1])
    with np.errstate(under="ignore"):
        atoms = np.ascontiguousarray(np.ldexp(dictionary, -exponent))
    atoms[~finite.all(axis=1)] = 0  # never selected, and no taint on the others

    panels = _aligned((n_panels, padded_features, PANEL), dtype)
    panels[:] = 0
    for panel in range(n_panels):
        rows = atoms[panel * PANEL : (panel + 1) * PANEL]
        panels[panel, :n_features, : len(rows)] = rows.T
    panels = panels.reshape(-1)

    packed_gram = _aligned((n_atoms, n_lanes), dtype)
    if gram is None:
        kernel = _compiled("gram", dtype)
        block = _block(n_lanes, dtype)

        def make_worker() -> Callable[[int, int], None]:
            x, c = _aligned((block, padded_features), dtype), _aligned((n_panels * block * PANEL,), dtype)
            return lambda start, stop: kernel(start, stop, atoms, panels, n_lanes, x, c, packed_gram.reshape(-1))

        _run(make_worker, n_atoms, n_atoms * n_features, n_threads, block)
    else:
        packed_gram[:, n_atoms:] = 0
        with np.errstate(under="ignore", over="ignore"):
            packed_gram[:, :n_atoms] = np.ldexp(gram, -2 * exponent)
        packed_gram[~np.isfinite(packed_gram)] = 0
    norms = np.sqrt(np.einsum("kf,kf->k", atoms, atoms, dtype=np.float64))
    return Layout(panels, packed_gram.reshape(-1), norms, exponent, n_atoms, n_features)


def omp(
    signals: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Pursue each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""
    dtype = signals.dtype
    n_lanes, n_panels, padded_features = _sizes(layout.n_atoms, layout.n_features)
    limit = min(n_nonzero, layout.n_features, layout.n_atoms)
    block = _block(n_lanes, dtype)
    tolerances = np.array(-1.0 if tol is None else tol, dtype=np.float64, ndmin=1)
    tol_step = int(len(tolerances) > 1)
    bits = np.dtype(f"i{dtype.itemsize}")
    inf_bits = np.array(np.inf, dtype).view(bits)[()]
    eps = float(np.finfo(dtype).eps)
    kernel = _compiled("omp", dtype, indices.dtype)

    def make_worker() -> Callable[[int, int], None]:
        x = _aligned((block, padded_features), dtype)
        x[:] = 0
        c0 = _aligned((n_panels * block * PANEL,), dtype)
        scores = _aligned((n_lanes,), dtype)
        inverse = _aligned((limit, limit), np.float64)
        gamma, w, norms2 = np.empty(limit), np.empty(limit), np.empty(block)
        support, exponents = np.empty(limit, np.int64), np.empty(block, np.int64)

        def worker(start: int, stop: int) -> None:
            kernel(
                start, stop, signals, layout.panels, layout.gram, layout.norms, layout.exponent, n_nonzero,
                tolerances, tol_step, eps, inf_bits, values, indices, counts, status,
                x, x.view(bits), c0, scores, scores.view(bits), inverse, gamma, w, support, exponents, norms2,
            )  # fmt: skip

        return worker

    work = n_lanes * (padded_features + limit * limit // 2 + 8 * limit) + limit**3
    _run(make_worker, len(signals), work, n_threads, block)


def _run(
    make_worker: Callable[[], Callable[[int, int], None]], n_items: int, work: int, n_threads: int, block: int
) -> None:
    """Split n_items of `work` multiply-adds each over as many threads as that is worth."""
    n_threads = max(1, min(n_threads, n_items * work // MIN_WORK_PER_THREAD))
    # At least four chunks a thread, so that none waits long for another.
    chunk = min(CHUNK_WORK // work, -(-n_items // (4 * n_threads)) if n_threads > 1 else n_items)
    run_ranges(make_worker, n_items, max(block, chunk // block * block), n_threads)


def _sizes(n_atoms: int, n_features: int) -> tuple[int, int, int]:
    """Lanes (atoms padded), panels, and features padded to the tile's 4."""
    n_lanes = -(-n_atoms // LANES) * LANES
    return n_lanes, -(-n_lanes // PANEL), -(-n_features // 4) * 4


def _block(n_lanes: int, dtype: np.dtype) -> int:
    """How many signals are correlated at once: a multiple of the tile's 4."""
    return max(4, min(MAX_BLOCK, BLOCK_BYTES // (n_lanes * dtype.itemsize) // 4 * 4))


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array that starts on a cache line: a vector that straddles two costs twice."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size].view(dtype).reshape(shape)
