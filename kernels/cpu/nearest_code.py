"""Vector quantisation in C++ (csrc/cpu/omp/nearest.hpp)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.kernels.cpu.coders import extension, layout_key
from sparsefast.kernels.cpu.coders import prepare_atoms as prepare

__all__ = ["FORM", "layout_key", "nearest_code", "prepare"]

FORM = "atoms"


def nearest_code(signals: np.ndarray, layout: Any, indices: np.ndarray, distances: np.ndarray, n_threads: int) -> None:
    """The nearest atom of each of signals (N, n_features), and its distance: indices (N,) and distances (N,)."""
    extension.nearest_code(signals, layout, indices, distances, n_threads)
