"""The loss of a bottleneck whose codes learn by gradient: two terms of one value, in one pass over the signals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _CodeLoss(torch.autograd.Function):
    @staticmethod
    def forward(signals: Tensor, reconstruction: Tensor, commitment: float, weight: float) -> Tensor:
        return (commitment + weight) * (signals - reconstruction).square_().mean()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        signals, reconstruction, ctx.commitment, ctx.weight = inputs
        ctx.save_for_backward(signals, reconstruction)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        signals, reconstruction = ctx.saved_tensors
        of_signals, of_reconstruction, *_ = ctx.needs_input_grad
        error, scale = signals - reconstruction, grad * (2 / max(1, signals.numel()))
        return (
            error * (scale * ctx.commitment) if of_signals else None,
            error * (scale * -ctx.weight) if of_reconstruction else None,
            None,
            None,
        )


def code_loss(signals: Tensor, reconstruction: Tensor, commitment: float, weight: float) -> Tensor:
    """commitment ||x - sg x^||^2 + weight ||sg x - x^||^2 of signals x and reconstruction x^ of one shape and dtype.

    With means over all numbers for the norms. A tensor ().
    """
    return _CodeLoss.apply(signals, reconstruction, commitment, weight)
