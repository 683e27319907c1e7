"""Order-recursive matching pursuit in Triton: tiles in registers (pursuit_tile), or any size (pursuit_blocks)."""

from __future__ import annotations

import torch

from sparsefast.kernels.triton import pursuit_blocks, pursuit_tile
from sparsefast.kernels.triton.layout import Layout
from sparsefast.kernels.triton.layout import prepare_gram as prepare

__all__ = ["FORM", "ols", "prepare"]

FORM = "gram"


def ols(
    signals: torch.Tensor,
    layout: Layout,
    n_nonzero: int,
    tol: torch.Tensor | float | None,
    values: torch.Tensor,
    indices: torch.Tensor,
    counts: torch.Tensor,
    status: torch.Tensor,
    n_threads: int,
) -> None:
    """Pursue each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""
    limit = min(n_nonzero, *layout.atoms.shape)
    outputs = (values, indices, counts, status)
    if pursuit_tile.fits(layout, limit):
        pursuit_tile.code("ols", signals, layout, n_nonzero, tol, *outputs)
    else:
        pursuit_blocks.code("ols", signals, None, layout, n_nonzero, tol, *outputs)
