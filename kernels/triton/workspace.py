"""The small algebra of sparsefast.kernels.triton.pursuit_blocks, on a workspace in memory.

Each signal of a tile has there g, w and gamma (limit,), M (limit, limit) with k rows so far, and the indices of its
atoms; `at_...` (BN,) say where. Slots are read in parts of BS. Who calls these sees to the barriers between them.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

import triton
import triton.language as tl


@triton.jit
def inner_products(
    work, at_g, supports, at_s, atoms, at_i, mask, rows, mask_n, mask_f, use, k, n_features, MASKED: tl.constexpr,
    BN: tl.constexpr, BF: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """g_j = <m * d_i, d_j> for the k selected atoms; returns ||m * d_i||^2."""
    T = work.dtype.element_ty
    length2 = tl.zeros((BN,), T)
    for first in range(0, k + 1, BS):
        slots = first + tl.arange(0, BS)
        known = use[:, None] & (slots < k)[None, :]
        s = tl.load(supports + at_s[:, None] + slots[None, :], mask=known, other=0).to(tl.int64)
        g = tl.zeros((BN, BS), T)
        for first_f in range(0, n_features, BF):
            f = (first_f + tl.arange(0, BF)).to(tl.int64)[None, :]
            inside = use[:, None] & (f < n_features)
            if MASKED:
                inside = inside & (tl.load(mask + rows[:, None] * mask_n + f * mask_f, mask=inside, other=0) != 0)
            d_i = tl.load(atoms + at_i[:, None] + f, mask=inside, other=0)
            d = tl.load(atoms + s[:, :, None] * n_features + f[:, None, :],
                        mask=known[:, :, None] & inside[:, None, :], other=0)  # fmt: skip
            g += tl.sum(d * d_i[:, None, :], axis=2)
            if first == 0:
                length2 += tl.sum(d_i * d_i, axis=1)
        tl.store(work + at_g[:, None] + slots[None, :], g, mask=known)
    return length2


@triton.jit
def project(work, at_m, at_g, at_w, use, k, limit, BN: tl.constexpr, BS: tl.constexpr):
    """w = M g, into the workspace; returns ||w||^2."""
    T = work.dtype.element_ty
    w2 = tl.zeros((BN,), T)
    for first_a in range(0, k, BS):
        a = first_a + tl.arange(0, BS)
        w = tl.zeros((BN, BS), T)
        for first_b in range(0, first_a + BS, BS):
            b = first_b + tl.arange(0, BS)
            g = tl.load(work + at_g[:, None] + b[None, :], mask=use[:, None] & (b < k)[None, :], other=0)
            w += tl.sum(part_of(work, at_m, a, b, use, k, limit) * g[:, None, :], axis=2)
        w2 += tl.sum(w * w, axis=1)
        tl.store(work + at_w[:, None] + a[None, :], w, mask=use[:, None] & (a < k)[None, :])
    return w2


@triton.jit
def extend(work, at_m, at_w, at_gamma, new, k, limit, y, inverse_distance, BN: tl.constexpr, BS: tl.constexpr):
    """m = (-w^T M, 1) / d as row k of M; gamma <- (gamma, 0) + y m."""
    T = work.dtype.element_ty
    for first_b in range(0, k + 1, BS):
        b = first_b + tl.arange(0, BS)
        m = tl.zeros((BN, BS), T)
        for first_a in range(first_b, k, BS):
            a = first_a + tl.arange(0, BS)
            w = tl.load(work + at_w[:, None] + a[None, :], mask=new[:, None] & (a < k)[None, :], other=0)
            m -= tl.sum(part_of(work, at_m, a, b, new, k, limit) * w[:, :, None], axis=1)
        m = tl.where(b[None, :] == k, 1, m) * inverse_distance[:, None]
        inside = new[:, None] & (b <= k)[None, :]
        tl.store(work + (at_m + k * limit)[:, None] + b[None, :], m, mask=inside)
        gamma = tl.load(work + at_gamma[:, None] + b[None, :], mask=inside & (b < k)[None, :], other=0)
        tl.store(work + at_gamma[:, None] + b[None, :], gamma + y[:, None] * m, mask=inside)


@triton.jit
def part_of(work, at_m, a, b, use, k, limit):
    """Rows a and columns b of M, which is lower triangular and has k rows."""
    inside = (a < k)[:, None] & (b[None, :] <= a[:, None])
    at = (a * limit)[:, None] + b[None, :]
    return tl.load(work + at_m[:, None, None] + at[None, :, :], mask=use[:, None, None] & inside[None, :, :], other=0)


@triton.jit
def combine(
    work, at, supports, at_s, atoms, use, k, f, n_features, inside, W: tl.constexpr, BN: tl.constexpr, BF: tl.constexpr
):  # fmt: skip
    """sum_j coefficient_j d_j at these features, with coefficients in the workspace."""
    total = tl.zeros((BN, BF), W)
    for j in range(k):
        s_j = tl.load(supports + at_s + j, mask=use, other=0).to(tl.int64)
        coefficient = tl.load(work + at + j, mask=use, other=0)
        d = tl.load(atoms + s_j[:, None] * n_features + f, mask=inside, other=0)
        total += coefficient.to(W)[:, None] * d.to(W)
    return total
