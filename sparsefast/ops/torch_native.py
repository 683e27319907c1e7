"""The products of sparse codes by the C++ kernels (csrc/cpu/products), where tensors are on a CPU.

Each function takes dense or strided tensors (N, S), (N, F), (K, F) of float32 or float64, indices int64 and counts
int32, and returns None where there are no such kernels or they do not take these tensors: PyTorch's own operations then
do the same.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from sparsefast import threads
from sparsefast.dispatch import why_not

_DTYPES = (torch.float32, torch.float64)


@functools.cache
def _module() -> Any:
    """The kernels, or None where nothing is compiled."""
    if why_not("omp", "cpu") is not None:
        return None
    from sparsefast.kernels.cpu import products

    return products


def _kernels(*tensors: Tensor) -> Any:
    first = tensors[0].dtype
    fit = first in _DTYPES and all(x.device.type == "cpu" and x.dtype == first for x in tensors)
    return _module() if fit else None


def _array(x: Tensor) -> Any:
    """The same numbers as the kernels take them: dense, and at an address that their type may stand at."""
    array = x.detach().contiguous().numpy()
    return array if array.flags.aligned else array.copy()


def decode(values: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor | None:
    """The signals (N, F)."""
    if (kernels := _kernels(values, dictionary)) is None:
        return None
    out = dictionary.new_empty((values.shape[0], dictionary.shape[1]))
    arrays = map(_array, (values, indices, counts.to(torch.int32), dictionary))
    kernels.decode(*arrays, out.numpy(), threads.get_num_threads())
    return out


def correlate(signals: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor | None:
    """The correlations (N, S), zero in the padding."""
    if (kernels := _kernels(signals, dictionary)) is None:
        return None
    out = signals.new_empty(indices.shape)
    arrays = map(_array, (signals, indices, counts.to(torch.int32), dictionary))
    kernels.correlate(*arrays, out.numpy(), threads.get_num_threads())
    return out


def accumulate(values: Tensor, indices: Tensor, counts: Tensor, signals: Tensor, n_atoms: int) -> Tensor | None:
    """The sums (n_atoms, F): the same for any number of threads."""
    if (kernels := _kernels(values, signals)) is None:
        return None
    out = signals.new_empty((n_atoms, signals.shape[1]))
    arrays = map(_array, (values, indices, counts.to(torch.int32), signals))
    kernels.accumulate(*arrays, out.numpy(), threads.get_num_threads())
    return out


def support_gradients(
    grad: Tensor,
    signals: Tensor,
    dictionary: Tensor,
    gram: Tensor,
    inverse_norms: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    ridge: float,
    least_pivot: float,
    of_signals: Tensor | None,
    of_dictionary: Tensor | None,
) -> bool:
    """Write the gradients that are asked for, dense tensors (N, F) and (K, F). Returns whether that was done."""
    if (kernels := _kernels(grad, signals, dictionary, values)) is None:
        return False
    arrays = map(_array, (grad, signals, dictionary, gram, inverse_norms, values, indices, counts.to(torch.int32)))
    outputs = (None if out is None else out.numpy() for out in (of_signals, of_dictionary))
    kernels.support_gradients(*arrays, ridge, least_pivot, *outputs, threads.get_num_threads())
    return True
