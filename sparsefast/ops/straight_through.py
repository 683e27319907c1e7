"""The straight-through estimator: the value of one tensor with the gradient of the identity in another.

    forward   out = reconstruction        backward   dL/dsignals = dL/dout,  dL/dreconstruction = 0

Source: Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons for conditional
computation", 2013 (arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    # signals + (reconstruction - signals).detach() would round the value, and spread NaN that a mask hides.
    @staticmethod
    def forward(signals: Tensor, reconstruction: Tensor) -> Tensor:
        return reconstruction.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad, None


def straight_through(signals: Tensor, reconstruction: Tensor) -> Tensor:
    """The reconstruction, whose gradient goes to signals of the same shape and dtype unchanged, and nowhere else."""
    return _StraightThrough.apply(signals, reconstruction.detach())
