"""Dictionaries as the Triton kernels read them, made on the device and without waiting for it."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

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
    with on(dictionary):
        finite = torch.zeros(ld, dtype=torch.int8, device=device)
        finite[:n_atoms] = torch.isfinite(dictionary).all(dim=1)
        atoms = torch.where(finite[:n_atoms, None] != 0, dictionary, torch.zeros((), dtype=dtype, device=device))
        exponent = torch.frexp(atoms.abs().amax()).exponent.reshape(1).to(torch.int32)
        atoms = times_power_of_two(atoms, -exponent)
        columns = torch.zeros((n_features, ld), dtype=dtype, device=device)
        columns[:, :n_atoms] = atoms.T
        norms = torch.empty(ld, dtype=dtype, device=device)
        norms_kernel[(triton.cdiv(ld, 128),)](columns, norms, n_features, ld, BK=128)
    return Layout(atoms.contiguous(), columns, None, norms, finite, exponent)


def prepare_gram(dictionary: torch.Tensor, gram: torch.Tensor | None, n_threads: int) -> Layout:
    """Pack dictionary (K, F) and gram (K, K), or compute the latter; of many atoms, none."""
    layout = prepare_atoms(dictionary, gram, n_threads)
    n_atoms, n_features = dictionary.shape
    ld = layout.columns.shape[1]
    if n_atoms > GRAM_ATOMS:
        return layout
    with on(dictionary):
        packed = torch.zeros((n_atoms, ld), dtype=dictionary.dtype, device=dictionary.device)
        if gram is None:
            grid = (triton.cdiv(n_atoms, 64), triton.cdiv(ld, 128))
            gram_kernel[grid](layout.columns, packed, n_atoms, n_features, ld, BN=64, BK=128, num_warps=8)
        else:
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
def norms_kernel(columns, norms, n_features, ld, BK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Norms of the atoms: equal atoms have equal ones, which a sum that is split by rows would not promise."""
    lane = tl.program_id(0) * BK + tl.arange(0, BK)
    total = tl.zeros((BK,), tl.float64)
    for f in range(n_features):
        d = tl.load(columns + tl.cast(f, tl.int64) * ld + lane, mask=lane < ld, other=0).to(tl.float64)
        total += d * d
    tl.store(norms + lane, tl.sqrt(total).to(norms.dtype.element_ty), mask=lane < ld)


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
    return torch.cuda.device(array.device) if array.is_cuda else contextlib.nullcontext()


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
