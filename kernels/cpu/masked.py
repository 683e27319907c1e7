"""OMP on the observed features in C++ (csrc/cpu/omp/group.hpp)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.kernels.cpu.coders import extension, layout_key
from sparsefast.kernels.cpu.coders import prepare_atoms as prepare

__all__ = ["FORM", "layout_key", "masked", "prepare"]

FORM = "atoms"


def masked(
    signals: np.ndarray,
    mask: np.ndarray,
    layout: Any,
    n_nonzero: int,
    tol: np.ndarray | float | None,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """Code signals (N, n_features), of which `mask` (N, n_features) says what is observed."""
    extension.code("masked", signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads, mask=mask)
