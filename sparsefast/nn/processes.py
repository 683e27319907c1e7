"""What the processes of a training run tell each other: no-ops where torch.distributed has no group.

Process r of W has the r-th contiguous block of every global batch, so that what is gathered stands in the order of the
global batch. Every process must make the same calls in the same order. None of these is differentiated.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def count() -> int:
    """How many processes there are: 1 without a group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is: 0 without a group."""
    return dist.get_rank() if count() > 1 else 0


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes, a new tensor where there are several; x itself where there is one."""
    return _reduced(x, dist.ReduceOp.SUM) if count() > 1 else x


def largest(x: Tensor) -> Tensor:
    """The element-wise maximum of x over all processes, as `total`."""
    return _reduced(x, dist.ReduceOp.MAX) if count() > 1 else x


def gathered(x: Tensor) -> Tensor:
    """The rows of x of all processes, (W * N, ...), by rank: the global batch in its order. Every process has as many.

    Parameters
    ----------
    x : tensor of shape (N, ...)
        Of the same shape and dtype in every process.
    """
    if count() == 1:
        return x
    sent = x.detach().contiguous()
    parts = [torch.empty_like(sent) for _ in range(count())]
    dist.all_gather(parts, sent)
    return torch.cat(parts)


def _reduced(x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    sent = x.detach().clone()
    dist.all_reduce(sent, op=operation)
    return sent
