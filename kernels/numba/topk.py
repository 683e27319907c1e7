"""The n_nonzero atoms of largest correlation on one or more threads, compiled by Numba.

Each thread takes ranges of signals and has a workspace for one block of them; a result depends neither on the split
nor on the number of threads. The mathematics is in topk_serial.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import types

from sparsefast.kernels.numba.common_serial import LANES, PANEL
from sparsefast.kernels.numba.compiler import WORD, bits_type, compile_range, input_type, output_types, real_type
from sparsefast.kernels.numba.layout import Layout, Worker, aligned, precision, run, sizes
from sparsefast.kernels.numba.layout import prepare_atoms as prepare
from sparsefast.kernels.numba.topk_serial import topk_range

__all__ = ["FORM", "prepare", "topk"]

FORM = "atoms"


def topk(
    signals: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    positive: bool,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Code each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""
    dtype = signals.dtype
    n_lanes, n_panels, padded_features, block = sizes(layout)
    _, bits, inf_bits = precision(dtype)
    kernel = _kernel(dtype, indices.dtype)

    def make_worker() -> Worker:
        x = aligned((block, padded_features), dtype)
        x[:] = 0
        c = aligned((n_panels * block * PANEL,), dtype)
        scores = aligned((n_lanes,), dtype)
        tops, where = aligned((LANES,), bits), aligned((LANES,), bits)
        gamma, support = np.empty(n_nonzero), np.empty(n_nonzero, np.int64)
        exponents, norms2 = np.empty(block, np.int64), np.empty(block)

        def worker(start: int, stop: int) -> None:
            kernel(
                start, stop, signals, layout.panels, layout.exponent, n_nonzero, positive, inf_bits,
                values, indices, counts, status,
                x, x.view(bits), c, scores, scores.view(bits), tops, where, gamma, support, exponents, norms2,
            )  # fmt: skip

        return worker

    work = n_lanes * (padded_features + 2) + n_nonzero * (LANES + n_lanes // LANES)
    run(make_worker, len(signals), work, n_threads, block)


@functools.cache
def _kernel(dtype: np.dtype, index_dtype: np.dtype) -> Callable[..., None]:
    """The kernel for these dtypes and for arrays of any strides: compiled once a machine, then read from the cache."""
    real, bits = real_type(dtype), bits_type(dtype)
    work, order, wide, whole = real[::1], bits[::1], types.float64[::1], types.int64[::1]
    return compile_range(
        topk_range,
        [
            WORD, WORD, input_type(dtype), work, WORD, WORD, types.boolean, bits,
            *output_types(dtype, index_dtype),
            real[:, ::1], bits[:, ::1], work, work, order, order, order, wide, whole, whole, wide,
        ],
    )  # fmt: skip
