"""What the kernels have in common: correlations, scaled signals, and the progressive inverse of a Cholesky factor.

Layout. Atoms are lanes: the dictionary is cut into panels of PANEL atoms, stored (panel, feature, lane), zero padded;
so are the correlations of a block of signals, (panel, signal, lane). Constant strides let LLVM prove that the rows of
a tile are apart, and vectorise. Every lane and every signal goes through the same instructions, so that equal atoms
tie exactly, and a signal's result depends neither on its block nor on its thread. The correlations of all signals are
never stored: a block of them is coded as soon as it is correlated.

The functions here are compiled into those that call them (sparsefast.kernels.numba.compiler).
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from sparsefast.kernels.numba.compiler import compiled
from sparsefast.kernels.status import Status

PANEL = 256
# Lanes are rounded up to this: with no remainder loop all lanes run the same code.
LANES = 64

# What becomes of correlations: nothing, |c|, or max(c, 0).
SIGNED, MAGNITUDE, POSITIVE = 0, 1, 2

COMPLETE = int(Status.COMPLETE)
TOLERANCE = int(Status.TOLERANCE)
EXHAUSTED = int(Status.EXHAUSTED)
ORTHOGONAL = int(Status.ORTHOGONAL)
DEPENDENT = int(Status.DEPENDENT)
NONFINITE = int(Status.NONFINITE)


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


def gram_rows(start, stop, atoms, panels, n_lanes, x, c, gram):
    """Rows start..stop of gram (K, n_lanes) = atoms (K, n_features) times panels, a block at a time."""
    n_features = x.shape[1]
    for first in range(start, stop, x.shape[0]):
        n = min(x.shape[0], stop - first)
        for m in range(n):
            for f in range(n_features):
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
    finite, exponent, up, down = scale_of(n_features, x, x_bits, m, inf_bits)
    if not finite:
        return 0, -1.0
    norm2 = 0.0
    for f in range(n_features):
        x[m, f] = signals[n, f] * up * down
        norm2 += float(x[m, f]) * float(x[m, f])
    return exponent, norm2


@compiled
def scale_of(n_features, x, x_bits, m, inf_bits):
    """Whether x[m], which holds magnitudes, is finite; its exponent, and two factors that bring it into [1/2, 1)."""
    # The bits of |x|, read as integers, are ordered as |x| is, with infinity and then NaN on top.
    top = x_bits.dtype.type(0)
    largest = 0
    for f in range(n_features):
        if x_bits[m, f] > top:
            top = x_bits[m, f]
            largest = f
    # 2**-exponent itself may overflow: two factors.
    exponent = math.frexp(float(x[m, largest]))[1] if top < inf_bits else 0
    half = exponent // 2
    up, down = math.ldexp(1.0, -half), math.ldexp(1.0, half - exponent)
    return top < inf_bits, exponent, x.dtype.type(up), x.dtype.type(down)


@compiled
def scaled_tolerance(tol, exponent):
    """A tolerance in units of the scaled signal; negative or NaN, it is never met."""
    return math.ldexp(tol, -exponent) if tol > 0 else tol


@compiled
def update(k, support, gamma, gram, n_lanes, c0, c0_at, c0_step, rectified, c):
    """c = c0 - sum_j gamma_j G_{S_j}, or of that what `rectified` says; four rows of G at a time."""
    zero = c.dtype.type(0)
    for first in range(0, n_lanes, PANEL):
        width = min(PANEL, n_lanes - first)
        at = np.uint64(first)
        c_at = np.uint64(c0_at + first // PANEL * c0_step)
        for a in range(width):
            c[at + np.uint64(a)] = c0[c_at + np.uint64(a)]
        for j in range(0, k, 4):
            # Past the last atom: the last row again, times zero.
            j1, j2, j3 = min(j + 1, k - 1), min(j + 2, k - 1), min(j + 3, k - 1)
            g0 = c.dtype.type(gamma[j])
            g1 = c.dtype.type(gamma[j1]) if j + 1 < k else zero
            g2 = c.dtype.type(gamma[j2]) if j + 2 < k else zero
            g3 = c.dtype.type(gamma[j3]) if j + 3 < k else zero
            r0 = np.uint64(support[j] * n_lanes + first)
            r1 = np.uint64(support[j1] * n_lanes + first)
            r2 = np.uint64(support[j2] * n_lanes + first)
            r3 = np.uint64(support[j3] * n_lanes + first)
            for a in range(width):
                i = np.uint64(a)
                c[at + i] = c[at + i] - g0 * gram[r0 + i] - g1 * gram[r1 + i] - g2 * gram[r2 + i] - g3 * gram[r3 + i]
        if rectified == MAGNITUDE:
            for a in range(width):
                c[at + np.uint64(a)] = abs(c[at + np.uint64(a)])
        elif rectified == POSITIVE:
            for a in range(width):
                c[at + np.uint64(a)] = max(c[at + np.uint64(a)], zero)


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
def residual(x, m, k, support, gamma, atoms, out):
    """out = x[m] - sum_j gamma_j d_j in float64; return its squared norm."""
    n_features = x.shape[1]
    for f in range(n_features):
        out[f] = x[m, f]
    for j in range(k):
        g = gamma[j]
        d_at = support[j] * n_features
        for f in range(n_features):
            out[f] -= g * float(atoms[np.uint64(d_at + f)])
    return squared_norm(out)


@compiled
def squared_norm(a):
    """||a||^2 of a float64 vector whose length is a multiple of 4, in four sums: one would wait for each addition."""
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    for f in range(0, a.shape[0], 4):
        t0 += a[f] * a[f]
        t1 += a[f + 1] * a[f + 1]
        t2 += a[f + 2] * a[f + 2]
        t3 += a[f + 3] * a[f + 3]
    return (t0 + t1) + (t2 + t3)


@compiled
def project(k, i, c0_i, support, gamma, gram, n_lanes, inverse, w):
    """w = M G_Si; return c_i = c0_i - sum_j gamma_j G_{S_j i}, G_ii, and d_i's squared distance from the span of S."""
    c = float(c0_i)
    for j in range(k):
        w[j] = gram[support[j] * n_lanes + i]
        c -= gamma[j] * w[j]
    gram_ii = float(gram[i * n_lanes + i])
    return c, gram_ii, gram_ii - multiply(k, inverse, w)


@compiled
def multiply(k, inverse, w):
    """w <- M w in place; return ||w||^2."""
    norm2 = 0.0
    for j in range(k - 1, -1, -1):
        total = 0.0
        for t in range(j + 1):
            total += inverse[j, t] * w[t]
        w[j] = total
        norm2 += total * total
    return norm2


@compiled
def extend(k, inverse_distance, inverse, w):
    """Row k of M, for the atom of which `project` left w."""
    for j in range(k):
        scale = w[j] * inverse_distance
        inverse[k, j] = 0.0
        for t in range(j + 1):
            inverse[k, t] -= scale * inverse[j, t]
    inverse[k, k] = inverse_distance


@compiled
def advance(k, y, inverse, gamma):
    """gamma <- (gamma, 0) + y row, with row k of M."""
    gamma[k] = 0.0
    for t in range(k + 1):
        gamma[t] += y * inverse[k, t]


@compiled
def drift(eps, n_features, k, y, norm, support, gamma, norms, inverse):
    """How far the step to k atoms may move ||r||^2 - y^2 from the residual's own norm, through rounding: y is made of
    correlations <d, r> that are differences of larger ones, <d, x> and the gamma_j <d, d_j>, and belongs to the
    direction sum_j m_j d_j, of unit length as far as its parts have not cancelled."""
    parts, direction = norm, 0.0
    for j in range(k):
        length = norms[support[j]]
        parts += abs(gamma[j]) * length
        direction += abs(inverse[k - 1, j]) * length
    return 4 * eps * (n_features + k) * abs(y) * direction * (parts + abs(y) * direction)


@compiled
def store(n, k, code, exponent, gamma, support, values, indices, counts, status):
    """Write row n of the outputs: k coefficients times 2**exponent, their atoms, and the padding."""
    # 2**exponent itself may overflow: two factors.
    factor = math.ldexp(1.0, exponent // 2)
    rest = math.ldexp(1.0, exponent - exponent // 2)
    for j in range(k):
        values[n, j] = gamma[j] * factor * rest
        indices[n, j] = support[j]
    padding = math.nan if code == NONFINITE else 0.0
    for j in range(k, values.shape[1]):
        values[n, j] = padding
        indices[n, j] = 0
    counts[n] = k
    status[n] = code
