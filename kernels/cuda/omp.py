"""Batch-OMP in CUDA (csrc/cuda/omp)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import Layout, code
from sparsefast.kernels.cuda.coders import prepare_gram as prepare
from sparsefast.kernels.cuda.coders import prepare_gram_once as prepare_once

__all__ = ["FORM", "omp", "prepare", "prepare_once"]

FORM = "gram"


def omp(
    signals: Any,
    layout: Layout,
    n_nonzero: int,
    tol: Any,
    values: Any,
    indices: Any,
    counts: Any,
    status: Any,
    n_threads: int,
) -> None:
    """Code signals (N, n_features) into values and indices (N, n_nonzero), counts (N,) and status (N,)."""
    code("omp", signals, layout, n_nonzero, tol, (values, indices, counts, status))
