"""How many signals each code has, and their sum, without a matrix of one-hot rows."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsefast.nn.rates import usage_counts
from sparsefast.ops.torch_decode import accumulate


def sums_by_code(signals: Tensor, indices: Tensor, n_codes: int) -> tuple[Tensor, Tensor]:
    """Counts (K,) and sums (K, F) of signals (N, F) by their codes, indices (N,) int64; of the signals' dtype.

    The same bit for bit each time: on a CPU the sums run in the order of the signals, and on a GPU, where index_add_
    adds by chance, over sorted segments.
    """
    counts = usage_counts(indices, n_codes).to(signals.dtype)
    if signals.device.type == "cpu":
        return counts, signals.new_zeros(n_codes, signals.shape[1]).index_add_(0, indices, signals)
    ones = signals.new_ones(len(signals), 1)
    used = torch.ones_like(indices, dtype=torch.int32)
    return counts, accumulate(ones, indices[:, None], used, signals, n_codes)
