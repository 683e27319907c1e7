"""Coefficients as whole numbers: bins that are narrow at zero, by the companding of telephony.

    c(v) = sign(v) log(1 + mu |v| / scale) / log(1 + mu)      in [-1, 1]
    bin  = m + round(m c(v)),  m = (n_bins - 1) / 2           0 to n_bins - 1; zero has bin m
    v'   = sign(c) scale ((1 + mu)^|c| - 1) / mu,  c = (bin - m) / m

Source: ITU-T G.711, 1988 (mu = 255 there).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sparsefast.nn.arguments import check_number, check_whole
from sparsefast.nn.coefficients import FollowedScale


class MuLawQuantizer(FollowedScale):
    """Coefficients rounded to n_bins levels that lie the denser the nearer they are to zero.

    Parameters
    ----------
    n_bins : int
        Odd, so that zero is a level; 3 to 65535.
    mu : float
        How much denser, at least 0.001: with next to none the levels are even.

    Attributes
    ----------
    scale : buffer, a tensor ()
        As for `FollowedScale`; while it is zero, 1 is used.
    """

    def __init__(self, n_bins: int, mu: float, owner: str = "MuLawQuantizer") -> None:
        super().__init__()
        self.n_bins = check_whole(owner, "coefficient_bins", n_bins, 3, 65535)
        if self.n_bins % 2 == 0:
            raise ValueError(f"{owner}: coefficient_bins={n_bins}; it must be odd, so that zero has a bin")
        self.mu = check_number(owner, "mu", mu, 1e-3)

    @property
    def bits_each(self) -> float:
        return math.log2(self.n_bins)

    @property
    def zero_bin(self) -> int:
        """The bin of zero, in the middle."""
        return self.n_bins // 2

    def bins(self, values: Tensor) -> Tensor:
        """The bins of values of any shape, int64; of NaN that of zero."""
        middle, scale = self.zero_bin, self._scale(values.dtype)
        loudness = torch.log1p(self.mu * (values.abs() / scale).clamp_max(1)) / math.log1p(self.mu)
        return middle + torch.round(middle * torch.copysign(loudness, values).nan_to_num(nan=0.0)).to(torch.int64)

    def levels(self, dtype: torch.dtype) -> Tensor:
        """The coefficients (n_bins,) that the bins stand for, increasing."""
        middle = self.zero_bin
        loudness = torch.arange(-middle, middle + 1, device=self.scale.device, dtype=torch.float64) / middle
        size = torch.expm1(loudness.abs() * math.log1p(self.mu)) / self.mu
        return torch.copysign(size, loudness).to(dtype) * self._scale(dtype)

    def forward(self, values: Tensor) -> Tensor:
        return torch.where(values.isnan(), values, self.levels(values.dtype)[self.bins(values)])

    def _scale(self, dtype: torch.dtype) -> Tensor:
        scale = self.scale.to(dtype)
        return torch.where(scale > 0, scale, torch.ones_like(scale))
