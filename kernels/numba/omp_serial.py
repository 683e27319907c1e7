"""Batch-OMP on a range of signals: the serial functions that Numba compiles.

Per signal x with c0 = D x, support S and L L^T = G_SS, step k selects i = argmax |c| and, with M = L^-1,

    w = M G_Si        d^2 = G_ii - w.w        y = c_i / d        row = (-w^T M, 1) / d        M <- [M; row]
    gamma <- (gamma, 0) + y row        ||r||^2 <- ||r||^2 - y^2        c = c0 - sum_j gamma_j G_{S_j}

A row of G is read for each selected atom and nothing of size K is kept between steps: no history of updates, whose
length would be K n_nonzero. The small triangular algebra is in float64 for both dtypes; it costs little beside the
rows of G. The rules for stopping are those of sparsefast.kernels.reference.omp, with eps of the signals' dtype.

Layout. Atoms are lanes: the dictionary is cut into panels of PANEL atoms, stored (panel, feature, lane), zero padded;
so are the correlations of a block of signals, (panel, signal, lane). Constant strides let LLVM prove that the rows of
a tile are apart, and vectorise. Every lane and every signal goes through the same instructions, so that equal atoms
tie exactly, and a signal's result depends neither on its block nor on its thread. The correlations of all signals are
never stored: a block of them is pursued as soon as it is correlated.

All compiled code is in this file, because Numba's cache notices a change only in the file of the outermost function.

Source: Rubinstein, Zibulevsky and Elad, Efficient Implementation of the K-SVD Algorithm using Batch OMP, 2008.
"""
# Numba infers the types of these functions from those that sparsefast.kernels.numba.omp declares.
# mypy: allow-untyped-defs, allow-untyped-calls

import functools
import math
from typing import Any

import numpy as np
from numba import njit

from sparsefast.kernels.status import Status

PANEL = 256
# Lanes are rounded up to this: with no remainder loop all lanes run the same code.
LANES = 64

COMPLETE = int(Status.COMPLETE)
TOLERANCE = int(Status.TOLERANCE)
EXHAUSTED = int(Status.EXHAUSTED)
ORTHOGONAL = int(Status.ORTHOGONAL)
DEPENDENT = int(Status.DEPENDENT)
NONFINITE = int(Status.NONFINITE)

# Sums keep their order (no reassoc) and NaN its meaning (no nnan); contract allows the fused multiply-add. Inlined, the
# helpers pass arrays without counting references, which costs a third of the time where signals are short.
compiled: Any = functools.partial(njit, nogil=True, error_model="numpy", forceinline=True, fastmath={"contract", "nsz"})


@compiled
def correlate(x, n_signals, n_features, panels, n_lanes, c):
    """c (panel, signal, lane) = x (signal, feature) times panels (panel, feature, lane).

    n_signals and n_features are multiples of 4: a tile is 4 signals by 4 features by the lanes of a panel, 16
    multiply-adds for 4 loads of the dictionary, with the 16 entries of x in registers.
    """
    block = c.shape[0] // (-(-n_lanes // PANEL) * PANEL)
    for first in range(0, n_lanes, PANEL):
        panel = first // PANEL
        width = min(PANEL, n_lanes - first)
        for m in range(0, n_signals, 4):
            # Unsigned, or Numba's test for negative indices would stay in the loop.
            c_at = np.uint64((panel * block + m) * PANEL)
            for t in range(4):
                for a in range(width):
                    c[c_at + np.uint64(t * PANEL) + np.uint64(a)] = 0
            for f in range(0, n_features, 4):
                x00, x01, x02, x03 = x[m, f], x[m, f + 1], x[m, f + 2], x[m, f + 3]
                x10, x11, x12, x13 = x[m + 1, f], x[m + 1, f + 1], x[m + 1, f + 2], x[m + 1, f + 3]
                x20, x21, x22, x23 = x[m + 2, f], x[m + 2, f + 1], x[m + 2, f + 2], x[m + 2, f + 3]
                x30, x31, x32, x33 = x[m + 3, f], x[m + 3, f + 1], x[m + 3, f + 2], x[m + 3, f + 3]
                d_at = np.uint64((panel * n_features + f) * PANEL)
                for a in range(width):
                    d = d_at + np.uint64(a)
                    i = c_at + np.uint64(a)
                    d0 = panels[d]
                    d1 = panels[d + np.uint64(PANEL)]
                    d2 = panels[d + np.uint64(2 * PANEL)]
                    d3 = panels[d + np.uint64(3 * PANEL)]
                    j = i + np.uint64(PANEL)
                    c[i] = c[i] + x00 * d0 + x01 * d1 + x02 * d2 + x03 * d3
                    c[j] = c[j] + x10 * d0 + x11 * d1 + x12 * d2 + x13 * d3
                    j = i + np.uint64(2 * PANEL)
                    c[j] = c[j] + x20 * d0 + x21 * d1 + x22 * d2 + x23 * d3
                    j = i + np.uint64(3 * PANEL)
                    c[j] = c[j] + x30 * d0 + x31 * d1 + x32 * d2 + x33 * d3


@compiled
def gram_rows(start, stop, atoms, panels, n_lanes, x, c, gram):
    """Rows start..stop of gram (K, n_lanes) = atoms (K, F) times panels, a block at a time."""
    n_features = x.shape[1]
    for first in range(start, stop, x.shape[0]):
        n = min(x.shape[0], stop - first)
        x[:] = 0
        for m in range(n):
            for f in range(atoms.shape[1]):
                x[m, f] = atoms[first + m, f]
        correlate(x, (n + 3) // 4 * 4, n_features, panels, n_lanes, c)
        for m in range(n):
            for a in range(n_lanes):
                gram[(first + m) * n_lanes + a] = c[(a // PANEL * x.shape[0] + m) * PANEL + a % PANEL]


@compiled
def load(signals, n, x, x_bits, m, inf_bits):
    """Copy signal n to x[m], scaled by a power of two to a largest entry in [1/2, 1); return the exponent and ||x||^2.

    The norm is that of the scaled signal, or -1 where an entry is not finite.
    """
    n_features = signals.shape[1]
    for f in range(n_features):
        x[m, f] = abs(signals[n, f])
    # The bits of |x|, read as integers, are ordered as |x| is, with infinity and then NaN on top.
    top = x_bits.dtype.type(0)
    largest = 0
    for f in range(n_features):
        if x_bits[m, f] > top:
            top = x_bits[m, f]
            largest = f
    if top >= inf_bits:
        return 0, -1.0
    exponent = math.frexp(float(x[m, largest]))[1]
    # 2**-exponent itself may overflow: two factors.
    half = exponent // 2
    up = x.dtype.type(math.ldexp(1.0, -half))
    down = x.dtype.type(math.ldexp(1.0, half - exponent))
    norm2 = 0.0
    for f in range(n_features):
        x[m, f] = signals[n, f] * up * down
        norm2 += float(x[m, f]) * float(x[m, f])
    return exponent, norm2


@compiled
def update(k, support, gamma, gram, n_lanes, c0, c0_at, c0_step, scores):
    """scores = |c0 - sum_j gamma_j G_{S_j}|, and zero for the selected atoms; four rows of G at a time."""
    zero = scores.dtype.type(0)
    for first in range(0, n_lanes, PANEL):
        width = min(PANEL, n_lanes - first)
        at = np.uint64(first)
        c_at = np.uint64(c0_at + first // PANEL * c0_step)
        for a in range(width):
            scores[at + np.uint64(a)] = c0[c_at + np.uint64(a)]
        for j in range(0, k, 4):
            # Past the last atom: the last row again, times zero.
            j1, j2, j3 = min(j + 1, k - 1), min(j + 2, k - 1), min(j + 3, k - 1)
            g0 = scores.dtype.type(gamma[j])
            g1 = scores.dtype.type(gamma[j1]) if j + 1 < k else zero
            g2 = scores.dtype.type(gamma[j2]) if j + 2 < k else zero
            g3 = scores.dtype.type(gamma[j3]) if j + 3 < k else zero
            r0 = np.uint64(support[j] * n_lanes + first)
            r1 = np.uint64(support[j1] * n_lanes + first)
            r2 = np.uint64(support[j2] * n_lanes + first)
            r3 = np.uint64(support[j3] * n_lanes + first)
            for a in range(width):
                i = np.uint64(a)
                scores[at + i] = (
                    scores[at + i] - g0 * gram[r0 + i] - g1 * gram[r1 + i] - g2 * gram[r2 + i] - g3 * gram[r3 + i]
                )
        for a in range(width):
            scores[at + np.uint64(a)] = abs(scores[at + np.uint64(a)])
    for j in range(k):
        scores[support[j]] = zero


@compiled
def argmax(bits):
    """The first index of the largest score, read as integers: scores are finite and not negative.

    LLVM does not vectorise an argmax, but a maximum and then the least index that has it.
    """
    n = bits.shape[0]
    top = bits.dtype.type(0)
    for a in range(n):
        top = max(top, bits[a])
    first = bits.dtype.type(n)
    for a in range(n):
        first = min(first, bits.dtype.type(a) if bits[a] == top else bits.dtype.type(n))
    return first if first < n else 0


@compiled
def residual_norm(x, m, k, support, gamma, panels, n_features):
    """||x - sum_j gamma_j d_j|| in float64, entry by entry."""
    total = 0.0
    for f in range(n_features):
        r = float(x[m, f])
        for j in range(k):
            i = support[j]
            r -= gamma[j] * float(panels[(i // PANEL * x.shape[1] + f) * PANEL + i % PANEL])
        total += r * r
    return math.sqrt(total)


@compiled
def pursue(
    x, m, norm2, n_features, c0, block, panels, gram, norms, n_atoms, n_lanes, n_nonzero, tol, eps,
    scores, score_bits, inverse, gamma, w, support,
):  # fmt: skip
    """Pursue one scaled signal; leave its support and gamma and return (count, status)."""
    limit = min(n_nonzero, n_features, n_atoms)
    norm = math.sqrt(norm2)
    tol2 = tol * tol
    residual2 = norm2
    # How far the recurrence for ||r||^2 may have drifted through rounding.
    slack = 16 * eps * norm2
    k = 0
    while True:
        if tol >= 0 and residual2 - slack <= tol2:
            met = residual2 + slack <= tol2
            if not met:  # rounding could decide: ask the residual itself
                met = residual_norm(x, m, k, support, gamma, panels, n_features) <= tol
            if met:
                return k, TOLERANCE
        if k == n_nonzero:
            return k, COMPLETE
        if k == limit:
            return k, EXHAUSTED
        update(k, support, gamma, gram, n_lanes, c0, m * PANEL, block * PANEL, scores)
        i = argmax(score_bits)
        if not scores[i] > 32 * eps * norm * norms[i]:
            return k, ORTHOGONAL

        c = float(c0[(i // PANEL * block + m) * PANEL + i % PANEL])
        for j in range(k):
            w[j] = gram[support[j] * n_lanes + i]
            c -= gamma[j] * w[j]
        gram_ii = float(gram[i * n_lanes + i])
        distance2 = gram_ii
        for j in range(k - 1, -1, -1):  # w = M G_Si in place
            total = 0.0
            for t in range(j + 1):
                total += inverse[j, t] * w[t]
            w[j] = total
            distance2 -= total * total
        if not distance2 > 16 * eps * gram_ii:
            return k, DEPENDENT
        inverse_distance = 1.0 / math.sqrt(distance2)
        y = c * inverse_distance
        for t in range(k):
            inverse[k, t] = 0.0
        for j in range(k):
            for t in range(j + 1):
                inverse[k, t] -= w[j] * inverse[j, t]
        for t in range(k):
            inverse[k, t] *= inverse_distance
            gamma[t] += y * inverse[k, t]
        inverse[k, k] = inverse_distance
        gamma[k] = y * inverse_distance
        support[k] = i
        k += 1
        residual2 -= y * y
        slack += 4 * eps * (math.sqrt(n_features) + k) * abs(y) * norm * norms[i] * inverse_distance


@compiled
def omp_range(
    start, stop, signals, panels, gram, norms, exponent, n_nonzero, tol, tol_step, eps, inf_bits,
    values, indices, counts, status,
    x, x_bits, c0, scores, score_bits, inverse, gamma, w, support, exponents, norms2,
):  # fmt: skip
    """Pursue signals start..stop, a block at a time. tol is negative where there is none."""
    n_atoms = norms.shape[0]
    n_lanes = gram.shape[0] // n_atoms
    n_features = signals.shape[1]
    block = x.shape[0]
    for first in range(start, stop, block):
        n_signals = min(block, stop - first)
        for m in range(n_signals):
            exponents[m], norms2[m] = load(signals, first + m, x, x_bits, m, inf_bits)
        # Rows that fill the last tile hold whatever was there: lanes and rows never mix.
        correlate(x, (n_signals + 3) // 4 * 4, x.shape[1], panels, n_lanes, c0)
        for m in range(n_signals):
            n = first + m
            k = 0
            code = NONFINITE
            if norms2[m] >= 0:
                scaled_tol = tol[n * tol_step]
                if scaled_tol > 0:
                    scaled_tol = math.ldexp(scaled_tol, -exponents[m])
                k, code = pursue(
                    x, m, norms2[m], n_features, c0, block, panels, gram, norms, n_atoms, n_lanes, n_nonzero,
                    scaled_tol, eps, scores, score_bits, inverse, gamma, w, support,
                )  # fmt: skip
            back = exponents[m] - exponent
            factor = math.ldexp(1.0, back // 2)
            rest = math.ldexp(1.0, back - back // 2)
            for j in range(k):
                values[n, j] = gamma[j] * factor * rest
                indices[n, j] = support[j]
            padding = math.nan if code == NONFINITE else 0.0
            for j in range(k, n_nonzero):
                values[n, j] = padding
                indices[n, j] = 0
            counts[n] = k
            status[n] = code
