"""The largest correlations in CUDA (csrc/cuda/omp/topk.cuh)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import Layout, code
from sparsefast.kernels.cuda.coders import prepare_atoms as prepare
from sparsefast.kernels.cuda.coders import prepare_atoms_once as prepare_once

__all__ = ["FORM", "prepare", "prepare_once", "topk"]

FORM = "atoms"


def topk(
    signals: Any,
    layout: Layout,
    n_nonzero: int,
    positive: bool,
    values: Any,
    indices: Any,
    counts: Any,
    status: Any,
    n_threads: int,
) -> None:
    """The n_nonzero largest correlations of signals (N, n_features) with the atoms, the largest first."""
    code("topk", signals, layout, n_nonzero, None, (values, indices, counts, status), positive=positive)
