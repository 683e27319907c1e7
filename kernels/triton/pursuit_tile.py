"""Batch-OMP, and its order-recursive relative, of a tile of signals whose correlations stay in registers.

Per signal x with c = D x, support S, G = D D^T, L L^T = G_SS, step k selects an atom i. Row k of L, continued over all
atoms, is read off G and the rows before it:

    u_k = (G_i - sum_{j<k} w_j u_j) / d      w_j = u_j[i]      d^2 = G_ii - sum_j w_j^2      y_k = c_i / d
    c <- c - y_k u_k                         ||r||^2 <- ||r||^2 - y_k^2

    omp    i = argmax |c|
    ols    delta <- delta - u_k^2            i = argmax c^2 / delta, and d^2 = delta_i

the latter with c and delta in units of ||d|| and ||d||^2, so that its conditions are comparisons with constants. At the
end L^T gamma = y, where L_kj = u_j[S_k].

A program owns BN signals and all atoms, KP lanes of them, then the next BN: c and u_k are (BN, KP), in registers; the
older u_j wait in a workspace, which the caches hold, since there are no more programs than run at once. A warp has
whole signals where it can: then nothing is exchanged but between its lanes. All signals of a tile are in the same
step; one that has ended adds nothing more. The rules for stopping are those of sparsefast.kernels.reference.omp and
ols, with eps of the signals' dtype.

Source: Rubinstein, Zibulevsky and Elad, Efficient Implementation of the K-SVD Algorithm using Batch OMP, 2008.
Lubonja, Præsius and Tran, arXiv 2407.06434, keep the same products with an inverse factor.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sparsefast.kernels.triton.layout import Layout, multiprocessors, on, power_of_two_at_least, tolerances
from sparsefast.kernels.triton.signals import (
    COMPLETE,
    DEPENDENT,
    EXHAUSTED,
    INF,
    NONFINITE,
    ORTHOGONAL,
    TOLERANCE,
    column,
    reciprocal,
    root,
    scale_of,
    scaled,
    sign_bit,
    store_ends,
    tolerance_of,
)

MOST_NONZEROS = 32
# Entries of a tile of correlations for each warp, 32 a thread.
CORRELATIONS = 1024
# Lanes of a warp: with fewer atoms a warp has whole signals.
MOST_LANES = 256
# Warps for each multiprocessor: as many as there are registers for, and caches for what they keep; and those of the
# forms that take more than 168 registers.
WARPS = 12
FEWER_WARPS = 8
WORKSPACE_BYTES = 128 * 1024 * 1024


@triton.jit(do_not_specialize=["n_signals", "n_nonzero", "limit"])
def pursue_tile(
    signals, stride_n, stride_f, n_signals, atoms, columns, gram, norms, exponent, tol, tol_step, work, supports,
    values, values_n, values_s, indices, indices_n, indices_s, counts, status,
    n_nonzero, limit, n_features, ld, EPS: tl.constexpr, OLS: tl.constexpr, HAS_TOL: tl.constexpr,
    BN: tl.constexpr, BF: tl.constexpr, KP: tl.constexpr, SP: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Pursue every tile of BN signals that is this program's. limit is min(n_nonzero, F, K), at most SP."""
    T = signals.dtype.element_ty
    mine = tl.program_id(0) * BN + tl.arange(0, BN)
    # Where each signal of the tile has its rows u, all but the last, its y and its 1 / d, and its features.
    at_u = mine.to(tl.int64) * (SP * KP + 2 * SP)
    at_y = at_u + SP * KP
    at_x = tl.num_programs(0).to(tl.int64) * BN * (SP * KP + 2 * SP)
    at_x += tl.program_id(0).to(tl.int64) * BN * n_features + tl.arange(0, BN)
    at_s = mine.to(tl.int64) * SP
    lane = tl.arange(0, KP)
    slots = tl.arange(0, SP)
    if OLS:
        norms_of = tl.load(norms + lane, mask=lane < ld, other=0)
        scale = tl.where(norms_of > 0, reciprocal(tl.where(norms_of > 0, norms_of, 1)), 0)[None, :]

    for tile in range(tl.program_id(0), tl.cdiv(n_signals, BN), tl.num_programs(0)):
        rows = tl.cast(tile, tl.int64) * BN + tl.arange(0, BN)
        live = rows < n_signals
        at = rows * stride_n
        finite, e, up, down = scale_of(signals, at, stride_f, live, n_features, BN, BF)
        # Scaled, features apart by BN: what a warp reads next lies side by side.
        for first in range(0, n_features, BF):
            f = first + tl.arange(0, BF)
            mask = finite[:, None] & (f < n_features)[None, :]
            x = tl.load(signals + at[:, None] + f.to(tl.int64)[None, :] * stride_f, mask=mask, other=0)
            x = x * up[:, None] * down[:, None]
            tl.store(work + at_x[:, None] + f[None, :] * BN, x, mask=(f < n_features)[None, :])
        tl.debug_barrier()
        c, norm2 = correlations(work, at_x, columns, ld, lane, n_features, BN, KP, WHOLE)
        norm = root(norm2)
        if OLS:
            c = c * scale
            delta = tl.full((BN, KP), 1, T)

        count = tl.zeros((BN,), tl.int32)
        why = tl.where(finite, ORTHOGONAL, NONFINITE)
        active = finite.to(tl.int32)
        limit2 = tl.zeros((BN,), tl.float64)
        residual2 = norm2
        if HAS_TOL:
            limit2 = tolerance_of(tol, tol_step, rows, live, e)
            near = (active > 0) & within(residual2, (16 + n_features) * EPS * norm2, limit2)
            if tl.max(near.to(tl.int32), axis=0) > 0:
                none = tl.zeros((BN, SP), T)
                met = near & (tl.sqrt(residual_norm2(
                    signals, at, stride_f, up, down, finite, atoms, none.to(tl.int32), none, 0, n_features, BN, BF, SP
                )) <= limit2)  # fmt: skip
                why = tl.where(met, TOLERANCE, why)
                active = tl.where(met, 0, active)

        k = 0
        while (k < limit) & (tl.max(active, axis=0) > 0):
            if OLS:
                correlated = tl.abs(c) > (32 * EPS * norm)[:, None]
                candidate = correlated & (delta > 16 * EPS)
                score = tl.where(candidate, c * c / tl.where(candidate, delta, 1), 0)
                top, i = tl.max(score, axis=1, return_indices=True, return_indices_tie_break_left=True)
                won = lane[None, :] == i[:, None]
                c_i = tl.sum(tl.where(won, c, 0), axis=1)
            else:
                # Selected atoms are NaN, and remain it: no number is equal to them, and none is larger.
                top = tl.max(tl.abs(c), axis=1)
                place = (lane << 1)[None, :] | sign_bit(c)
                best = tl.min(tl.where(tl.abs(c) == top[:, None], place, 2 * KP - 1), axis=1)
                i = best >> 1
                c_i = tl.where(best & 1 != 0, -top, top)
            use = (active > 0) & (top > 0)
            # What a signal that has ended goes on with may be any number, but must be an atom.
            i = tl.where(use, i, 0)
            norm_i = tl.load(norms + i)
            at_i = gram + i.to(tl.int64) * ld
            length2 = tl.load(at_i + i)
            at_row = at_i[:, None] + lane[None, :]
            u = tl.load(at_row) if WHOLE else tl.load(at_row, mask=(lane < ld)[None, :], other=0)
            distance2 = length2
            for j in range(k):
                row = work + (at_u + j * KP)
                w = tl.load(row + i)
                u -= w[:, None] * tl.load(row[:, None] + lane[None, :])
                distance2 -= w * w
            if OLS:
                c_i *= norm_i
                # As the selection saw it.
                distance2 = tl.sum(tl.where(won & use[:, None], delta, 0), axis=1) * length2
                left = tl.max((correlated & (delta > -INF)).to(tl.int32), axis=1) > 0
                why = tl.where((active > 0) & (top <= 0), tl.where(left, DEPENDENT, ORTHOGONAL), why)
                new = use
            else:
                correlates = use & (top > 32 * EPS * norm * norm_i)
                new = correlates & (distance2 > 16 * EPS * length2)
                why = tl.where((active > 0) & ~new, tl.where(correlates, DEPENDENT, ORTHOGONAL), why)
            pivot = tl.where(new, distance2, 1)
            inverse_distance = tl.rsqrt(pivot)
            inverse_distance *= 1.5 - 0.5 * pivot * inverse_distance * inverse_distance
            y = tl.where(new, c_i * inverse_distance, 0)
            u *= inverse_distance[:, None]
            if k + 1 < limit:
                tl.store(work + (at_u + k * KP)[:, None] + lane[None, :], u)
            tl.store(work + at_y + k, y)
            tl.store(work + at_y + SP + k, inverse_distance)
            tl.store(supports + at_s + k, i)
            if OLS:
                u *= scale
                c -= y[:, None] * u
                delta = tl.where(won & new[:, None], -INF, delta - u * u)
            else:
                won = lane[None, :] == tl.where(new, i, -1)[:, None]
                c = tl.where(won, float("nan"), c - y[:, None] * u)
            active = new.to(tl.int32)
            count += active
            k += 1
            tl.debug_barrier()
            if HAS_TOL:
                residual2 -= y * y
                support, gamma = solve(work, at_u, at_y, supports, at_s, count, k, BN, KP, SP)
                near = new & within(residual2, slack(norms, norm, support, gamma, k, n_features, EPS), limit2)
                # The sum of y^2 says where to look, the residual itself whether it is so.
                if tl.max(near.to(tl.int32), axis=0) > 0:
                    met = near & (tl.sqrt(residual_norm2(
                        signals, at, stride_f, up, down, finite, atoms, support, gamma, k, n_features, BN, BF, SP
                    )) <= limit2)  # fmt: skip
                    why = tl.where(met, TOLERANCE, why)
                    active = tl.where(met, 0, active)

        why = tl.where(active > 0, tl.where(limit == n_nonzero, COMPLETE, EXHAUSTED), why)
        store_ends(counts, status, rows, live, count, why)
        support, gamma = solve(work, at_u, at_y, supports, at_s, count, k, BN, KP, SP)
        out = scaled(gamma, (e - tl.load(exponent))[:, None]).to(T)
        padding = tl.where(why == NONFINITE, float("nan"), 0.0).to(T)[:, None]
        for first in range(0, n_nonzero, SP):
            s = first + slots
            selected = s[None, :] < count[:, None]
            mask = live[:, None] & (s < n_nonzero)[None, :]
            to = s.to(tl.int64)[None, :]
            tl.store(values + rows[:, None] * values_n + to * values_s, tl.where(selected, out, padding), mask=mask)
            tl.store(indices + rows[:, None] * indices_n + to * indices_s, tl.where(selected, support, 0), mask=mask)
        tl.debug_barrier()


@triton.jit
def correlations(
    work, at_x, columns, ld, lane, n_features, BN: tl.constexpr, KP: tl.constexpr, WHOLE: tl.constexpr
):  # fmt: skip
    """Correlations (BN, KP) and squared norms (BN,), sums over the features in their order."""
    c = tl.zeros((BN, KP), work.dtype.element_ty)
    norm2 = tl.zeros((BN,), work.dtype.element_ty)
    for f in tl.range(0, n_features, loop_unroll_factor=4):
        at_d = columns + tl.cast(f, tl.int64) * ld + lane
        x_f = tl.load(work + at_x + f * BN)
        d_f = tl.load(at_d) if WHOLE else tl.load(at_d, mask=lane < ld, other=0)
        c += x_f[:, None] * d_f[None, :]
        norm2 += x_f * x_f
    return c, norm2


@triton.jit
def solve(
    work, at_u, at_y, supports, at_s, count, k, BN: tl.constexpr, KP: tl.constexpr, SP: tl.constexpr
):  # fmt: skip
    """The supports, and gamma from L^T gamma = y, of up to k atoms; zero where there are no more."""
    slots = tl.arange(0, SP)[None, :]
    known = slots < count[:, None]
    support = tl.load(supports + at_s[:, None] + slots, mask=known, other=0)
    y = tl.load(work + at_y[:, None] + slots, mask=known, other=0)
    inverse_distance = tl.load(work + at_y[:, None] + SP + slots, mask=known, other=0)
    row = work + at_u[:, None] + slots * KP
    for back in range(1, k):
        last = k - back
        gamma_i = column(y * inverse_distance, tl.arange(0, SP), last)
        i = column(support, tl.arange(0, SP), last)
        older = tl.load(row + i[:, None], mask=known & (slots < last), other=0)
        y -= gamma_i[:, None] * older
    return support, y * inverse_distance


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
def slack(norms, norm, support, gamma, k, n_features, EPS: tl.constexpr):
    """How far ||x||^2 - sum y^2 may be from the residual's own square through rounding: correlations and the Gram
    matrix are off by F eps, L L^T by k eps, relative to the norms that they are products of."""
    parts = tl.sum(tl.abs(gamma) * tl.load(norms + support), axis=1)
    return 4 * EPS * (n_features + k) * parts * (parts + 2 * norm)


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
    words, warps = signals.element_size() // 4, max(1, KP // MOST_LANES)
    BN = min(64, max(1, warps * CORRELATIONS // (KP * words)))
    if n_signals == 0:
        return
    with on(signals):
        per_program = BN * (SP * (KP + 2) + n_features)
        plain = rule == "omp" and limits is None and words == warps == 1
        at_once = (WARPS if plain else FEWER_WARPS) // warps * multiprocessors(signals.device) if signals.is_cuda else 2
        at_once = max(1, min(at_once, WORKSPACE_BYTES // (per_program * signals.element_size())))
        programs = min(triton.cdiv(n_signals, BN), at_once)
        work = torch.empty(programs * per_program, dtype=signals.dtype, device=signals.device)
        supports = torch.empty(programs * BN * SP, dtype=torch.int32, device=signals.device)
        pursue_tile[(programs,)](
            signals, *signals.stride(), n_signals, layout.atoms, layout.columns, layout.gram, layout.norms,
            layout.exponent, limits, step, work, supports, values, *values.stride(), indices, *indices.stride(),
            counts, status, n_nonzero, limit, n_features, layout.columns.shape[1],
            EPS=torch.finfo(signals.dtype).eps, OLS=rule == "ols", HAS_TOL=limits is not None, BN=BN,
            BF=min(32, power_of_two_at_least(n_features)), KP=KP, SP=SP,
            WHOLE=layout.columns.shape[1] == KP, num_warps=warps,
        )  # fmt: skip
