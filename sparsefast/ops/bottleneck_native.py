"""The dictionary bottleneck by the C++ kernels (csrc/cpu/bottleneck): the arrays of `torch_bottleneck` as they take
them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsefast import dispatch, threads
from sparsefast.ops import gradients as of_coder
from sparsefast.prepared import _same as same_bytes

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


@functools.cache
def _kernels() -> Any:
    from sparsefast.kernels.cpu import bottleneck

    return bottleneck


@functools.cache
def _coder() -> Any:
    from sparsefast.kernels.cpu import omp

    return omp


def runs(x: Tensor) -> bool:
    """Whether the kernels take such tensors: where OMP on them is that in C++."""
    dtype = _DTYPES.get(x.dtype)
    return x.device.type == "cpu" and dtype is not None and dispatch.resolve("omp", "cpu", dtype, None).backend == "cpu"


def in_planes(latent: Tensor) -> bool:
    """Whether the features of a latent (B, F, H, W) are to lie in planes; in rows where they do, or it is (N, F)."""
    if latent.ndim == 2:
        return False
    return latent.is_contiguous() or not latent.is_contiguous(memory_format=torch.channels_last)


def laid_out(x: Tensor, planes: bool) -> Tensor:
    """A tensor of a latent's shape in its layout."""
    if planes or x.ndim == 2:
        return x.contiguous()
    return x.contiguous(memory_format=torch.channels_last)


def empty(like: Tensor, shape: Sequence[int], planes: bool) -> Tensor:
    """A latent of this shape and layout."""
    if planes or len(shape) == 2:
        return like.new_empty(shape)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _batch(shape: Sequence[int]) -> tuple[Sequence[int], int]:
    """The shape of the signals of a latent, and how many there are."""
    if len(shape) == 2:
        return shape[:1], shape[0]
    return (shape[0], shape[2], shape[3]), shape[0] * shape[2] * shape[3]


def outputs(
    latent: Tensor, planes: bool, atoms: Tensor, n_nonzero: int, with_residual: bool, with_sums: bool
) -> tuple[Tensor, ...]:
    """Room for what the operator returns."""
    shape, (n_atoms, n_features) = latent.shape, atoms.shape
    batch, n_signals = _batch(shape)
    new = latent.new_empty
    return (
        empty(latent, shape, planes),
        new(()),
        new((*batch, n_nonzero)),
        new((*batch, n_nonzero), dtype=torch.int64),
        new(batch, dtype=torch.int32),
        new(batch, dtype=torch.uint8),
        new((n_atoms,), dtype=torch.int64),
        new((n_signals if with_residual or with_sums else 0, n_features)),
        new((n_atoms if with_sums else 0, n_features)),
    )


class _Prepared(NamedTuple):
    dictionary: Any
    """A copy of what it was made from."""
    atoms: Tensor
    packed: Any


# The last few: layers that are called in turns, or again before their dictionary has changed, prepare it once.
_KEPT = 4
# Not those whose Gram matrix would hold much memory.
_MAX_KEPT_ATOMS = 1024
_prepared: list[tuple[tuple[Any, ...], _Prepared]] = []


def _prepare(dictionary: Tensor, normalize_atoms: bool, n_threads: int) -> _Prepared:
    """The atoms, and their packed form for OMP: made anew where the dictionary is not, bit for bit, one of the last."""
    global _prepared
    here = _aligned(dictionary.contiguous())
    key = here.shape, here.dtype.char, normalize_atoms, _coder().layout_key()
    for known, found in _prepared:
        if known == key and same_bytes(here, found.dictionary):
            return found
    copy = here.copy()
    atoms = torch.from_numpy(copy)
    if normalize_atoms:
        atoms = normalize(atoms, dim=1)
    made = _Prepared(copy, atoms, _coder().prepare(atoms.numpy(), None, n_threads))
    if len(copy) <= _MAX_KEPT_ATOMS:
        _prepared = [(key, made), *_prepared[: _KEPT - 1]]
    return made


def _array(x: Tensor, planes: bool = True) -> Any:
    """A dense tensor as an array, features last where they do not lie in planes."""
    return (x if planes or x.ndim == 2 else x.permute(0, 2, 3, 1)).numpy()


def _aligned(x: Tensor, planes: bool = True) -> Any:
    """The same at an address that its numbers may stand at."""
    array = _array(x, planes)
    return array if array.flags.aligned else array.copy()


def forward(
    latent: Tensor,
    planes: bool,
    dictionary: Tensor,
    normalize_atoms: bool,
    n_nonzero: int,
    weight: float,
    with_residual: bool,
    with_sums: bool,
) -> tuple[Tensor, ...]:
    """The outputs; the loss is weight times the mean square of the residual."""
    n_threads = threads.get_num_threads()
    prepared = _prepare(dictionary.detach(), normalize_atoms, n_threads)
    x, d = _aligned(latent.detach(), planes), prepared.dictionary
    batch, n_signals = _batch(latent.shape)
    reconstruction = empty(latent, latent.shape, planes)
    # Arrays that become tensors take a third of the time of tensors that are seen as arrays.
    loss, values = np.empty((), d.dtype), np.empty((*batch, n_nonzero), d.dtype)
    indices, counts = np.empty((*batch, n_nonzero), np.int64), np.empty(batch, np.int32)
    status, usage = np.empty(batch, np.uint8), np.empty(len(d), np.int64)
    with_residual = with_residual or with_sums
    residual = np.empty((n_signals if with_residual else 0, d.shape[1]), d.dtype)
    sums = np.empty((len(d) if with_sums else 0, d.shape[1]), d.dtype)
    _kernels().bottleneck(
        x, planes, prepared.packed, prepared.atoms.numpy(), n_nonzero, values, indices, counts, status,
        _array(reconstruction, planes), residual if with_residual else None, sums if with_sums else None,
        loss, weight, usage, n_threads,
    )  # fmt: skip
    return reconstruction, *map(torch.from_numpy, (loss, values, indices, counts, status, usage, residual, sums))


def gradients(
    grad: Tensor | None,
    grad_values: Tensor | None,
    residual: Tensor,
    values: Tensor,
    indices: Tensor,
    counts: Tensor,
    dictionary: Tensor,
    sums: Tensor,
    shape: Sequence[int],
    planes: bool,
    normalize_atoms: bool,
    implicit: bool,
    to_signals: float,
    to_atoms: float,
    of_latent: bool,
    of_dictionary: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of latent and dictionary, those asked for; without `implicit` that of the dictionary needs sums."""
    n_threads = threads.get_num_threads()
    of_x = empty(residual, shape, planes) if of_latent else residual.new_empty(0)
    of_d = residual.new_empty(dictionary.shape) if of_dictionary else None
    g = None if grad is None else _aligned(laid_out(grad, planes), planes)
    out = _array(of_x, planes) if of_latent else None
    if implicit:
        prepared = _prepare(dictionary, normalize_atoms, n_threads)
        atoms, inverse_norms = prepared.atoms, None
        if not normalize_atoms:
            atoms, inverse_norms = of_coder._unit_atoms(prepared.atoms)
        s = values.shape[-1]
        _kernels().gradients(
            _array(empty(residual, shape, planes) if out is None else of_x, planes), planes, True, g,
            None if grad_values is None else _aligned(grad_values.contiguous()),
            residual.numpy(), values.view(-1, s).numpy(), indices.view(-1, s).numpy(), counts.view(-1).numpy(),
            prepared.atoms.numpy(), atoms.numpy(), None if inverse_norms is None else inverse_norms.numpy(),
            to_signals, to_atoms, of_coder.RIDGE[atoms.dtype], of_coder._LEAST_PIVOT[atoms.dtype],
            out, None if of_d is None else of_d.numpy(), n_threads,
        )  # fmt: skip
    elif of_latent:
        _kernels().gradients(
            out, planes, False, g, None, residual.numpy(), None, None, None, None, None, None,
            to_signals, 0.0, 0.0, 0.0, out, None, n_threads,
        )  # fmt: skip
    if of_d is None:
        return of_x, residual.new_empty(0)
    if normalize_atoms:
        of_atoms, scale = (of_d, 1.0) if implicit else (sums, to_atoms)
        _kernels().unit_norm_gradients(_aligned(dictionary.contiguous()), of_atoms.numpy(), scale, of_d.numpy())
    elif not implicit:
        torch.mul(sums, to_atoms, out=of_d)
    return of_x, of_d
