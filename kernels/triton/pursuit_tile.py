"""Batch-OMP, and its order-recursive relative, of a tile of signals whose correlations stay in registers.

Per signal x with c0 = D x, support S, G = D D^T, L L^T = G_SS and M = L^-1, step k selects an atom i; with g = G_Si,

    w = M g        d^2 = G_ii - w.w        y = c_i / d        m = (-w^T M, 1) / d        M <- [M; m]
    gamma <- (gamma, 0) + y m              ||r||^2 <- ||r||^2 - y^2

    omp    c = c0 - sum_j gamma_j G_{S_j}                     i = argmax |c|
    ols    u = sum_j m_j G_{S_j}   c <- c - y u   delta <- delta - u^2      i = argmax c^2 / delta

the latter with c and delta in units of ||d|| and ||d||^2, so that its conditions are comparisons with constants.

A program owns BN signals and all atoms, KP lanes of them: c0 and c are (BN, KP), the small algebra (BN, SP) and
(BN, SP, SP), all in registers; a row of G is read for each selected atom and step, most often from L2. All signals of
a tile are in the same step; one that has ended adds nothing more. The rules for stopping are those of
sparsefast.kernels.reference.omp and ols, with eps of the signals' dtype.

Source: Rubinstein, Zibulevsky and Elad, Efficient Implementation of the K-SVD Algorithm using Batch OMP, 2008.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sparsefast.kernels.triton.layout import Layout, on, power_of_two_at_least, tolerances
from sparsefast.kernels.triton.signals import (
    COMPLETE,
    DEPENDENT,
    EXHAUSTED,
    INF,
    NONFINITE,
    ORTHOGONAL,
    TOLERANCE,
    column,
    correlate,
    reciprocal,
    root,
    scale_of,
    scaled,
    store_ends,
    tolerance_of,
)

MOST_NONZEROS = 32
# Entries of a tile of correlations for each warp, 16 a thread: with twice as many, registers are used up.
CORRELATIONS = 512
# Entries of the tile of inverse factors.
FACTORS = 8192


@triton.jit(do_not_specialize=["n_signals", "n_nonzero", "limit"])
def pursue_tile(
    signals, stride_n, stride_f, n_signals, atoms, columns, gram, norms, exponent, tol, tol_step,
    values, values_n, values_s, indices, indices_n, indices_s, counts, status,
    n_nonzero, limit, n_features, ld, EPS: tl.constexpr, OLS: tl.constexpr, HAS_TOL: tl.constexpr,
    BN: tl.constexpr, BF: tl.constexpr, KP: tl.constexpr, SP: tl.constexpr,
):  # fmt: skip
    """Pursue BN signals. limit is min(n_nonzero, F, K), at most SP."""
    T = signals.dtype.element_ty
    rows = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    live = rows < n_signals
    at = rows * stride_n
    lane = tl.arange(0, KP)
    slots = tl.arange(0, SP)
    finite, e, up, down = scale_of(signals, at, stride_f, live, n_features, BN, BF)
    c0, norm2 = correlate(signals, at, stride_f, up, down, finite, columns, ld, lane, n_features, BN, KP)
    norm = root(norm2)

    count = tl.zeros((BN,), tl.int32)
    why = tl.where(finite, ORTHOGONAL, NONFINITE)
    active = finite.to(tl.int32)
    support = tl.zeros((BN, SP), tl.int32)
    gamma = tl.zeros((BN, SP), T)
    m = tl.zeros((BN, SP), T)
    inverse = tl.zeros((BN, SP, SP), T)
    y = tl.zeros((BN,), T)
    limit2 = tl.zeros((BN,), tl.float64)
    residual2 = norm2
    slack = (16 + n_features) * EPS * norm2
    if HAS_TOL:
        limit2 = tolerance_of(tol, tol_step, rows, live, e)
        near = (active > 0) & within(residual2, slack, limit2)
        if tl.max(near.to(tl.int32), axis=0) > 0:
            met = near & (tl.sqrt(residual_norm2(
                signals, at, stride_f, up, down, finite, atoms, support, gamma, 0, n_features, BN, BF, SP
            )) <= limit2)  # fmt: skip
            why = tl.where(met, TOLERANCE, why)
            active = tl.where(met, 0, active)
    if OLS:
        norms_of = tl.load(norms + lane, mask=lane < ld, other=0)
        scale = tl.where(norms_of > 0, reciprocal(tl.where(norms_of > 0, norms_of, 1)), 0)
        c0 = c0 * scale[None, :]
        delta = tl.full((BN, KP), 1, T)

    k = 0
    while (k < limit) & (tl.max(active, axis=0) > 0):
        c = tl.zeros((BN, KP), T)
        for j in range(k):
            s_j = column(support, slots, j)
            weight = column(m if OLS else gamma, slots, j)
            row = tl.load(gram + s_j.to(tl.int64)[:, None] * ld + lane[None, :], mask=(lane < ld)[None, :], other=0)
            c += weight[:, None] * row
        if OLS:
            u = c * scale[None, :]
            c0 -= y[:, None] * u
            delta -= u * u
            correlated = tl.abs(c0) > (32 * EPS * norm)[:, None]
            candidate = correlated & (delta > 16 * EPS)
            score = tl.where(candidate, c0 * c0 / tl.where(candidate, delta, 1), 0)
        else:
            c = c0 - c
            # Selected atoms are NaN, and remain it.
            score = tl.where(c == c, tl.abs(c), 0)
        top, i = tl.max(score, axis=1, return_indices=True, return_indices_tie_break_left=True)
        won = lane[None, :] == i[:, None]
        use = (active > 0) & (top > 0)
        norm_i = tl.load(norms + i, mask=use, other=0)
        at_i = gram + i.to(tl.int64) * ld
        length2 = tl.load(at_i + i, mask=use, other=0)
        g = tl.load(at_i[:, None] + support, mask=use[:, None] & (slots < k)[None, :], other=0)
        w = tl.sum(inverse * g[:, None, :], axis=2)
        if OLS:
            c_i = tl.sum(tl.where(won, c0, 0), axis=1) * norm_i
            pivot = tl.sum(tl.where(won & use[:, None], delta, 0), axis=1)  # as the selection saw it
            distance2 = pivot * length2
            left = tl.max((correlated & (delta > -INF)).to(tl.int32), axis=1) > 0
            why = tl.where((active > 0) & (top <= 0), tl.where(left, DEPENDENT, ORTHOGONAL), why)
            new = use
        else:
            c_i = tl.sum(tl.where(won, c, 0), axis=1)
            distance2 = length2 - tl.sum(w * w, axis=1)
            correlates = use & (top > 32 * EPS * norm * norm_i)
            new = correlates & (distance2 > 16 * EPS * length2)
            why = tl.where((active > 0) & ~new, tl.where(correlates, DEPENDENT, ORTHOGONAL), why)
        inverse_distance = reciprocal(root(tl.where(new, distance2, 1)))
        y = tl.where(new, c_i * inverse_distance, 0)
        m = -tl.sum(inverse * w[:, :, None], axis=1)
        m = tl.where(slots[None, :] == k, 1, m) * inverse_distance[:, None]
        inverse = tl.where(slots[None, :, None] == k, m[:, None, :], inverse)
        gamma += y[:, None] * m
        support = tl.where((slots[None, :] == k) & new[:, None], i[:, None], support)
        if OLS:
            delta = tl.where(won & new[:, None], -INF, delta)
        else:
            c0 = tl.where(won & new[:, None], float("nan"), c0)
        active = new.to(tl.int32)
        count += active
        k += 1
        if HAS_TOL:
            residual2 -= y * y
            slack += drift(norms, norm, support, slots, gamma, m, y, k, n_features, EPS)
            near = new & within(residual2, slack, limit2)
            # The sum of y^2 says where to look, the residual itself whether it is so.
            if tl.max(near.to(tl.int32), axis=0) > 0:
                met = near & (tl.sqrt(residual_norm2(
                    signals, at, stride_f, up, down, finite, atoms, support, gamma, k, n_features, BN, BF, SP
                )) <= limit2)  # fmt: skip
                why = tl.where(met, TOLERANCE, why)
                active = tl.where(met, 0, active)

    why = tl.where(active > 0, tl.where(limit == n_nonzero, COMPLETE, EXHAUSTED), why)
    store_ends(counts, status, rows, live, count, why)
    out = scaled(gamma, (e - tl.load(exponent))[:, None]).to(T)
    padding = tl.where(why == NONFINITE, float("nan"), 0.0).to(T)[:, None]
    for first in range(0, n_nonzero, SP):
        s = first + slots
        selected = s[None, :] < count[:, None]
        mask = live[:, None] & (s < n_nonzero)[None, :]
        to = s.to(tl.int64)[None, :]
        tl.store(values + rows[:, None] * values_n + to * values_s, tl.where(selected, out, padding), mask=mask)
        tl.store(indices + rows[:, None] * indices_n + to * indices_s, tl.where(selected, support, 0), mask=mask)


@triton.jit
def within(residual2, slack, limit):
    """Whether ||r|| may be at most a tolerance, which is not negative and no NaN."""
    return (limit >= 0) & ((residual2 - slack).to(tl.float64) <= limit * limit)


@triton.jit
def residual_norm2(
    signals, at, step, up, down, use, atoms, support, gamma, k, n_features,
    BN: tl.constexpr, BF: tl.constexpr, SP: tl.constexpr,
):  # fmt: skip
    """||x - sum_j gamma_j d_j||^2 in float64."""
    slots = tl.arange(0, SP)
    total = tl.zeros((BN,), tl.float64)
    for first in range(0, n_features, BF):
        f = (first + tl.arange(0, BF)).to(tl.int64)[None, :]
        mask = use[:, None] & (f < n_features)
        x = tl.load(signals + at[:, None] + f * step, mask=mask, other=0) * up[:, None] * down[:, None]
        r = x.to(tl.float64)
        for j in range(k):
            s_j = column(support, slots, j).to(tl.int64)
            d = tl.load(atoms + s_j[:, None] * n_features + f, mask=mask, other=0)
            r -= column(gamma, slots, j).to(tl.float64)[:, None] * d.to(tl.float64)
        total += tl.sum(r * r, axis=1)
    return total


@triton.jit
def drift(norms, norm, support, slots, gamma, m, y, k, n_features, EPS: tl.constexpr):
    """How far the step to k atoms may move ||r||^2 - y^2 from the residual's own norm, through rounding: y is made of
    correlations <d, r> that are differences of larger ones, <d, x> and the gamma_j <d, d_j>, and belongs to the
    direction sum_j m_j d_j, of unit length as far as its parts have not cancelled."""
    lengths = tl.load(norms + support, mask=(slots < k)[None, :], other=0)
    parts = norm + tl.sum(tl.abs(gamma) * lengths, axis=1)
    direction = tl.sum(tl.abs(m) * lengths, axis=1)
    return 4 * EPS * (n_features + k) * tl.abs(y) * direction * (parts + tl.abs(y) * direction)


def fits(layout: Layout, limit: int) -> bool:
    """Whether a tile of this dictionary, with so many atoms selected, has its place in registers."""
    return layout.gram is not None and limit <= MOST_NONZEROS


def code(
    rule: str,
    signals: torch.Tensor,
    layout: Layout,
    n_nonzero: int,
    tol: torch.Tensor | float | None,
    values: torch.Tensor,
    indices: torch.Tensor,
    counts: torch.Tensor,
    status: torch.Tensor,
) -> None:
    """Pursue each row of signals (N, F) by the rule "omp" or "ols"."""
    n_signals, n_features = signals.shape
    n_atoms = len(layout.atoms)
    limit = min(n_nonzero, n_features, n_atoms)
    limits, step = tolerances(tol, signals.device)
    KP, SP = power_of_two_at_least(n_atoms, 16), power_of_two_at_least(limit)
    words, warps = signals.element_size() // 4, 8 if KP >= 512 else 4
    BN = min(64, max(1, warps * CORRELATIONS // (KP * words)), max(1, FACTORS // (SP * SP * words)))
    if n_signals == 0:
        return
    with on(signals):
        pursue_tile[(triton.cdiv(n_signals, BN),)](
            signals, *signals.stride(), n_signals, layout.atoms, layout.columns, layout.gram, layout.norms,
            layout.exponent, limits, step, values, *values.stride(), indices, *indices.stride(), counts, status,
            n_nonzero, limit, n_features, layout.columns.shape[1], EPS=torch.finfo(signals.dtype).eps,
            OLS=rule == "ols", HAS_TOL=limits is not None, BN=BN, BF=min(32, power_of_two_at_least(n_features)),
            KP=KP, SP=SP, num_warps=warps,
        )  # fmt: skip
