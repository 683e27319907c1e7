"""The n_nonzero atoms of largest correlation, in Triton.

A program owns BN signals and passes once over the atoms, BK at a time, with a list of the SP best so far (BN, SP), in
no order: while a block holds a score above the least of the list, the largest such takes its place. The list is sorted
as it is written. Atoms come in the order of their indices: of equals, the lowest is first on the list, and stays.
More than SP atoms are selected by several passes, each of which takes those that come after the last of the pass
before; nothing of size K is kept. The rules are those of sparsefast.kernels.reference.topk.

Source: Makhzani and Frey, k-Sparse autoencoders, 2013.
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
    COMPLETE,
    INF,
    NONFINITE,
    ORTHOGONAL,
    correlate,
    scale_of,
    scaled,
    store_ends,
)

__all__ = ["FORM", "prepare", "topk"]

FORM = "atoms"

LONGEST_LIST = 512
MOST_ATOMS = 512


def topk(
    signals: torch.Tensor,
    layout: Layout,
    n_nonzero: int,
    positive: bool,
    values: torch.Tensor,
    indices: torch.Tensor,
    counts: torch.Tensor,
    status: torch.Tensor,
    n_threads: int,
) -> None:
    """Code each row of signals (N, F); write values (N, S), indices (N, S), counts (N,) and status (N,)."""
    n_signals, n_features = signals.shape
    n_atoms = len(layout.atoms)
    SP = min(LONGEST_LIST, power_of_two_at_least(n_nonzero))
    BK = min(MOST_ATOMS, power_of_two_at_least(n_atoms, 16))
    BN = max(1, 2048 // max(BK, SP) * 4 // signals.element_size())
    if n_signals == 0:
        return
    with on(signals):
        topk_kernel[(triton.cdiv(n_signals, BN),)](
            signals, *signals.stride(), n_signals, layout.columns, layout.exponent,
            values, *values.stride(), indices, *indices.stride(), counts, status,
            n_nonzero, n_features, n_atoms, layout.columns.shape[1], POSITIVE=bool(positive),
            BN=BN, BF=min(32, power_of_two_at_least(n_features)), BK=BK, SP=SP, num_warps=4,
        )  # fmt: skip


@triton.jit(do_not_specialize=["n_signals", "n_nonzero"])
def topk_kernel(
    signals, stride_n, stride_f, n_signals, columns, exponent,
    values, values_n, values_s, indices, indices_n, indices_s, counts, status,
    n_nonzero, n_features, n_atoms, ld, POSITIVE: tl.constexpr,
    BN: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, SP: tl.constexpr,
):  # fmt: skip
    """Code BN signals."""
    T = signals.dtype.element_ty
    rows = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    live = rows < n_signals
    at = rows * stride_n
    slots = tl.arange(0, SP)
    finite, e, up, down = scale_of(signals, at, stride_f, live, n_features, BN, BF)
    unscale = e + tl.load(exponent)
    padding = tl.where(finite, 0.0, float("nan")).to(T)

    count = tl.zeros((BN,), tl.int32)
    # The last of those written: all that come after it are still to be selected.
    last = tl.full((BN,), INF, T)
    last_i = tl.zeros((BN,), tl.int32)
    for written in range(0, n_nonzero, SP):
        list_score = tl.zeros((BN, SP), T)
        list_c = tl.zeros((BN, SP), T)
        list_i = tl.zeros((BN, SP), tl.int32)
        for first in range(0, n_atoms, BK):
            lane = first + tl.arange(0, BK)
            c, _ = correlate(signals, at, stride_f, up, down, finite, columns, ld, lane, n_features, BN, BK)
            score = tl.maximum(c, 0) if POSITIVE else tl.abs(c)
            after = (score < last[:, None]) | ((score == last[:, None]) & (lane[None, :] > last_i[:, None]))
            score = tl.where(after, score, 0)
            least, worst = least_of(list_score, list_i)
            top, best = tl.max(score, axis=1, return_indices=True, return_indices_tie_break_left=True)
            while tl.max((top > least).to(tl.int32), axis=0) > 0:
                won = tl.arange(0, BK)[None, :] == best[:, None]
                place = (slots[None, :] == worst[:, None]) & (top > least)[:, None]
                list_score = tl.where(place, top[:, None], list_score)
                list_c = tl.where(place, tl.sum(tl.where(won, c, 0), axis=1)[:, None], list_c)
                list_i = tl.where(place, (first + best)[:, None], list_i)
                score = tl.where(won, 0, score)
                least, worst = least_of(list_score, list_i)
                top, best = tl.max(score, axis=1, return_indices=True, return_indices_tie_break_left=True)

        for s in range(written, min(written + SP, n_nonzero)):
            top = tl.max(list_score, axis=1)
            found = top > 0
            equal = (list_score == top[:, None]) & found[:, None]
            i = tl.min(tl.where(equal, list_i, 0x7FFFFFFF), axis=1)
            place = equal & (list_i == i[:, None])
            value = scaled(tl.sum(tl.where(place, list_c, 0), axis=1), unscale).to(T)
            list_score = tl.where(place, 0, list_score)
            last = tl.where(found, top, 0)
            last_i = tl.where(found, i, 0x7FFFFFFF)
            count += found.to(tl.int32)
            to = tl.cast(s, tl.int64)
            tl.store(values + rows * values_n + to * values_s, tl.where(found, value, padding), mask=live)
            tl.store(indices + rows * indices_n + to * indices_s, tl.where(found, i, 0), mask=live)

    why = tl.where(finite, tl.where(count == n_nonzero, COMPLETE, ORTHOGONAL), NONFINITE)
    store_ends(counts, status, rows, live, count, why)


@triton.jit
def least_of(list_score, list_i):
    """The least score of each list and where it is: of equals, the highest index."""
    least = tl.min(list_score, axis=1)
    equal = list_score == least[:, None]
    return least, tl.argmax(tl.where(equal, list_i, -1), axis=1)
