"""Greedy pursuits of any size in Triton: atoms in blocks of BK, what each signal has selected in a workspace.

With the notation of sparsefast.kernels.triton.pursuit_tile, the correlations are made anew in each step, from a vector
e (F,) of each signal:

    omp       e = x - sum_j gamma_j d_j                        i = argmax |<d, e>|
    masked    e = m * (x - sum_j gamma_j d_j)                  i = argmax |<d, e>| ||d|| / ||m * d||
    ols       e = sum_j m_j d_j, x at first, and u = D e       c and delta of all atoms are in the workspace

No Gram matrix is needed: the inner products with the selected atoms are made when an atom is selected. A program owns a
tile of BN signals, then the next one; there are so many programs that the workspace stays below a bound, however many
signals there are. A barrier stands between the writing of the workspace and its reading by other threads. The rules
for stopping are those of sparsefast.kernels.reference, with eps of the signals' dtype; where there is a tolerance, the
residual is made again in float64 in each step, and judged by its norm: what is selected does not depend on it.
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
    correlate,
    reciprocal,
    root,
    scale_of,
    scaled,
    store_ends,
    tolerance_of,
)
from sparsefast.kernels.triton.workspace import combine, extend, inner_products, project

# Bytes of a column of a tile: 8 signals in float32, 4 in float64, which takes twice the registers.
COLUMN_BYTES = 32
MOST_ATOMS = 256
WORKSPACE_BYTES = 256 * 1024 * 1024
# Programs for each multiprocessor: as many as are resident, and some that wait.
PROGRAMS = 8


def code(
    rule: str,
    signals: torch.Tensor,
    mask: torch.Tensor | None,
    layout: Layout,
    n_nonzero: int,
    tol: torch.Tensor | float | None,
    values: torch.Tensor,
    indices: torch.Tensor,
    counts: torch.Tensor,
    status: torch.Tensor,
) -> None:
    """Pursue each row of signals (N, F) by the rule "omp", "ols" or, with a mask (N, F), "masked"."""
    n_signals, n_features = signals.shape
    n_atoms, ld = len(layout.atoms), layout.columns.shape[1]
    limit = min(n_nonzero, n_features, n_atoms)
    limits, step = tolerances(tol, signals.device)
    per_signal = 2 * n_features + limit * (limit + 3) + ld * {"omp": 0, "masked": 1, "ols": 2}[rule]
    BN = COLUMN_BYTES // signals.element_size()
    if n_signals == 0:
        return
    with on(signals):
        programs = triton.cdiv(n_signals, BN)
        if signals.is_cuda:
            programs = min(programs, PROGRAMS * multiprocessors(signals.device))
        programs = max(1, min(programs, WORKSPACE_BYTES // (per_signal * BN * signals.element_size())))
        work = torch.empty(programs * BN * per_signal, dtype=signals.dtype, device=signals.device)
        supports = torch.empty(programs * BN * limit, dtype=torch.int32, device=signals.device)
        strides = mask.stride() if mask is not None else (0, 0)
        pursue_blocks[(programs,)](
            signals, *signals.stride(), n_signals, None if mask is None else mask.view(torch.uint8), *strides,
            layout.atoms, layout.columns, layout.norms, layout.exponent, limits, step, work, per_signal, supports,
            values, *values.stride(), indices, *indices.stride(), counts, status, n_nonzero, limit, n_features,
            n_atoms, ld, EPS=torch.finfo(signals.dtype).eps, OLS=rule == "ols", MASKED=mask is not None,
            HAS_TOL=limits is not None, BN=BN, BF=min(16, power_of_two_at_least(n_features)),
            BK=min(MOST_ATOMS, power_of_two_at_least(n_atoms, 16)), BS=min(16, power_of_two_at_least(limit)),
            num_warps=4,
        )  # fmt: skip


@triton.jit(do_not_specialize=["n_signals", "n_nonzero", "limit"])
def pursue_blocks(
    signals, stride_n, stride_f, n_signals, mask, mask_n, mask_f, atoms, columns, norms, exponent, tol, tol_step,
    work, per_signal, supports, values, values_n, values_s, indices, indices_n, indices_s, counts, status,
    n_nonzero, limit, n_features, n_atoms, ld,
    EPS: tl.constexpr, OLS: tl.constexpr, MASKED: tl.constexpr, HAS_TOL: tl.constexpr,
    BN: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """Pursue every tile of BN signals that is this program's. limit is min(n_nonzero, F, K)."""
    T = signals.dtype.element_ty
    mine = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    # Where each signal of the tile has what in the workspace.
    at_x = mine * per_signal
    at_e = at_x + n_features
    at_gamma = at_e + n_features
    at_g = at_gamma + limit
    at_w = at_g + limit
    at_m = at_w + limit
    at_c = at_m + limit * limit
    at_delta = at_c + ld
    at_s = mine * limit
    one = tl.full((BN,), 1, T)
    d_e = tl.load(exponent)

    for tile in range(tl.program_id(0), tl.cdiv(n_signals, BN), tl.num_programs(0)):
        rows = tl.cast(tile, tl.int64) * BN + tl.arange(0, BN)
        live = rows < n_signals
        observed = tl.zeros((BN,), tl.int32) + n_features
        if MASKED:
            observed = tl.zeros((BN,), tl.int32)
        for first in range(0, n_features, BF):
            f = (first + tl.arange(0, BF)).to(tl.int64)[None, :]
            inside = live[:, None] & (f < n_features)
            if MASKED:
                inside = inside & (tl.load(mask + rows[:, None] * mask_n + f * mask_f, mask=inside, other=0) != 0)
                observed += tl.sum(inside.to(tl.int32), axis=1)
            x = tl.load(signals + rows[:, None] * stride_n + f * stride_f, mask=inside, other=0)
            tl.store(work + at_x[:, None] + f, x, mask=f < n_features)
        tl.debug_barrier()
        finite, e, up, down = scale_of(work, at_x, 1, live, n_features, BN, BF)
        tl.debug_barrier()
        norm2 = tl.zeros((BN,), T)
        residual2 = tl.zeros((BN,), tl.float64)
        for first in range(0, n_features, BF):
            f = (first + tl.arange(0, BF)).to(tl.int64)[None, :]
            inside = finite[:, None] & (f < n_features)
            x = tl.load(work + at_x[:, None] + f, mask=inside, other=0) * up[:, None] * down[:, None]
            norm2 += tl.sum(x * x, axis=1)
            if HAS_TOL:
                residual2 += tl.sum(x.to(tl.float64) * x.to(tl.float64), axis=1)
            tl.store(work + at_x[:, None] + f, x, mask=inside)
            tl.store(work + at_e[:, None] + f, x, mask=inside)
        tl.debug_barrier()
        norm = root(norm2)
        if MASKED:
            weigh(work, at_c, mask, rows, mask_n, mask_f, live, columns, n_features, n_atoms, ld, EPS, BN, BK)
            tl.debug_barrier()

        count = tl.zeros((BN,), tl.int32)
        why = tl.where(finite, ORTHOGONAL, NONFINITE)
        active = finite.to(tl.int32)
        y = tl.full((BN,), -1, T)
        limits = tl.zeros((BN,), tl.float64)
        if HAS_TOL:
            limits = tolerance_of(tol, tol_step, rows, live, e)
            met = finite & (limits >= 0) & (tl.sqrt(residual2) <= limits)
            why = tl.where(met, TOLERANCE, why)
            active = tl.where(met, 0, active)
        k = 0
        while (k < limit) & (tl.max(active, axis=0) > 0):
            if MASKED:
                why = tl.where((active > 0) & (k == observed), EXHAUSTED, why)
                active = tl.where(k == observed, 0, active)
            # The best atom of each signal, block by block: of equals, the first.
            best = tl.zeros((BN,), T)
            best_c = tl.zeros((BN,), T)
            pivot = tl.zeros((BN,), T)
            i = tl.zeros((BN,), tl.int32)
            left = tl.zeros((BN,), tl.int32)
            for first in range(0, n_atoms, BK):
                lane = first + tl.arange(0, BK)
                inside = (active > 0)[:, None] & (lane < ld)[None, :]
                c, _ = correlate(work, at_e, 1, one, one, active > 0, columns, ld, lane, n_features, BN, BK)
                if OLS:
                    norm_of = tl.load(norms + lane, mask=lane < ld, other=0)
                    usable = norm_of > 0
                    u = c * tl.where(usable, reciprocal(tl.where(usable, norm_of, 1)), 0)[None, :]
                    c = tl.load(work + at_c[:, None] + lane[None, :], mask=inside, other=0)
                    delta = tl.load(work + at_delta[:, None] + lane[None, :], mask=inside, other=1)
                    c = tl.where(k == 0, 0, c) - y[:, None] * u
                    delta = tl.where(k == 0, 1, delta - u * u)
                    tl.store(work + at_c[:, None] + lane[None, :], c, mask=inside)
                    tl.store(work + at_delta[:, None] + lane[None, :], delta, mask=inside)
                    correlated = tl.abs(c) > (32 * EPS * norm)[:, None]
                    candidate = correlated & (delta > 16 * EPS)
                    score = tl.where(candidate, c * c / tl.where(candidate, delta, 1), 0)
                    left = tl.maximum(left, tl.max((correlated & (delta > -INF)).to(tl.int32), axis=1))
                else:
                    score = tl.abs(c)
                    if MASKED:
                        score *= tl.load(work + at_c[:, None] + lane[None, :], mask=inside, other=0)
                    for j in range(k):
                        s_j = tl.load(supports + at_s + j, mask=active > 0, other=-1)
                        score = tl.where(lane[None, :] == s_j[:, None], 0, score)
                top, which = tl.max(score, axis=1, return_indices=True, return_indices_tie_break_left=True)
                better = top > best
                won = lane[None, :] == (first + which)[:, None]
                best_c = tl.where(better, tl.sum(tl.where(won, c, 0), axis=1), best_c)
                if OLS:
                    pivot = tl.where(better, tl.sum(tl.where(won, delta, 0), axis=1), pivot)
                i = tl.where(better, first + which, i)
                best = tl.where(better, top, best)

            use = (active > 0) & (best > 0)
            at_i = i.to(tl.int64) * n_features
            length2 = inner_products(
                work, at_g, supports, at_s, atoms, at_i, mask, rows, mask_n, mask_f, use, k, n_features,
                MASKED, BN, BF, BS,
            )  # fmt: skip
            tl.debug_barrier()
            w2 = project(work, at_m, at_g, at_w, use, k, limit, BN, BS)
            tl.debug_barrier()
            if OLS:
                best_c *= root(length2)
                distance2 = pivot * length2  # as the selection saw it
                why = tl.where((active > 0) & (best <= 0), tl.where(left > 0, DEPENDENT, ORTHOGONAL), why)
                new = use
            else:
                distance2 = length2 - w2
                correlates = use & (tl.abs(best_c) > 32 * EPS * norm * root(length2))
                new = correlates & (distance2 > 16 * EPS * length2)
                why = tl.where((active > 0) & ~new, tl.where(correlates, DEPENDENT, ORTHOGONAL), why)
            inverse_distance = reciprocal(root(tl.where(new, distance2, 1)))
            y = tl.where(new, best_c * inverse_distance, 0)
            extend(work, at_m, at_w, at_gamma, new, k, limit, y, inverse_distance, BN, BS)
            tl.store(supports + at_s + k, i, mask=new)
            if OLS:
                tl.store(work + at_delta + i, tl.zeros((BN,), T) - INF, mask=new)
            tl.debug_barrier()

            active = new.to(tl.int32)
            count += active
            residual2 = tl.zeros((BN,), tl.float64)
            for first in range(0, n_features, BF):
                f = (first + tl.arange(0, BF)).to(tl.int64)[None, :]
                inside = new[:, None] & (f < n_features)
                if MASKED:
                    inside = inside & (tl.load(mask + rows[:, None] * mask_n + f * mask_f, mask=inside, other=0) != 0)
                x = tl.load(work + at_x[:, None] + f, mask=inside, other=0)
                at_weights = at_m + k * limit if OLS else at_gamma
                r = combine(work, at_weights, supports, at_s, atoms, new, k + 1, f, n_features, inside, T, BN, BF)
                if not OLS:
                    r = x - r
                tl.store(work + at_e[:, None] + f, r, mask=new[:, None] & (f < n_features))
                if HAS_TOL:
                    W = tl.float64
                    w = combine(work, at_gamma, supports, at_s, atoms, new, k + 1, f, n_features, inside, W, BN, BF)
                    w = x.to(W) - w
                    residual2 += tl.sum(w * w, axis=1)
            k += 1
            if HAS_TOL:
                met = new & (limits >= 0) & (tl.sqrt(residual2) <= limits)
                why = tl.where(met, TOLERANCE, why)
                active = tl.where(met, 0, active)
            tl.debug_barrier()

        why = tl.where(active > 0, tl.where(limit == n_nonzero, COMPLETE, EXHAUSTED), why)
        store_ends(counts, status, rows, live, count, why)
        padding = tl.where(why == NONFINITE, float("nan"), 0.0).to(T)[:, None]
        for first in range(0, n_nonzero, BS):
            s = (first + tl.arange(0, BS)).to(tl.int64)[None, :]
            selected = s < count[:, None]
            gamma = tl.load(work + at_gamma[:, None] + s, mask=selected, other=0)
            support = tl.load(supports + at_s[:, None] + s, mask=selected, other=0)
            out = tl.where(selected, scaled(gamma, (e - d_e)[:, None]).to(T), padding)
            inside = live[:, None] & (s < n_nonzero)
            tl.store(values + rows[:, None] * values_n + s * values_s, out, mask=inside)
            tl.store(indices + rows[:, None] * indices_n + s * indices_s, support, mask=inside)
        tl.debug_barrier()


@triton.jit
def weigh(
    work, at, mask, rows, mask_n, mask_f, live, columns, n_features, n_atoms, ld, EPS: tl.constexpr,
    BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """||d|| / ||m * d|| of all atoms for the signals of the tile, zero where next to nothing of an atom is observed."""
    T = columns.dtype.element_ty
    for first in range(0, n_atoms, BK):
        lane = first + tl.arange(0, BK)
        seen = tl.zeros((BN, BK), T)
        whole = tl.zeros((BN, BK), T)
        for f in range(n_features):
            wide = tl.cast(f, tl.int64)
            shown = tl.load(mask + rows * mask_n + wide * mask_f, mask=live, other=0) != 0
            d = tl.load(columns + wide * ld + lane, mask=lane < ld, other=0)
            square = (d * d)[None, :]
            whole += square
            seen += tl.where(shown[:, None], square, 0)
        usable = seen > 16 * EPS * whole
        weight = root(tl.where(usable, whole / tl.where(usable, seen, 1), 0))
        tl.store(work + at[:, None] + lane[None, :], weight, mask=(lane < ld)[None, :])
