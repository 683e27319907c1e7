"""Batch-OMP on a range of signals: the serial functions that Numba compiles.

Per signal x with c0 = D x, support S and L L^T = G_SS, step k selects i = argmax |c| and, with M = L^-1,

    w = M G_Si        d^2 = G_ii - w.w        y = c_i / d        row = (-w^T M, 1) / d        M <- [M; row]
    gamma <- (gamma, 0) + y row        ||r||^2 <- ||r||^2 - y^2        c = c0 - sum_j gamma_j G_{S_j}

A row of G is read for each selected atom and nothing of size K is kept between steps: no history of updates, whose
length would be K n_nonzero. The small triangular algebra is in float64 for both dtypes; it costs little beside the
rows of G. The rules for stopping are those of sparsefast.kernels.reference.omp, with eps of the signals' dtype. The
layout is described in sparsefast.kernels.numba.common_serial.

Source: Rubinstein, Zibulevsky and Elad, Efficient Implementation of the K-SVD Algorithm using Batch OMP, 2008.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import math

from sparsefast.kernels.numba.common_serial import (
    COMPLETE,
    DEPENDENT,
    EXHAUSTED,
    MAGNITUDE,
    NONFINITE,
    ORTHOGONAL,
    PANEL,
    TOLERANCE,
    advance,
    argmax,
    correlate,
    drift,
    extend,
    load,
    project,
    residual,
    scaled_tolerance,
    store,
    update,
)
from sparsefast.kernels.numba.compiler import compiled


@compiled
def pursue(
    x, m, norm2, n_features, c0, block, atoms, gram, norms, n_lanes, n_nonzero, tol, eps,
    scores, score_bits, inverse, gamma, w, support, wide,
):  # fmt: skip
    """Pursue one scaled signal; leave its support and gamma and return (count, status)."""
    limit = min(n_nonzero, n_features, norms.shape[0])
    norm = math.sqrt(norm2)
    residual2 = norm2
    slack = 16 * eps * norm2
    k = 0
    while True:
        # The sum of y^2 says where to look, the residual itself whether it is so.
        near = tol >= 0 and residual2 - slack <= tol * tol
        if near and math.sqrt(residual(x, m, k, support, gamma, atoms, wide)) <= tol:
            return k, TOLERANCE
        if k == n_nonzero:
            return k, COMPLETE
        if k == limit:
            return k, EXHAUSTED
        update(k, support, gamma, gram, n_lanes, c0, m * PANEL, block * PANEL, MAGNITUDE, scores)
        for j in range(k):
            scores[support[j]] = 0
        i = argmax(score_bits)
        if not scores[i] > 32 * eps * norm * norms[i]:
            return k, ORTHOGONAL

        c0_i = c0[(i // PANEL * block + m) * PANEL + i % PANEL]
        c, gram_ii, distance2 = project(k, i, c0_i, support, gamma, gram, n_lanes, inverse, w)
        if not distance2 > 16 * eps * gram_ii:
            return k, DEPENDENT
        inverse_distance = 1.0 / math.sqrt(distance2)
        y = c * inverse_distance
        extend(k, inverse_distance, inverse, w)
        advance(k, y, inverse, gamma)
        support[k] = i
        k += 1
        residual2 -= y * y
        slack += drift(eps, n_features, k, y, norm, support, gamma, norms, inverse)


def omp_range(
    start, stop, signals, panels, atoms, gram, norms, exponent, n_nonzero, tol, tol_step, eps, inf_bits,
    values, indices, counts, status,
    x, x_bits, c0, scores, score_bits, inverse, gamma, w, support, wide, exponents, norms2,
):  # fmt: skip
    """Pursue signals start..stop, a block at a time. tol is negative where there is none."""
    n_lanes = scores.shape[0]
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
                k, code = pursue(
                    x, m, norms2[m], n_features, c0, block, atoms, gram, norms, n_lanes, n_nonzero,
                    scaled_tolerance(tol[n * tol_step], exponents[m]), eps,
                    scores, score_bits, inverse, gamma, w, support, wide,
                )  # fmt: skip
            store(n, k, code, exponents[m] - exponent, gamma, support, values, indices, counts, status)
