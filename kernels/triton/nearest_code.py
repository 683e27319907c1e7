"""The atom nearest to each signal, in Triton.

    index = argmin_k sum_f (x_f - d_kf)^2

summed from the differences themselves, twice the operations of ||d||^2 - 2 <x, d> but with no cancellation to repair: a
program owns BN signals and passes over the atoms, BK at a time. Signals and codebook are brought to the larger of their
two scales. Where the least sum is so small that squares may have been lost to underflow, the signal is searched again
in float64, each difference scaled by the largest of its entries. The distance of the atom that is found is computed
that way always. The rules are those of sparsefast.kernels.reference.nearest_code.

Source: Gersho and Gray, Vector Quantization and Signal Compression, 1992.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sparsefast.kernels.triton.layout import Layout, on, power_of_two_at_least
from sparsefast.kernels.triton.layout import prepare_atoms as prepare
from sparsefast.kernels.triton.signals import (
    INF,
    exponent_of,
    is_finite,
    magnitude_bits,
    power_of_two,
    scale_of,
    scaled,
)

__all__ = ["FORM", "nearest_code", "prepare"]

FORM = "atoms"

MOST_ATOMS = 256


def nearest_code(
    signals: torch.Tensor, layout: Layout, indices: torch.Tensor, distances: torch.Tensor, n_threads: int
) -> None:
    """Find the atom nearest to each row of signals (N, F); write indices (N,) and distances (N,)."""
    n_signals, n_features = signals.shape
    n_atoms = len(layout.atoms)
    BK = min(MOST_ATOMS, power_of_two_at_least(n_atoms, 16))
    BN = min(64, max(1, 2048 // BK * 4 // signals.element_size()))
    if n_signals == 0:
        return
    with on(signals):
        nearest_kernel[(triton.cdiv(n_signals, BN),)](
            signals, *signals.stride(), n_signals, layout.atoms, layout.columns, layout.finite, layout.exponent,
            indices, indices.stride(0), distances, distances.stride(0), n_features, n_atoms, layout.columns.shape[1],
            TINY=2.0**-80 if signals.dtype == torch.float32 else 2.0**-900,
            LEAST_SHIFT=-120 if signals.dtype == torch.float32 else -1000,
            BN=BN, BF=min(32, power_of_two_at_least(n_features)), BK=BK, num_warps=4,
        )  # fmt: skip


@triton.jit(do_not_specialize=["n_signals"])
def nearest_kernel(
    signals, stride_n, stride_f, n_signals, atoms, columns, finite_atoms, exponent,
    indices, indices_n, distances, distances_n, n_features, n_atoms, ld,
    TINY: tl.constexpr, LEAST_SHIFT: tl.constexpr, BN: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Find the atoms nearest to BN signals."""
    T = signals.dtype.element_ty
    rows = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    live = rows < n_signals
    at = rows * stride_n
    finite, e, up, down = scale_of(signals, at, stride_f, live, n_features, BN, BF)
    d_e = tl.load(exponent)
    common = tl.maximum(e, d_e)
    # As far as 2**shift is a normal number; the squares of what is smaller vanish.
    x_shift = power_of_two(tl.maximum(e - common, LEAST_SHIFT), T)
    d_shift = power_of_two(tl.maximum(d_e - common, LEAST_SHIFT), T)

    nearest = tl.zeros((BN,), tl.int32)
    least = tl.full((BN,), INF, T)
    for first in range(0, n_atoms, BK):
        lane = first + tl.arange(0, BK)
        total = tl.zeros((BN, BK), T)
        for f in tl.range(0, n_features, loop_unroll_factor=4):
            wide = tl.cast(f, tl.int64)
            x = tl.load(signals + at + wide * stride_f, mask=finite, other=0) * up * down * x_shift
            d = tl.load(columns + wide * ld + lane, mask=lane < ld, other=0)
            difference = x[:, None] - d[None, :] * d_shift[:, None]
            total += difference * difference
        nearest, least = nearer(nearest, least, total, lane, first, finite_atoms, n_atoms)

    distance = distance_of(signals, at, stride_f, finite, atoms, nearest, d_e, n_features, BN)
    # An atom at distance zero is the answer. And a signal's answer is its own, whatever a neighbour needs.
    again = finite & (least < TINY) & (distance > 0)
    if tl.max(again.to(tl.int32), axis=0) > 0:
        exact = tl.zeros((BN,), tl.int32)
        exact_least = tl.full((BN,), INF, tl.float64)
        for first in range(0, n_atoms, BK):
            lane = first + tl.arange(0, BK)
            norms = exact_norms(
                signals, at, stride_f, again, -common, columns, ld, lane, d_e - common, n_features, BN, BK
            )
            exact, exact_least = nearer(exact, exact_least, norms, lane, first, finite_atoms, n_atoms)
        nearest = tl.where(again, exact, nearest)
        distance = distance_of(signals, at, stride_f, finite, atoms, nearest, d_e, n_features, BN)

    found = finite & (least < INF)
    tl.store(indices + rows * indices_n, tl.where(found, nearest, 0), mask=live)
    tl.store(distances + rows * distances_n, tl.where(found, distance, float("nan")).to(T), mask=live)


@triton.jit
def nearer(nearest, least, total, lane, first, finite_atoms, n_atoms):
    """The nearest so far and its total, with a block of atoms more; of equals, the lowest index."""
    usable = tl.load(finite_atoms + lane, mask=lane < n_atoms, other=0) != 0
    total = tl.where(usable[None, :], total, INF)
    low, i = tl.min(total, axis=1, return_indices=True, return_indices_tie_break_left=True)
    closer = low < least
    return tl.where(closer, first + i, nearest), tl.where(closer, low, least)


@triton.jit
def distance_of(signals, at, step, use, atoms, nearest, d_e, n_features, BN: tl.constexpr):
    """||x - d|| of each signal and its atom, in float64 and as they were given."""
    at_atom = nearest.to(tl.int64) * n_features
    top = tl.zeros((BN,), tl.int64)
    for f in range(n_features):
        top = tl.maximum(top, magnitude_bits(entry(signals, at, step, use, atoms, at_atom, d_e, tl.cast(f, tl.int64))))
    e = tl.where(is_finite(top), exponent_of(top), 0)
    total = tl.zeros((BN,), tl.float64)
    for f in range(n_features):
        r = scaled(entry(signals, at, step, use, atoms, at_atom, d_e, tl.cast(f, tl.int64)), -e)
        total += r * r
    return scaled(tl.sqrt(total), e)


@triton.jit
def entry(signals, at, step, use, atoms, at_atom, d_e, f):
    """x_f - d_f of each signal and its atom."""
    x = tl.load(signals + at + f * step, mask=use, other=0)
    return x.to(tl.float64) - scaled(tl.load(atoms + at_atom + f, mask=use, other=0), d_e)


@triton.jit
def exact_norms(
    signals, at, step, use, x_e, columns, ld, lane, d_e, n_features, BN: tl.constexpr, BK: tl.constexpr
):  # fmt: skip
    """||x 2**x_e - d 2**d_e|| in float64, whose squares may be too small for it."""
    top = tl.zeros((BN, BK), tl.int64)
    for f in range(n_features):
        r = difference_of(signals, at, step, use, x_e, columns, ld, lane, d_e, tl.cast(f, tl.int64))
        top = tl.maximum(top, magnitude_bits(r))
    e = exponent_of(top)
    total = tl.zeros((BN, BK), tl.float64)
    for f in range(n_features):
        r = difference_of(signals, at, step, use, x_e, columns, ld, lane, d_e, tl.cast(f, tl.int64))
        r = scaled(r, -e)
        total += r * r
    return scaled(tl.sqrt(total), e)


@triton.jit
def difference_of(signals, at, step, use, x_e, columns, ld, lane, d_e, f):
    x = scaled(tl.load(signals + at + f * step, mask=use, other=0), x_e)
    d = tl.load(columns + f * ld + lane, mask=lane < ld, other=0)
    return x[:, None] - scaled(d[None, :], d_e[:, None])
