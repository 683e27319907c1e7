"""OMP on the observed features of each signal, on a range of signals: the serial functions that Numba compiles.

With a mask the Gram matrix is another one for each signal, so that Batch-OMP does not help. Here the residuals of a
block of signals, r = m * (x - gamma D_S), are kept, and one product with all atoms finds the correlations of the whole
block at each step; signals that have ended leave the block. Another product, of the masks and the squared entries of
the atoms divided by their norms, gives ||m * d||^2 / ||d||^2 for all at the start, and

    score = |<d, r>| ||d|| / ||m * d||

needs a multiplication. M = L^-1 with L L^T = (m * D_S) (m * D_S)^T grows by a row a step, from inner products over the
observed features, in float64. The rules are those of sparsefast.kernels.reference.masked, with eps of the signals'
dtype.

Sources: Mairal, Elad and Sapiro, Sparse representation for color image restoration, 2008; Elad, Sparse and Redundant
Representations, 2010, chapter 15.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from sparsefast.kernels.numba.common_serial import (
    COMPLETE,
    DEPENDENT,
    EXHAUSTED,
    NONFINITE,
    ORTHOGONAL,
    PANEL,
    TOLERANCE,
    advance,
    argmax,
    correlate,
    extend,
    multiply,
    residual,
    scale_of,
    scaled_tolerance,
    squared_norm,
    store,
)
from sparsefast.kernels.numba.compiler import compiled

GOES_ON = -1


@compiled
def load_observed(signals, mask, n, x, x_bits, observed, m, inf_bits):
    """As `load`, with zeros where mask is False, which observed[m] says as numbers; return their count too."""
    n_features = signals.shape[1]
    count = 0
    for f in range(n_features):
        seen = mask[n, f]
        observed[m, f] = 1 if seen else 0
        x[m, f] = abs(signals[n, f]) if seen else 0
        count += seen
    finite, exponent, up, down = scale_of(n_features, x, x_bits, m, inf_bits)
    if not finite:
        return 0, -1.0, count
    norm2 = 0.0
    for f in range(n_features):
        x[m, f] = signals[n, f] * up * down if mask[n, f] else 0
        norm2 += float(x[m, f]) * float(x[m, f])
    return exponent, norm2, count


@compiled
def weigh(complete, least, n_lanes, at, step, weights):
    """weights = ||d|| / ||m * d|| of one signal, in place of their inverse squares; zero where not a candidate."""
    one = weights.dtype.type(1)
    zero = weights.dtype.type(0)
    for first in range(0, n_lanes, PANEL):
        w_at = np.uint64(at + first // PANEL * step)
        for a in range(min(PANEL, n_lanes - first)):
            share = weights[w_at + np.uint64(a)]
            # Without rounding where nothing is hidden, so that the scores are then OMP's.
            share = one if complete else share
            weights[w_at + np.uint64(a)] = one / math.sqrt(share) if share > least else zero


@compiled
def score(c, c_at, c_step, weights, w_at, w_step, scores):
    """scores = |c| times weights."""
    n_lanes = scores.shape[0]
    for first in range(0, n_lanes, PANEL):
        at = np.uint64(first)
        i = np.uint64(c_at + first // PANEL * c_step)
        j = np.uint64(w_at + first // PANEL * w_step)
        for a in range(min(PANEL, n_lanes - first)):
            scores[at + np.uint64(a)] = abs(c[i + np.uint64(a)]) * weights[j + np.uint64(a)]


@compiled
def inner(wide, atoms, i):
    """<wide, d_i> in four sums: one would wait for each addition."""
    at = np.uint64(i * wide.shape[0])
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    for f in range(0, wide.shape[0], 4):
        j = at + np.uint64(f)
        t0 += wide[f] * atoms[j]
        t1 += wide[f + 1] * atoms[j + np.uint64(1)]
        t2 += wide[f + 2] * atoms[j + np.uint64(2)]
        t3 += wide[f + 3] * atoms[j + np.uint64(3)]
    return (t0 + t1) + (t2 + t3)


@compiled
def masked_atom(observed, m, atoms, i, wide):
    """wide = m * d_i."""
    at = np.uint64(i * wide.shape[0])
    for f in range(wide.shape[0]):
        wide[f] = observed[m, f] * atoms[at + np.uint64(f)]


@compiled
def masked_residual(x, m, k, support, gamma, atoms, observed, wide, r, p):
    """r[p] = m * (x - gamma D_S); return its norm."""
    residual(x, m, k, support, gamma, atoms, wide)
    for f in range(wide.shape[0]):
        wide[f] *= observed[m, f]
        r[p, f] = wide[f]
    return math.sqrt(squared_norm(wide))


@compiled
def add(k, i, c, m, observed, atoms, eps, inverse, gamma, w, support, wide):
    """Add atom i, of correlation c, and fit again; False, with nothing changed, if it depends on those selected."""
    masked_atom(observed, m, atoms, i, wide)
    for j in range(k):
        w[j] = inner(wide, atoms, support[j])
    gram_ii = inner(wide, atoms, i)
    distance2 = gram_ii - multiply(k, inverse, w)
    if not distance2 > 16 * eps * gram_ii:
        return False
    inverse_distance = 1.0 / math.sqrt(distance2)
    extend(k, inverse_distance, inverse, w)
    advance(k, c * inverse_distance, inverse, gamma)
    support[k] = i
    return True


@compiled
def stopped(residual_norm, tol, k, n_nonzero, limit):
    """The status of a signal with k atoms that goes no further, or GOES_ON."""
    if tol >= 0 and residual_norm <= tol:
        return TOLERANCE
    if k == n_nonzero:
        return COMPLETE
    if k == limit:
        return EXHAUSTED
    return GOES_ON


def masked_range(
    start, stop, signals, mask, panels, shares, atoms, norms, exponent, n_nonzero, tol, tol_step, eps, inf_bits,
    values, indices, counts, status,
    x, x_bits, observed, r, c, weights, scores, score_bits, inverse, gamma, w, support, wide, exponents, norms2,
    selected, n_observed, active,
):  # fmt: skip
    """Pursue signals start..stop, a block at a time. tol is negative where there is none."""
    n_lanes = scores.shape[0]
    n_atoms = norms.shape[0]
    block, n_features = x.shape
    for first in range(start, stop, block):
        n_signals = min(block, stop - first)
        n_active = 0
        for m in range(n_signals):
            exponents[m], norms2[m], n_observed[m] = load_observed(
                signals, mask, first + m, x, x_bits, observed, m, inf_bits
            )  # fmt: skip
            selected[m] = 0
            if norms2[m] >= 0:
                active[n_active] = m
                n_active += 1
            else:
                store(first + m, 0, NONFINITE, 0, gamma[m], support[m], values, indices, counts, status)
        # Rows that fill the last tile hold whatever was there: lanes and rows never mix.
        correlate(observed, (n_signals + 3) // 4 * 4, n_features, shares, n_lanes, weights)
        for m in range(n_signals):
            weigh(n_observed[m] == signals.shape[1], 16 * eps, n_lanes, m * PANEL, block * PANEL, weights)

        while n_active > 0:
            n_left = 0
            for p in range(n_active):
                m = active[p]
                k = selected[m]
                size = masked_residual(x, m, k, support[m], gamma[m], atoms, observed, wide, r, n_left)
                code = stopped(
                    size, scaled_tolerance(tol[(first + m) * tol_step], exponents[m]), k, n_nonzero,
                    min(n_nonzero, n_observed[m], n_atoms),
                )  # fmt: skip
                if code == GOES_ON:
                    active[n_left] = m
                    n_left += 1
                else:
                    store(
                        first + m, k, code, exponents[m] - exponent, gamma[m], support[m],
                        values, indices, counts, status,
                    )  # fmt: skip
            n_active = n_left
            correlate(r, (n_active + 3) // 4 * 4, n_features, panels, n_lanes, c)
            n_left = 0
            for p in range(n_active):
                m = active[p]
                k = selected[m]
                score(c, p * PANEL, block * PANEL, weights, m * PANEL, block * PANEL, scores)
                for j in range(k):
                    scores[support[m, j]] = 0
                i = argmax(score_bits)
                code = GOES_ON
                if not scores[i] > 32 * eps * math.sqrt(norms2[m]) * norms[i]:
                    code = ORTHOGONAL
                elif not add(
                    k, i, float(c[(i // PANEL * block + p) * PANEL + i % PANEL]), m, observed, atoms, eps,
                    inverse[m], gamma[m], w, support[m], wide,
                ):  # fmt: skip
                    code = DEPENDENT
                if code == GOES_ON:
                    selected[m] = k + 1
                    active[n_left] = m
                    n_left += 1
                else:
                    store(
                        first + m, k, code, exponents[m] - exponent, gamma[m], support[m],
                        values, indices, counts, status,
                    )  # fmt: skip
            n_active = n_left
