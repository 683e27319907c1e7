"""The uniform quantiser of sparse coefficients, and the scale that quantisers follow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsefast.nn.arguments import check_whole
from sparsefast.nn.processes import largest

# Of the scale, in each training call: half of it is forgotten in about 70.
_DECAY = 0.99


class FollowedScale(nn.Module):
    """Base of the quantisers of coefficients: their scale is the largest |coefficient| of the training calls, and falls
    by 1% a call until one exceeds it.

    Attributes
    ----------
    scale : buffer, a tensor ()
        Zero until there was a coefficient.
    """

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.zeros(()))

    @property
    def bits_each(self) -> float:
        """Bits for one coefficient, without entropy coding."""
        raise NotImplementedError

    def forward(self, values: Tensor) -> Tensor:
        """The levels nearest to values of any shape, of their dtype. No gradient: see `straight_through`."""
        raise NotImplementedError

    @torch.no_grad()
    def follow(self, values: Tensor) -> None:
        """Let the scale follow the coefficients of a training call, of all processes."""
        # A signal that held NaN says nothing of the scale.
        known = values.detach().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        peak = largest(known.abs().amax() if known.numel() else known.new_zeros(())).to(self.scale.dtype)
        # Not copy_, which torch.compile of PyTorch 2.11 loses for a float64 of no dimensions on the CPU.
        self.scale[...] = torch.maximum(self.scale * _DECAY, peak)

    def reset(self, values: Tensor) -> None:
        """Forget the scale, and take that of these coefficients."""
        self.scale.zero_()
        self.follow(values)


class CoefficientQuantizer(FollowedScale):
    """Coefficients rounded to 2^bits - 1 levels that are evenly spread over [-scale, scale].

        q(v) = step * round(clamp(v, -scale, scale) / step),      step = scale / (2^(bits - 1) - 1)

    |q(v) - v| <= step / 2 for |v| <= scale. Zero is a level, so that a signal with fewer atoms can be told too; that
    leaves one of the 2^bits words unused. While the scale is zero, nothing is rounded.

    Parameters
    ----------
    bits : int
        2 to 16.
    """

    def __init__(self, bits: int, owner: str = "CoefficientQuantizer") -> None:
        super().__init__()
        self.bits = check_whole(owner, "coefficient_bits", bits, 2, 16)

    @property
    def bits_each(self) -> float:
        return self.bits

    @property
    def step(self) -> Tensor:
        """The distance of two levels, a tensor ()."""
        return self.scale / (2 ** (self.bits - 1) - 1)

    def forward(self, values: Tensor) -> Tensor:
        scale, step = self.scale.to(values.dtype), self.step.to(values.dtype)
        rounded = torch.round(torch.clamp(values, -scale, scale) / step) * step
        return torch.where(scale > 0, rounded, values)
