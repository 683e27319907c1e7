"""OMP on the observed features of each signal, in Triton (pursuit_blocks)."""

from __future__ import annotations

import torch

from sparsefast.kernels.triton import pursuit_blocks
from sparsefast.kernels.triton.layout import Layout
from sparsefast.kernels.triton.layout import prepare_atoms as prepare

__all__ = ["FORM", "masked", "prepare"]

FORM = "atoms"


def masked(
    signals: torch.Tensor,
    mask: torch.Tensor,
    layout: Layout,
    n_nonzero: int,
    tol: torch.Tensor | float | None,
    values: torch.Tensor,
    indices: torch.Tensor,
    counts: torch.Tensor,
    status: torch.Tensor,
    n_threads: int,
) -> None:
    """Pursue each row of signals (N, F) where mask (N, F) is True; write values (N, S), indices (N, S), counts (N,)
    and status (N,)."""
    pursuit_blocks.code("masked", signals, mask, layout, n_nonzero, tol, values, indices, counts, status)
