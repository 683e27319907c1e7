"""Dictionaries as the Triton kernels read them, made on the device and without waiting for it."""

from __future__ import annotations

import contextlib
import functools
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from sparsefast.kernels.triton.signals import exponent_of, is_finite, magnitude_bits, power_of_two

_HERE = contextlib.nullcontext()

GRAM_ATOMS = 1024
"""With more atoms than this the kernels need no Gram matrix."""


class Layout(NamedTuple):
    """A dictionary (K, F) divided by 2**exponent, exactly. Atoms that were not finite are zero."""

    atoms: torch.Tensor  # (K, F)
    columns: torch.Tensor  # (F, ld): atoms side by side; ld is K, rounded up, and the rest is zero
    gram: torch.Tensor | None  # (K, ld)
    norms: torch.Tensor  # (ld,), in the dictionary's dtype
    finite: torch.Tensor  # (ld,), int8
    exponent: torch.Tensor  # (1,), int32, on the device as all of these


def prepare_atoms(dictionary: torch.Tensor, gram: torch.Tensor | None, n_threads: int) -> Layout:
    """Pack dictionary (K, F) alone: float32 or float64, any strides. `gram` and `n_threads` are not needed here."""
    n_atoms, n_features = dictionary.shape
    dtype, device = dictionary.dtype, dictionary.device
    ld = -(-n_atoms // 16) * 16  # so that rows are read as vectors
    empty = torch.empty
    # Two launches: PyTorch's own operations for this, thirty, take the host half a millisecond.
    with on(dictionary):
        tops = empty(n_atoms, dtype=torch.int32 if dtype == torch.float32 else torch.int64, device=device)
        layout = Layout(
            empty(n_atoms, n_features, dtype=dtype, device=device),
            empty(n_features, ld, dtype=dtype, device=device),
            None,
            empty(ld, dtype=dtype, device=device),
            empty(ld, dtype=torch.int8, device=device),
            empty(1, dtype=torch.int32, device=device),
        )
        tops_kernel[(triton.cdiv(n_atoms, 8),)](
            dictionary, *dictionary.stride(), tops, n_atoms, n_features, BK=8,
            BF=min(64, power_of_two_at_least(n_features)), num_warps=2,
        )  # fmt: skip
        pack_kernel[(triton.cdiv(ld, 32),)](
            dictionary, *dictionary.stride(), tops, layout.atoms, layout.columns, layout.norms, layout.finite,
            layout.exponent, n_atoms, n_features, ld, BK=32, num_warps=1,
        )  # fmt: skip
    return layout


def prepare_gram(dictionary: torch.Tensor, gram: torch.Tensor | None, n_threads: int) -> Layout:
    """Pack dictionary (K, F) and gram (K, K), or compute the latter; of many atoms, none."""
    layout = prepare_atoms(dictionary, gram, n_threads)
    n_atoms, n_features = dictionary.shape
    ld = layout.columns.shape[1]
    if n_atoms > GRAM_ATOMS:
        return layout
    with on(dictionary):
        if gram is None:
            packed = torch.empty((n_atoms, ld), dtype=dictionary.dtype, device=dictionary.device)
            grid = (triton.cdiv(n_atoms, 64), triton.cdiv(ld, 128))
            gram_kernel[grid](layout.columns, packed, n_atoms, n_features, ld, BN=64, BK=128, num_warps=8)
        else:
            packed = torch.zeros((n_atoms, ld), dtype=dictionary.dtype, device=dictionary.device)
            twice = times_power_of_two(times_power_of_two(gram, -layout.exponent), -layout.exponent)
            packed[:, :n_atoms] = torch.where(torch.isfinite(twice), twice, torch.zeros_like(twice))
    return layout._replace(gram=packed)


def times_power_of_two(a: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """a 2**exponent for an integer exponent (1,) on the device, exactly, in two factors: one may overflow."""
    integer, bias, shift = (torch.int32, 127, 23) if a.dtype == torch.float32 else (torch.int64, 1023, 52)
    half = torch.div(exponent, 2, rounding_mode="floor")
    first, rest = (((e.to(integer) + bias) << shift).view(a.dtype) for e in (half, exponent - half))
    return a * first * rest


@triton.jit
def tops_kernel(  # type: ignore[no-untyped-def]
    dictionary, stride_k, stride_f, tops, n_atoms, n_features, BK: tl.constexpr, BF: tl.constexpr
):  # fmt: skip
    """The bits of the largest magnitude of each atom, -1 where one of its numbers is not finite."""
    k = tl.program_id(0) * BK + tl.arange(0, BK)
    top = tl.zeros((BK,), tops.dtype.element_ty)
    for first in range(0, n_features, BF):
        f = first + tl.arange(0, BF)
        at = k.to(tl.int64)[:, None] * stride_k + f.to(tl.int64)[None, :] * stride_f
        d = tl.load(dictionary + at, mask=(k < n_atoms)[:, None] & (f < n_features)[None, :], other=0)
        top = tl.maximum(top, tl.max(magnitude_bits(d), axis=1))
    tl.store(tops + k, tl.where(is_finite(top), top, -1), mask=k < n_atoms)


@triton.jit
def pack_kernel(  # type: ignore[no-untyped-def]
    dictionary, stride_k, stride_f, tops, atoms, columns, norms, finite, exponent, n_atoms, n_features, ld,
    BK: tl.constexpr,
):  # fmt: skip
    """All that a Layout has of BK atoms. Norms are sums in one order: equal atoms have equal ones."""
    T = columns.dtype.element_ty
    lane = tl.program_id(0) * BK + tl.arange(0, BK)
    usable = (lane < n_atoms) & (tl.load(tops + lane, mask=lane < n_atoms, other=-1) >= 0)
    top = tl.zeros((1024,), tops.dtype.element_ty)
    for first in range(0, n_atoms, 1024):
        k = first + tl.arange(0, 1024)
        top = tl.maximum(top, tl.load(tops + k, mask=k < n_atoms, other=0))
    e = exponent_of(tl.max(top, axis=0))
    # In two factors: 2**-e itself may overflow.
    half = (-e) >> 1
    first_factor = power_of_two(half, T)
    second_factor = power_of_two(-e - half, T)

    total = tl.zeros((BK,), tl.float64)
    row = lane.to(tl.int64)
    for f in tl.range(0, n_features, loop_unroll_factor=8):
        wide = tl.cast(f, tl.int64)
        d = tl.load(dictionary + row * stride_k + wide * stride_f, mask=usable, other=0)
        d = d * first_factor * second_factor
        tl.store(columns + wide * ld + lane, d, mask=lane < ld)
        tl.store(atoms + row * n_features + wide, d, mask=lane < n_atoms)
        total += d.to(tl.float64) * d.to(tl.float64)
    tl.store(norms + lane, tl.sqrt(total).to(T), mask=lane < ld)
    tl.store(finite + lane, usable.to(tl.int8), mask=lane < ld)
    if tl.program_id(0) == 0:
        tl.store(exponent, e)


@triton.jit
def gram_kernel(columns, gram, n_atoms, n_features, ld, BN: tl.constexpr, BK: tl.constexpr):  # type: ignore[no-untyped-def]
    """gram (K, ld) = D D^T, each entry the same sum in the same order, as the correlations of signals are."""
    row = tl.program_id(0) * BN + tl.arange(0, BN)
    lane = tl.program_id(1) * BK + tl.arange(0, BK)
    total = tl.zeros((BN, BK), columns.dtype.element_ty)
    for f in range(n_features):
        at = tl.cast(f, tl.int64) * ld
        a = tl.load(columns + at + row, mask=row < ld, other=0)
        b = tl.load(columns + at + lane, mask=lane < ld, other=0)
        total += a[:, None] * b[None, :]
    mask = (row < n_atoms)[:, None] & (lane < ld)[None, :]
    tl.store(gram + row.to(tl.int64)[:, None] * ld + lane[None, :], total, mask=mask)


def on(array: torch.Tensor) -> contextlib.AbstractContextManager[Any]:
    """Launch on the device of an array, and on its current stream."""
    if array.is_cuda and array.get_device() != torch.cuda.current_device():
        return torch.cuda.device(array.device)
    return _HERE


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """How many a GPU has."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def tolerances(tol: torch.Tensor | float | None, device: torch.device) -> tuple[torch.Tensor | None, int]:
    """The tolerances in float64 on the device, and how far the next signal's is from the last one's."""
    if tol is None:
        return None, 0
    if isinstance(tol, torch.Tensor) and tol.ndim == 1:
        wide = tol.to(device, torch.float64)
        return wide, wide.stride(0)
    # An argument of a kernel would be rounded to float32.
    if isinstance(tol, torch.Tensor):
        return tol.to(device, torch.float64).reshape(1), 0
    return torch.full((1,), float(tol), dtype=torch.float64, device=device), 0


def power_of_two_at_least(n: int, least: int = 1) -> int:
    return max(least, 1 << (n - 1).bit_length())
