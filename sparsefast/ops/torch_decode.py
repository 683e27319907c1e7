"""Products of sparse codes and dictionaries, as operators that PyTorch differentiates.

With the atoms d_i of entries (n, j), i = indices[n, j], and j below counts[n]:

    decode      out_n  = sum over j of values[n, j] d_i       (N, F)    codes to signals
    correlate   out_nj = <signals_n, d_i>                     (N, S)    its adjoint in the values
    accumulate  out_i  = sum over (n, j) of values[n, j] signals_n      (K, F)    its adjoint in the dictionary

Each is linear in both of its arguments and the derivatives of each are the other two, so they can be differentiated as
often as one likes. The padding of codes holds zeros, which are no variables: its gradient is zero, and what stands
there in `correlate` too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefast.ops import torch_device, torch_native
from sparsefast.ops.torch_library import define, flatten, unflatten
from sparsefast.ops.torch_segments import parts, sort_by_atom, unused

# `correlate` copies the atoms of so many entries at a time that they stay in the cache, or fill a GPU.
_GATHERED = 1 << 19
_GATHERED_ON_GPU = 1 << 24


def run_decode(values: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor:
    """`decode` where PyTorch need not see it."""
    for by in (torch_native, torch_device):
        if (out := by.decode(values, indices, counts, dictionary)) is not None:
            return out
    return torch.nn.functional.embedding_bag(indices, dictionary, mode="sum", per_sample_weights=values)


def _decode_fake(values: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor:
    return dictionary.new_empty((values.shape[0], dictionary.shape[1]))


def _correlate(signals: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor:
    for by in (torch_native, torch_device):
        if (native := by.correlate(signals, indices, counts, dictionary)) is not None:
            return native
    n_signals, n_nonzero = indices.shape
    n_features = dictionary.shape[1]
    out = signals.new_empty((n_signals, n_nonzero))
    gathered = _GATHERED if signals.device.type == "cpu" else _GATHERED_ON_GPU
    step = max(1, gathered // (n_nonzero * n_features))
    for start in range(0, n_signals, step):
        part = slice(start, start + step)
        atoms = dictionary.index_select(0, indices[part].reshape(-1)).view(-1, n_nonzero, n_features)
        torch.sum(atoms.mul_(signals[part].unsqueeze(1)), 2, out=out[part])
    return out.masked_fill_(unused(indices, counts), 0)


def _correlate_fake(signals: Tensor, indices: Tensor, counts: Tensor, dictionary: Tensor) -> Tensor:
    return signals.new_empty(indices.shape)


def _accumulate(values: Tensor, indices: Tensor, counts: Tensor, signals: Tensor, n_atoms: int) -> Tensor:
    for by in (torch_native, torch_device):
        if (native := by.accumulate(values, indices, counts, signals, n_atoms)) is not None:
            return native
    out = signals.new_zeros((n_atoms, signals.shape[1]))
    for part in parts(indices, n_atoms):
        out += sort_by_atom(indices[part], counts[part], n_atoms).sum(values[part], signals[part])
    return out


def _accumulate_fake(values: Tensor, indices: Tensor, counts: Tensor, signals: Tensor, n_atoms: int) -> Tensor:
    return signals.new_empty((n_atoms, signals.shape[1]))


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    first, indices, counts, second = inputs[:4]
    ctx.save_for_backward(first, indices, counts, second)


def without_padding(values: Tensor, indices: Tensor, counts: Tensor) -> Tensor:
    return values.masked_fill(unused(indices, counts), 0)


def _decode_backward(ctx: Any, grad: Tensor) -> Any:
    values, indices, counts, dictionary = ctx.saved_tensors
    of_values, *_, of_dictionary = ctx.needs_input_grad
    return (
        correlate(grad, indices, counts, dictionary) if of_values else None,
        None,
        None,
        accumulate(values, indices, counts, grad, dictionary.shape[0]) if of_dictionary else None,
    )


def _correlate_backward(ctx: Any, grad: Tensor) -> Any:
    signals, indices, counts, dictionary = ctx.saved_tensors
    of_signals, *_, of_dictionary = ctx.needs_input_grad
    grad = without_padding(grad, indices, counts)
    return (
        decode(grad, indices, counts, dictionary) if of_signals else None,
        None,
        None,
        accumulate(grad, indices, counts, signals, dictionary.shape[0]) if of_dictionary else None,
    )


def _accumulate_backward(ctx: Any, grad: Tensor) -> Any:
    values, indices, counts, signals = ctx.saved_tensors
    of_values, _, _, of_signals, _ = ctx.needs_input_grad
    return (
        correlate(signals, indices, counts, grad) if of_values else None,
        None,
        None,
        decode(without_padding(values, indices, counts), indices, counts, grad) if of_signals else None,
        None,
    )


def _batch_with_dictionary(op: Any, info: Any, in_dims: Any, args: Any) -> Any:
    """vmap of `decode` and `correlate`: the batch becomes more signals, and more atoms where it has dictionaries."""
    size = info.batch_size
    first, indices, counts = (flatten(x, dim, size) for x, dim in zip(args[:3], in_dims[:3], strict=True))
    dictionary = args[3]
    if in_dims[3] is not None:
        dictionary = flatten(dictionary, in_dims[3], size)
        indices = _shifted(indices, size, dictionary.shape[0] // size)
    return unflatten(op(first, indices, counts, dictionary), size), 0


def _batch_accumulate(op: Any, info: Any, in_dims: Any, args: Any) -> Any:
    size, n_atoms = info.batch_size, args[4]
    values, indices, counts, signals = (flatten(x, dim, size) for x, dim in zip(args[:4], in_dims[:4], strict=True))
    return unflatten(op(values, _shifted(indices, size, n_atoms), counts, signals, size * n_atoms), size), 0


def _shifted(indices: Tensor, size: int, n_atoms: int) -> Tensor:
    """Indices (size * N, S) into `size` dictionaries that stand below each other."""
    shift = torch.arange(size, device=indices.device) * n_atoms
    return (unflatten(indices, size) + shift[:, None, None]).reshape(indices.shape)


decode = define(
    "decode(Tensor values, Tensor indices, Tensor counts, Tensor dictionary) -> Tensor",
    run_decode,
    _decode_fake,
    batch=_batch_with_dictionary,
    backward=_decode_backward,
    save=_save,
)
correlate = define(
    "correlate(Tensor signals, Tensor indices, Tensor counts, Tensor dictionary) -> Tensor",
    _correlate,
    _correlate_fake,
    batch=_batch_with_dictionary,
    backward=_correlate_backward,
    save=_save,
)
accumulate = define(
    "accumulate(Tensor values, Tensor indices, Tensor counts, Tensor signals, SymInt n_atoms) -> Tensor",
    _accumulate,
    _accumulate_fake,
    batch=_batch_accumulate,
    backward=_accumulate_backward,
    save=_save,
)
