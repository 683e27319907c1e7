"""Batch-OMP in C++ (csrc/cpu/omp.cpp), behind the interface that all backends share.

The extension packs the dictionary, keeps a workspace for each calling thread, holds small work on one thread, and
looks for Ctrl-C between the pieces of a long call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import _native

if _native.module is None:
    raise ImportError(_native.why_not)
_C: Any = _native.module


def layout_key() -> str:
    """The instruction set in use: a layout packed for one is not used by another."""
    return _C.isa()


def prepare(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Any:
    """Pack a dictionary (n_atoms, n_features), with its Gram matrix (n_atoms, n_atoms) or None; copies both."""
    return _C.OmpDictionary(dictionary, gram, n_threads)


def omp(
    signals: np.ndarray,
    layout: Any,
    n_nonzero: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Code signals (N, n_features) into values and indices (N, n_nonzero), counts (N,) and status (N,)."""
    _C.omp(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads)
