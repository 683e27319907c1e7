"""OMP on the observed features on one or more threads, compiled by Numba: splits the signals over the pool.

Each thread takes ranges of signals and has a workspace for one block of them; a result depends neither on the split
nor on the number of threads. The mathematics is in masked_serial.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import types

from sparsefast.kernels.numba.common_serial import PANEL
from sparsefast.kernels.numba.compiler import (
    INPUT_MASK,
    WIDE,
    WORD,
    bits_type,
    compile_range,
    input_type,
    output_types,
    real_type,
)
from sparsefast.kernels.numba.layout import (
    Layout,
    Worker,
    aligned,
    precision,
    reciprocal_norms,
    run,
    sizes,
    tolerances,
)
from sparsefast.kernels.numba.layout import prepare_atoms as prepare
from sparsefast.kernels.numba.masked_serial import masked_range

__all__ = ["FORM", "masked", "prepare"]

FORM = "atoms"

# For the triangular factors of a block of signals, which need n_nonzero**2 numbers each.
FACTOR_BYTES = 2 * 1024 * 1024


def masked(
    signals: np.ndarray,
    mask: np.ndarray,
    layout: Layout,
    n_nonzero: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Pursue each row of signals (N, F) where mask (N, F) is True; write values (N, S), indices (N, S), counts (N,)
    and status (N,)."""
    dtype = signals.dtype
    n_lanes, n_panels, padded_features, block = sizes(layout)
    limit = min(n_nonzero, layout.n_features, layout.n_atoms)
    block = min(block, max(4, FACTOR_BYTES // (8 * limit**2) // 4 * 4))
    limits, limit_step = tolerances(tol)
    eps, bits, inf_bits = precision(dtype)
    shares = _shares(layout)
    kernel = _kernel(dtype, indices.dtype)

    def make_worker() -> Worker:
        x, observed, r = (aligned((block, padded_features), dtype) for _ in range(3))
        x[:], observed[:], r[:] = 0, 0, 0
        c, weights = (aligned((n_panels * block * PANEL,), dtype) for _ in range(2))
        scores = aligned((n_lanes,), dtype)
        inverse = aligned((block, limit, limit), np.float64)
        gamma, w = np.empty((block, limit)), np.empty(limit)
        support = np.empty((block, limit), np.int64)
        wide = aligned((padded_features,), np.float64)
        exponents, selected, n_observed, active = (np.empty(block, np.int64) for _ in range(4))
        norms2 = np.empty(block)

        def worker(start: int, stop: int) -> None:
            kernel(
                start, stop, signals, mask, layout.panels, shares, layout.atoms, layout.norms, layout.exponent,
                n_nonzero, limits, limit_step, eps, inf_bits, values, indices, counts, status,
                x, x.view(bits), observed, r, c, weights, scores, scores.view(bits), inverse, gamma, w, support, wide,
                exponents, norms2, selected, n_observed, active,
            )  # fmt: skip

        return worker

    work = limit * (n_lanes * (padded_features + 4) + limit * (2 * padded_features + limit)) + n_lanes * padded_features
    run(make_worker, len(signals), work, n_threads, block)


def _shares(layout: Layout) -> np.ndarray:
    """Each entry's part of its atom's squared norm, packed as the panels are."""
    _, n_panels, padded_features, _ = sizes(layout)
    reciprocals = np.zeros(n_panels * PANEL, layout.panels.dtype)
    found = reciprocal_norms(layout)
    reciprocals[: len(found)] = found
    shares = aligned((n_panels, padded_features, PANEL), layout.panels.dtype)
    with np.errstate(under="ignore"):
        np.multiply(layout.panels.reshape(shares.shape), reciprocals.reshape(n_panels, 1, PANEL), out=shares)
        np.square(shares, out=shares)
    return shares.reshape(-1)


@functools.cache
def _kernel(dtype: np.dtype, index_dtype: np.dtype) -> Callable[..., None]:
    """The kernel for these dtypes and for arrays of any strides: compiled once a machine, then read from the cache."""
    real, bits = real_type(dtype), bits_type(dtype)
    work, work2, wide, whole = real[::1], real[:, ::1], types.float64[::1], types.int64[::1]
    return compile_range(
        masked_range,
        [
            WORD, WORD, input_type(dtype), INPUT_MASK, work, work, work, wide, WORD, WORD, wide, WORD, WIDE, bits,
            *output_types(dtype, index_dtype),
            work2, bits[:, ::1], work2, work2, work, work, work, bits[::1], types.float64[:, :, ::1],
            types.float64[:, ::1], wide, types.int64[:, ::1], wide, whole, wide, whole, whole, whole,
        ],
    )  # fmt: skip
