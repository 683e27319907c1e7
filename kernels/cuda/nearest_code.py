"""Vector quantisation in CUDA (csrc/cuda/nearest.cu)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import Layout, extension_of
from sparsefast.kernels.cuda.coders import prepare_atoms as prepare
from sparsefast.kernels.cuda.coders import prepare_atoms_once as prepare_once
from sparsefast.kernels.cuda.memory import describe, queue_of

__all__ = ["FORM", "nearest_code", "prepare", "prepare_once"]

FORM = "atoms"


def nearest_code(signals: Any, layout: Layout, indices: Any, distances: Any, n_threads: int) -> None:
    """The nearest atom of each of signals (N, n_features), and its distance: indices (N,) and distances (N,)."""
    device, stream = queue_of(signals)
    extension_of(signals).cuda_nearest_code(
        describe(signals),
        layout.dictionary,
        layout.packed.on_stream(stream),
        describe(indices),
        describe(distances),
        device,
        stream,
    )
