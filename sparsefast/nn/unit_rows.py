"""Rows scaled to unit norm, with a gradient of a few operations.

    u = d / |d|        dL/dd = (g - (g . u) u) / |d|        g = dL/du

Norms are taken for at least 1e-12, as by torch.nn.functional.normalize, whose own gradient goes back through each of
its steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LEAST = 1e-12


class _UnitRows(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> tuple[Tensor, Tensor]:
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(_LEAST)
        return rows / norms, norms

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        unit, norms = output
        ctx.mark_non_differentiable(norms)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, unit, norms)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> Any:
        if grad is None:
            return None
        rows, unit, norms = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is differentiated itself, and the norms are no constants then
            norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(_LEAST)
        along = (grad * unit).sum(1, keepdim=True)
        return torch.addcmul(grad, along, unit, value=-1) / norms


def unit_rows(rows: Tensor) -> Tensor:
    """Rows (K, F) divided by their norms; what is zero stays so."""
    return _UnitRows.apply(rows)[0]
