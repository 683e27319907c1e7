"""Order-recursive matching pursuit on a range of signals: the serial functions that Numba compiles.

With c_i = <d_i, r> and delta_i = ||d_i_perp||^2, the squared distance of atom i from the span of the support S, step k
selects i = argmax c_i^2 / delta_i. With M, w, d and y of Batch-OMP (sparsefast.kernels.numba.omp_serial) and the new
row M_k,

    u = sum_j M_kj G_{S_j}        c <- c - y u        delta <- delta - u^2

since u holds the inner products of all atoms with the new orthonormal direction. c and delta are kept for all atoms,
divided by ||d|| and ||d||^2: then the two conditions on a candidate are comparisons with constants, and no square can
underflow. The winner is judged again in float64, by its pivot d^2.

The rules are those of sparsefast.kernels.reference.ols, with eps of the signals' dtype.

Sources: Chen, Billings and Luo, Orthogonal least squares methods and their application to non-linear system
identification, 1989; Rebollo-Neira and Lowe, Optimized orthogonal matching pursuit approach, 2002.
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
    SIGNED,
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
def start_at(c0, c0_at, c0_step, reciprocals, c, delta):
    """c and delta of the signal itself, in units of each atom's norm."""
    for first in range(0, c.shape[0], PANEL):
        at = np.uint64(first)
        c_at = np.uint64(c0_at + first // PANEL * c0_step)
        for a in range(min(PANEL, c.shape[0] - first)):
            i = np.uint64(a)
            c[at + i] = c0[c_at + i] * reciprocals[at + i]
            delta[at + i] = 1


@compiled
def score(y, reciprocals, c_least, delta_least, c, delta, scores):
    """Step c and delta by y and by -u in scores; then scores = c^2 / delta, and zero where not a candidate."""
    zero = scores.dtype.type(0)
    for a in range(scores.shape[0]):
        v = scores[a] * reciprocals[a]
        c_a = c[a] + y * v
        delta_a = delta[a] - v * v
        c[a] = c_a
        delta[a] = delta_a
        candidate = (abs(c_a) > c_least) & (delta_a > delta_least)
        scores[a] = c_a * c_a / delta_a if candidate else zero


@compiled
def any_correlated(c_least, c, delta):
    """Whether an atom that is not selected, and so has a finite delta, correlates with the residual."""
    found = 0
    for a in range(c.shape[0]):
        found += (abs(c[a]) > c_least) & (delta[a] > -math.inf)
    return found > 0


@compiled
def pursue(
    x, m, norm2, n_features, c0, block, atoms, gram, norms, reciprocals, n_lanes, n_nonzero, tol, eps,
    c, delta, scores, score_bits, nothing, inverse, row, gamma, w, support, wide,
):  # fmt: skip
    """Pursue one scaled signal; leave its support and gamma and return (count, status)."""
    limit = min(n_nonzero, n_features, norms.shape[0])
    norm = math.sqrt(norm2)
    c_least = c.dtype.type(32 * eps * norm)
    delta_least = c.dtype.type(16 * eps)
    start_at(c0, m * PANEL, block * PANEL, reciprocals, c, delta)
    residual2 = norm2
    slack = 16 * eps * norm2
    y = 0.0
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

        update(k, support, row, gram, n_lanes, nothing, 0, 0, SIGNED, scores)
        score(c.dtype.type(y), reciprocals, c_least, delta_least, c, delta, scores)
        while True:
            i = argmax(score_bits)
            if not scores[i] > 0:
                return k, DEPENDENT if any_correlated(c_least, c, delta) else ORTHOGONAL
            c0_i = c0[(i // PANEL * block + m) * PANEL + i % PANEL]
            c_i, gram_ii, distance2 = project(k, i, c0_i, support, gamma, gram, n_lanes, inverse, w)
            if distance2 > 16 * eps * gram_ii:
                break
            # In the span of the support after all, and it will not leave it.
            scores[i] = 0
            delta[i] = 0
        inverse_distance = 1.0 / math.sqrt(distance2)
        y = c_i * inverse_distance
        extend(k, inverse_distance, inverse, w)
        advance(k, y, inverse, gamma)
        for t in range(k + 1):
            row[t] = inverse[k, t]
        support[k] = i
        delta[i] = -math.inf
        k += 1
        residual2 -= y * y
        slack += drift(eps, n_features, k, y, norm, support, gamma, norms, inverse)


def ols_range(
    start, stop, signals, panels, atoms, gram, norms, reciprocals, exponent, n_nonzero, tol, tol_step, eps, inf_bits,
    values, indices, counts, status,
    x, x_bits, c0, c, delta, scores, score_bits, nothing, inverse, row, gamma, w, support, wide, exponents, norms2,
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
                    x, m, norms2[m], n_features, c0, block, atoms, gram, norms, reciprocals, n_lanes, n_nonzero,
                    scaled_tolerance(tol[n * tol_step], exponents[m]), eps,
                    c, delta, scores, score_bits, nothing, inverse, row, gamma, w, support, wide,
                )  # fmt: skip
            store(n, k, code, exponents[m] - exponent, gamma, support, values, indices, counts, status)
