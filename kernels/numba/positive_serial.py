"""Non-negative OMP on a range of signals: the serial functions that Numba compiles.

The steps are those of Batch-OMP (sparsefast.kernels.numba.omp_serial) with the largest signed correlation, and z for
the least-squares coefficients: z = gamma + y M_k. Where all of z is positive, which is most often, gamma = z. Else
Lawson and Hanson's inner loop drops atoms, and M = L^-1 is built again for those that are left.

The rules are those of sparsefast.kernels.reference.positive, with eps of the signals' dtype.

Sources: Bruckstein, Elad and Zibulevsky, On the uniqueness of nonnegative sparse solutions to underdetermined systems
of equations, 2008; Nguyen, Idier, Soussen and Djermoune, Non-negative orthogonal greedy algorithms, 2019; Lawson and
Hanson, Solving Least Squares Problems, 1974, chapter 23.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import math

from sparsefast.kernels.numba.common_serial import (
    COMPLETE,
    DEPENDENT,
    EXHAUSTED,
    NONFINITE,
    ORTHOGONAL,
    PANEL,
    POSITIVE,
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

ADDITIONS_PER_ATOM = 4


@compiled
def all_positive(k, z):
    """Whether the first k of z are above zero."""
    falling = 0
    for j in range(k):
        falling += not z[j] > 0
    return falling == 0


@compiled
def step_length(k, gamma, z):
    """How far gamma can go towards z until an entry is zero: the least gamma_j / (gamma_j - z_j) where z_j <= 0."""
    alpha = math.inf
    for j in range(k):
        if not z[j] > 0:
            alpha = min(alpha, ratio(gamma[j], z[j]))
    return alpha


@compiled
def ratio(gamma_j, z_j):
    """gamma_j / (gamma_j - z_j), and 0 for an atom that starts from 0."""
    return gamma_j / (gamma_j - z_j) if gamma_j > 0 else 0.0


@compiled
def drop(k, alpha, support, gamma, z):
    """Take gamma the part alpha of the way to z and drop the atoms that are at zero; return how many are left."""
    left = 0
    for j in range(k):
        # Rounding may leave the atom that sets alpha above zero.
        falls = not z[j] > 0 and ratio(gamma[j], z[j]) <= alpha
        moved = gamma[j] + alpha * (z[j] - gamma[j])
        if moved > 0 and not falls:
            support[left] = support[j]
            gamma[left] = moved
            left += 1
    return left


@compiled
def rebuild(k, norm2, n_features, c0, c0_at, c0_step, gram, norms, n_lanes, eps, inverse, w, support, z):
    """M and z for a support of k atoms from the start; return ||r||^2 and its slack."""
    norm = math.sqrt(norm2)
    residual2 = norm2
    slack = 16 * eps * norm2
    for j in range(k):
        i = support[j]
        c0_i = c0[c0_at + i // PANEL * c0_step + i % PANEL]
        c, gram_ii, distance2 = project(j, i, c0_i, support, z, gram, n_lanes, inverse, w)
        # Fewer atoms before it can only bring it nearer to them by rounding.
        inverse_distance = 1.0 / math.sqrt(max(distance2, 16 * eps * gram_ii))
        y = c * inverse_distance
        extend(j, inverse_distance, inverse, w)
        advance(j, y, inverse, z)
        residual2 -= y * y
        slack += drift(eps, n_features, j + 1, y, norm, support, z, norms, inverse)
    return residual2, slack


@compiled
def pursue(
    x, m, norm2, n_features, c0, block, atoms, gram, norms, n_lanes, n_nonzero, tol, eps,
    scores, score_bits, inverse, gamma, z, w, support, last_gamma, last_support, wide,
):  # fmt: skip
    """Pursue one scaled signal; leave its support and gamma and return (count, status)."""
    limit = min(n_nonzero, n_features, norms.shape[0])
    c0_at, c0_step = m * PANEL, block * PANEL
    norm = math.sqrt(norm2)
    residual2 = norm2
    slack = 16 * eps * norm2
    n_additions = 0
    k = 0
    while True:
        # The sum of y^2 says where to look, the residual itself whether it is so.
        near = tol >= 0 and residual2 - slack <= tol * tol
        if near and math.sqrt(residual(x, m, k, support, gamma, atoms, wide)) <= tol:
            return k, TOLERANCE
        if k == n_nonzero:
            return k, COMPLETE
        if k == limit or n_additions == ADDITIONS_PER_ATOM * limit:
            return k, EXHAUSTED
        update(k, support, gamma, gram, n_lanes, c0, c0_at, c0_step, POSITIVE, scores)
        for j in range(k):
            scores[support[j]] = 0
        i = argmax(score_bits)
        if not scores[i] > 32 * eps * norm * norms[i]:
            return k, ORTHOGONAL

        c0_i = c0[c0_at + i // PANEL * c0_step + i % PANEL]
        c, gram_ii, distance2 = project(k, i, c0_i, support, gamma, gram, n_lanes, inverse, w)
        if not distance2 > 16 * eps * gram_ii:
            return k, DEPENDENT
        inverse_distance = 1.0 / math.sqrt(distance2)
        y = c * inverse_distance
        extend(k, inverse_distance, inverse, w)
        for j in range(k):
            last_gamma[j] = gamma[j]
            last_support[j] = support[j]
            z[j] = gamma[j]
        advance(k, y, inverse, z)
        support[k] = i
        gamma[k] = 0.0
        last = k
        k += 1
        residual2 -= y * y
        slack += drift(eps, n_features, k, y, norm, support, z, norms, inverse)
        while not all_positive(k, z):
            k = drop(k, step_length(k, gamma, z), support, gamma, z)
            if k == 0 or support[k - 1] != i:
                for j in range(last):
                    gamma[j] = last_gamma[j]
                    support[j] = last_support[j]
                return last, ORTHOGONAL
            residual2, slack = rebuild(
                k, norm2, n_features, c0, c0_at, c0_step, gram, norms, n_lanes, eps, inverse, w, support, z
            )  # fmt: skip
        for j in range(k):
            gamma[j] = z[j]
        n_additions += 1


def positive_range(
    start, stop, signals, panels, atoms, gram, norms, exponent, n_nonzero, tol, tol_step, eps, inf_bits,
    values, indices, counts, status,
    x, x_bits, c0, scores, score_bits, inverse, gamma, z, w, support, last_gamma, last_support, wide, exponents, norms2,
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
                    scores, score_bits, inverse, gamma, z, w, support, last_gamma, last_support, wide,
                )  # fmt: skip
            store(n, k, code, exponents[m] - exponent, gamma, support, values, indices, counts, status)
