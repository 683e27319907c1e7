"""Iterative hard thresholding in C++ (csrc/cpu/omp/iht.hpp)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.kernels.cpu.coders import extension, layout_key
from sparsefast.kernels.cpu.coders import prepare_gram as prepare

__all__ = ["FORM", "iht", "layout_key", "prepare"]

FORM = "gram"


def iht(
    signals: np.ndarray,
    layout: Any,
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
    """Code signals (N, n_features); step 0.0 is the normalised one."""
    extension.code(
        "iht", signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads,
        n_iterations=n_iterations, step=step,
    )  # fmt: skip
