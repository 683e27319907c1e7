"""The atom nearest to each signal on one or more threads, compiled by Numba.

Each thread takes ranges of signals and has a workspace for one block of them; a result depends neither on the split
nor on the number of threads. The mathematics is in nearest_code_serial.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import from_dtype, types

from sparsefast.kernels.numba.common_serial import PANEL
from sparsefast.kernels.numba.compiler import WIDE, WORD, bits_type, compile_range, input_type, real_type
from sparsefast.kernels.numba.layout import Layout, Worker, aligned, precision, run, sizes
from sparsefast.kernels.numba.layout import prepare_atoms as prepare
from sparsefast.kernels.numba.nearest_code_serial import nearest_code_range

__all__ = ["FORM", "nearest_code", "prepare"]

FORM = "atoms"


def nearest_code(
    signals: np.ndarray, layout: Layout, indices: np.ndarray, distances: np.ndarray, n_threads: int
) -> None:
    """Find the atom nearest to each row of signals (N, F); write indices (N,) and distances (N,)."""
    if not layout.finite.any():
        indices[:] = 0
        distances[:] = np.nan
        return
    dtype = signals.dtype
    n_lanes, n_panels, padded_features, block = sizes(layout)
    eps, bits, inf_bits = precision(dtype)
    most = bits.type(np.iinfo(bits).max)
    halves = aligned((n_lanes,), dtype)
    halves[:] = np.inf
    halves[: layout.n_atoms][layout.finite] = layout.norms[layout.finite] ** 2 / 2
    largest_norm = float(layout.norms.max())
    kernel = _kernel(dtype, indices.dtype)

    def make_worker() -> Worker:
        x = aligned((block, padded_features), dtype)
        x[:] = 0
        c = aligned((n_panels * block * PANEL,), dtype)
        scores = aligned((n_lanes,), dtype)
        keys = aligned((n_lanes,), bits)
        exponents, norms2 = np.empty(block, np.int64), np.empty(block)

        def worker(start: int, stop: int) -> None:
            kernel(
                start, stop, signals, layout.panels, layout.atoms, halves, largest_norm, layout.n_atoms,
                layout.exponent, eps, most, inf_bits, indices, distances,
                x, x.view(bits), c, scores, scores.view(bits), keys, exponents, norms2,
            )  # fmt: skip

        return worker

    run(make_worker, len(signals), n_lanes * (padded_features + 4), n_threads, block)


@functools.cache
def _kernel(dtype: np.dtype, index_dtype: np.dtype) -> Callable[..., None]:
    """The kernel for these dtypes and for arrays of any strides: compiled once a machine, then read from the cache."""
    real, bits = real_type(dtype), bits_type(dtype)
    work, order, wide, whole = real[::1], bits[::1], types.float64[::1], types.int64[::1]
    return compile_range(
        nearest_code_range,
        [
            WORD, WORD, input_type(dtype), work, work, work, WIDE, WORD, WORD, WIDE, bits, bits,
            from_dtype(index_dtype)[:], real[:],
            real[:, ::1], bits[:, ::1], work, work, order, order, whole, wide,
        ],
    )  # fmt: skip
