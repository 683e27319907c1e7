"""k-sparse coding in C++ (csrc/cpu/omp/topk.hpp)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.kernels.cpu.coders import extension, layout_key
from sparsefast.kernels.cpu.coders import prepare_atoms as prepare

__all__ = ["FORM", "layout_key", "prepare", "topk"]

FORM = "atoms"


def topk(
    signals: np.ndarray,
    layout: Any,
    n_nonzero: int,
    positive: bool,
    values: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    status: np.ndarray,
    n_threads: int,
) -> None:
    """The n_nonzero largest correlations of signals (N, n_features), or the largest positive ones."""
    extension.code(
        "topk", signals, layout, n_nonzero, None, values, indices, counts, status, n_threads, positive=positive
    )
