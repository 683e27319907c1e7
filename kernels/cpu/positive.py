"""Non-negative OMP in C++ (csrc/cpu/omp/positive.hpp)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.kernels.cpu.coders import extension, layout_key
from sparsefast.kernels.cpu.coders import prepare_gram as prepare

__all__ = ["FORM", "layout_key", "positive", "prepare"]

FORM = "gram"


def positive(
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
    extension.code("positive", signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads)
