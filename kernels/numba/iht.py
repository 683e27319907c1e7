"""Iterative hard thresholding on one or more threads, compiled by Numba: splits the signals over the pool.

As sparsefast.kernels.numba.omp, and from the same layout. The mathematics is in iht_serial.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import types

from sparsefast.kernels.numba.common_serial import LANES, PANEL
from sparsefast.kernels.numba.compiler import WIDE, WORD, bits_type, compile_range, input_type, output_types, real_type
from sparsefast.kernels.numba.iht_serial import iht_range
from sparsefast.kernels.numba.layout import Layout, Worker, aligned, precision, prepare, run, sizes, tolerances

__all__ = ["FORM", "iht", "prepare"]

FORM = "gram"


def iht(
    signals: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    n_iterations: int,
    step: float,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Code each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""
    dtype = signals.dtype
    n_lanes, n_panels, padded_features, block = sizes(layout)
    s = min(n_nonzero, layout.n_features, layout.n_atoms)
    limits, limit_step = tolerances(tol)
    eps, bits, inf_bits = precision(dtype)
    with np.errstate(over="ignore", under="ignore"):
        scaled_step = float(np.ldexp(step, 2 * layout.exponent))
    largest_norm = float(layout.norms.max())
    kernel = _kernel(dtype, indices.dtype)

    def make_worker() -> Worker:
        x = aligned((block, padded_features), dtype)
        x[:] = 0
        c0 = aligned((n_panels * block * PANEL,), dtype)
        c, scores = aligned((n_lanes,), dtype), aligned((n_lanes,), dtype)
        tops, where = aligned((LANES,), bits), aligned((LANES,), bits)
        support, new_support, at = (np.empty(size, np.int64) for size in (s, s, 2 * s))
        a, new_a, change = (np.empty(size) for size in (s, s, 2 * s))
        dense, member = np.zeros(n_lanes), np.zeros(n_lanes, np.int64)
        wide = aligned((padded_features,), np.float64)
        exponents, norms2 = np.empty(block, np.int64), np.empty(block)

        def worker(start: int, stop: int) -> None:
            kernel(
                start, stop, signals, layout.panels, layout.atoms, layout.gram, largest_norm, layout.n_atoms,
                layout.exponent, s, n_nonzero, n_iterations, scaled_step, limits, limit_step, eps, inf_bits,
                values, indices, counts, status,
                x, x.view(bits), c0, c, scores, scores.view(bits), tops, where, support, a, new_support, new_a,
                at, change, dense, member, wide, exponents, norms2,
            )  # fmt: skip

        return worker

    work = n_lanes * padded_features + n_iterations * (n_lanes * (s + 8) + s * padded_features)
    run(make_worker, len(signals), work, n_threads, block)


@functools.cache
def _kernel(dtype: np.dtype, index_dtype: np.dtype) -> Callable[..., None]:
    """The kernel for these dtypes and for arrays of any strides: compiled once a machine, then read from the cache."""
    real, bits = real_type(dtype), bits_type(dtype)
    work, order, wide, whole = real[::1], bits[::1], types.float64[::1], types.int64[::1]
    return compile_range(
        iht_range,
        [
            WORD, WORD, input_type(dtype), work, work, work, WIDE, WORD, WORD, WORD, WORD, WORD, WIDE,
            wide, WORD, WIDE, bits,
            *output_types(dtype, index_dtype),
            real[:, ::1], bits[:, ::1], work, work, work, order, order, order, whole, wide, whole, wide, whole, wide,
            wide, whole, wide, whole, wide,
        ],
    )  # fmt: skip
