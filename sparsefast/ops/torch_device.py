"""The products of sparse codes by the CUDA kernels (csrc/cuda/products.cu), where tensors are on a GPU.

Each function is that of `torch_native`, and returns None where there are no such kernels or they do not take these
tensors: PyTorch's own operations then do the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefast.dispatch import why_not

_DTYPES = (torch.float32, torch.float64)


def _kernels(*tensors: Tensor) -> Any:
    first = tensors[0].dtype
    # Rows without features or entries are nothing to launch for.
    fit = first in _DTYPES and all(x.is_cuda and x.dtype == first and x.numel() for x in tensors)
    if not fit or why_not("omp", "cuda") is not None:
        return None
    from sparsefast.kernels.cuda import products

    return products


def _codes(indices: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    return indices.contiguous(), counts.to(torch.int32).contiguous()


def decode(values: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor | None:
    """The signals (N, F)."""
    if (kernels := _kernels(values, dictionary)) is None:
        return None
    out = dictionary.new_empty((values.shape[0], dictionary.shape[1]))
    kernels.decode(values.contiguous(), *_codes(indices, counts), dictionary, out)
    return out


def correlate(signals: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor | None:
    """The correlations (N, S), zero in the padding."""
    if not indices.numel() or (kernels := _kernels(signals, dictionary)) is None:
        return None
    out = signals.new_empty(indices.shape)
    kernels.correlate(signals, *_codes(indices, counts), dictionary, out)
    return out


def accumulate(
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    signals: Tensor,
    n_atoms: int,
    less: tuple[Tensor, Tensor] | None = None,
) -> Tensor | None:
    """The sums (n_atoms, F): the same every time. `less`: values and signals whose sums are subtracted."""
    if not n_atoms or (kernels := _kernels(values, signals, *(less or ()))) is None:
        return None
    out = signals.new_empty((n_atoms, signals.shape[1]))
    others = () if less is None else (less[0].contiguous(), less[1])
    kernels.accumulate(values.contiguous(), *_codes(indices, counts), signals, out, *others)
    return out
