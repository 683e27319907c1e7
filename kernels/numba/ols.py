"""Order-recursive matching pursuit (OLS) on one or more threads, compiled by Numba: splits the signals over the pool.

As sparsefast.kernels.numba.omp, and from the same layout. The mathematics is in ols_serial.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import types

from sparsefast.kernels.numba.common_serial import PANEL
from sparsefast.kernels.numba.compiler import WIDE, WORD, bits_type, compile_range, input_type, output_types, real_type
from sparsefast.kernels.numba.layout import (
    Layout,
    Worker,
    aligned,
    precision,
    prepare,
    reciprocal_norms,
    run,
    sizes,
    tolerances,
)
from sparsefast.kernels.numba.ols_serial import ols_range

__all__ = ["FORM", "ols", "prepare"]

FORM = "gram"


def ols(
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
    n_lanes, n_panels, padded_features, block = sizes(layout)
    limit = min(n_nonzero, layout.n_features, layout.n_atoms)
    limits, limit_step = tolerances(tol)
    eps, bits, inf_bits = precision(dtype)
    reciprocals = reciprocal_norms(layout)
    nothing = np.zeros(PANEL, dtype)
    kernel = _kernel(dtype, indices.dtype)

    def make_worker() -> Worker:
        x = aligned((block, padded_features), dtype)
        x[:] = 0
        c0 = aligned((n_panels * block * PANEL,), dtype)
        c, delta, scores = (aligned((n_lanes,), dtype) for _ in range(3))
        inverse = aligned((limit, limit), np.float64)
        row, gamma, w = np.empty(limit), np.empty(limit), np.empty(limit)
        support = np.empty(limit, np.int64)
        wide = aligned((padded_features,), np.float64)
        exponents, norms2 = np.empty(block, np.int64), np.empty(block)

        def worker(start: int, stop: int) -> None:
            kernel(
                start, stop, signals, layout.panels, layout.atoms, layout.gram, layout.norms, reciprocals,
                layout.exponent, n_nonzero, limits, limit_step, eps, inf_bits, values, indices, counts, status,
                x, x.view(bits), c0, c, delta, scores, scores.view(bits), nothing, inverse, row, gamma, w, support,
                wide, exponents, norms2,
            )  # fmt: skip

        return worker

    work = n_lanes * (padded_features + limit * limit // 2 + 16 * limit) + limit**3
    run(make_worker, len(signals), work, n_threads, block)


@functools.cache
def _kernel(dtype: np.dtype, index_dtype: np.dtype) -> Callable[..., None]:
    """The kernel for these dtypes and for arrays of any strides: compiled once a machine, then read from the cache."""
    real, bits = real_type(dtype), bits_type(dtype)
    work, wide, whole = real[::1], types.float64[::1], types.int64[::1]
    return compile_range(
        ols_range,
        [
            WORD, WORD, input_type(dtype), work, work, work, wide, work, WORD, WORD, wide, WORD, WIDE, bits,
            *output_types(dtype, index_dtype),
            real[:, ::1], bits[:, ::1], work, work, work, work, bits[::1], work, types.float64[:, ::1],
            wide, wide, wide, whole, wide, whole, wide,
        ],
    )  # fmt: skip
