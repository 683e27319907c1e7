"""Dictionary learning on one or more threads, compiled by Numba. The mathematics is in ksvd_serial.

What is independent goes to threads: rows of the residual, rows of the statistics, the atoms of a parallel sweep. A
sequential sweep is a chain and takes one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import from_dtype, types

from sparsefast.kernels.codes import check_codes
from sparsefast.kernels.numba import ksvd_serial as serial
from sparsefast.kernels.numba.bands import readonly
from sparsefast.kernels.numba.compiler import WIDE, WORD, compile_range
from sparsefast.kernels.numba.layout import Worker
from sparsefast.kernels.numba.pool import run_ranges

__all__ = ["dictionary_stats", "ksvd_update", "online_update"]

# Multiplications between two looks for Ctrl-C: a tenth of a second on a slow core; and what makes a thread worth while.
WORK_A_CHUNK = 1e8
WORK_A_THREAD = 2e6
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


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
    n_atoms, n_features = dictionary.shape
    check_codes(indices, counts, n_atoms)
    kind, dtype, indices = _Kernels(signals.dtype), signals.dtype, _wide(indices)
    starts, rows, slots, g = kind.sorted(indices, values, counts, n_atoms)
    coefficients[...] = values
    atoms[...] = dictionary
    before = atoms.copy() if parallel else atoms
    n, n_nonzero = values.shape
    by_row = float(n_nonzero * n_features)

    def with_atoms(x: np.ndarray) -> np.ndarray:
        residual = np.array(signals, order="C")

        def worker(start: int, stop: int) -> None:
            kind.residual(start, stop, indices, counts, coefficients, x, residual, errors)

        _run(lambda: worker, n, by_row, n_threads)
        return residual

    residual = with_atoms(before)

    def make_worker() -> Worker:
        fresh, narrow, sums = (np.empty(n_features, dtype) for _ in range(3))
        v, basis = np.empty(n_features), np.empty((serial.BASIS + 1, n_features))

        def worker(start: int, stop: int) -> None:
            kind.sweep(
                start, stop, residual, starts, rows, slots, g, before, atoms, coefficients, exact,
                TOLERANCE[dtype.name], parallel, fresh, narrow, sums, v, basis,
            )  # fmt: skip

        return worker

    by_atom = n * by_row * (60 if exact else 4) / max(1, n_atoms)
    _run(make_worker, n_atoms, by_atom, n_threads if parallel else 1)
    if parallel:
        with_atoms(atoms)
    else:
        kind.norms(0, n, residual, errors)
    usage[...] = np.diff(starts)


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
    n_atoms, n_features = B.shape
    check_codes(indices, counts, n_atoms)
    kind, indices = _Kernels(signals.dtype), _wide(indices)
    starts, rows, _, g = kind.sorted(indices, values, counts, n_atoms)
    squares = np.empty(len(signals))
    _run(lambda: lambda start, stop: kind.squares(start, stop, signals, squares), len(signals), n_features, n_threads)
    finite = squares[np.isfinite(squares)]

    def worker(start: int, stop: int) -> None:
        kind.stats(start, stop, signals, squares, indices, values, counts, starts, rows, g, A, B, usage)

    by_atom = values.size * float(n_features + values.shape[1]) / n_atoms
    _run(lambda: worker, n_atoms, by_atom, n_threads)
    totals += len(finite), finite.sum()


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
    found = dictionary.astype(np.float64, order="C")
    u = np.empty(found.shape[1])
    kernel = _online_kernel()

    def worker(start: int, stop: int) -> None:
        kernel(start, stop, A, B, sphere, found, u)

    _run(lambda: worker, len(A) * n_iterations, float(found.size), 1)
    atoms[...] = found


def _run(make_worker: Callable[[], Worker], n_items: int, work: float, n_threads: int) -> None:
    """Do n_items, each of so many multiplications."""
    work = max(1.0, work)
    n_threads = max(1, min(n_threads, int(work * n_items / WORK_A_THREAD)))
    share = -(-n_items // (4 * n_threads)) if n_threads > 1 else n_items
    run_ranges(make_worker, n_items, max(1, min(int(WORK_A_CHUNK / work), share)), n_threads)


class _Kernels:
    """The compiled functions for a dtype of signals."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def sorted(
        self, indices: np.ndarray, values: np.ndarray, counts: np.ndarray, n_atoms: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Entries in the order of their atoms: (starts, rows, slots, values)."""
        starts, rows = np.empty(n_atoms + 1, np.int64), np.empty(values.size, np.int64)
        slots, g = np.empty(values.size, np.int32), np.empty(values.size, self.dtype)
        _compiled("sort_range", self.dtype)(indices, values, counts, starts, rows, slots, g)
        return starts, rows, slots, g

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _compiled(f"{name}_range", self.dtype)


def _wide(indices: np.ndarray) -> np.ndarray:
    """As int64, so that nothing has to be compiled twice."""
    return indices.astype(np.int64, copy=False)


@functools.cache
def _compiled(name: str, dtype: np.dtype) -> Callable[..., None]:
    real, whole = from_dtype(dtype), types.int64[::1]
    matrix, row, read = real[:, ::1], real[::1], readonly(real, 2)
    indices, counts, anyhow = readonly(types.int64, 2), readonly(types.int32, 1), readonly(real, 2, "A")
    slots, wide, wides = types.int32[::1], WIDE[::1], WIDE[:, ::1]
    forms: dict[str, list[Any]] = {
        "sort_range": [indices, read, counts, whole, whole, slots, row],
        "residual_range": [WORD, WORD, indices, counts, matrix, matrix, matrix, row],
        "norms_range": [WORD, WORD, matrix, row],
        "sweep_range": [
            WORD, WORD, matrix, whole, whole, slots, row, matrix, matrix, matrix, types.boolean, WIDE, types.boolean,
            row, row, row, wide, wides,
        ],
        "squares_range": [WORD, WORD, anyhow, wide],
        "stats_range": [
            WORD, WORD, anyhow, wide, indices, read, counts, whole, whole, row, wides, wides, wide,
        ],
    }  # fmt: skip
    return compile_range(getattr(serial, name), forms[name])


@functools.cache
def _online_kernel() -> Callable[..., None]:
    read = readonly(WIDE, 2)
    return compile_range(serial.online_range, [WORD, WORD, read, read, types.boolean, WIDE[:, ::1], WIDE[::1]])
