"""OMP on the observed features in CUDA (csrc/cuda/omp/pursuit.cuh)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import Layout, code
from sparsefast.kernels.cuda.coders import prepare_atoms as prepare
from sparsefast.kernels.cuda.coders import prepare_atoms_once as prepare_once

__all__ = ["FORM", "masked", "prepare", "prepare_once"]

FORM = "atoms"


def masked(
    signals: Any,
    mask: Any,
    layout: Layout,
    n_nonzero: int,
    tol: Any,
    values: Any,
    indices: Any,
    counts: Any,
    status: Any,
    n_threads: int,
) -> None:
    """Code signals (N, n_features), of which `mask` (N, n_features) says what is observed."""
    code("masked", signals, layout, n_nonzero, tol, (values, indices, counts, status), mask=mask)
