"""Iterative hard thresholding on a range of signals: the serial functions that Numba compiles.

With c0 = D x, an iteration reads a row of the Gram matrix for each atom of the support:

    c = c0 - sum_j a_j G_{S_j}        scores = |a + mu c|        a' = the s entries of the largest scores

Most often the support stays, and that is seen without a selection: the least score on the support is a threshold that
only its s atoms reach. Else a tournament (sparsefast.kernels.numba.largest_serial) finds the s largest. ||c_G D_G|| and
||(a' - a) D|| are norms of sums of atoms, in float64, since a quadratic form in G would cancel; a is in float64 too.

The rules are those of sparsefast.kernels.reference.iht, with eps of the signals' dtype.

Sources: Blumensath and Davies, Iterative hard thresholding for compressed sensing, 2009 (fixed step), and Normalized
iterative hard thresholding, 2010.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from sparsefast.kernels.numba.common_serial import (
    COMPLETE,
    EXHAUSTED,
    NONFINITE,
    ORTHOGONAL,
    PANEL,
    SIGNED,
    TOLERANCE,
    correlate,
    load,
    residual,
    scaled_tolerance,
    squared_norm,
    store,
    update,
)
from sparsefast.kernels.numba.compiler import compiled
from sparsefast.kernels.numba.largest_serial import rank, take

SAFE = 0.99
MAX_HALVINGS = 30


@compiled
def combination(k, support, coefficients, atoms, out):
    """||sum_j coefficients_j d_j||^2, the sum being left in out."""
    n_features = out.shape[0]
    for f in range(n_features):
        out[f] = 0.0
    for j in range(k):
        g = coefficients[j]
        at = np.uint64(support[j] * n_features)
        for f in range(n_features):
            out[f] += g * atoms[at + np.uint64(f)]
    return squared_norm(out)


@compiled
def score(mu, k, support, a, c, n_atoms, scores):
    """scores = |a + mu c|, and zero in lanes that are no atom."""
    real = scores.dtype.type
    step = real(mu)
    for i in range(scores.shape[0]):
        scores[i] = abs(step * c[i])
    for j in range(k):
        # The same product as off the support: equal entries must tie.
        scores[support[j]] = abs(real(a[j] + step * c[support[j]]))
    # An overflow of mu would leave NaN there.
    for i in range(n_atoms, scores.shape[0]):
        scores[i] = 0


@compiled
def keeps_support(k, support, bits):
    """Whether the k largest scores are those of the support, and above zero."""
    kind = bits.dtype.type
    least = bits[support[0]]
    for j in range(1, k):
        least = min(least, bits[support[j]])
    n = kind(0)
    for i in range(bits.shape[0]):
        n += kind(1) if bits[i] >= least else kind(0)
    return least > 0 and n == k


@compiled
def largest(s, bits, tops, where, found):
    """Leave the lanes of the s largest scores above zero in `found`, return how many there are."""
    rank(bits, tops, where)
    for k in range(s):
        i = take(bits, tops, where)
        if i < 0:
            return k
        found[k] = i
    return s


@compiled
def threshold(s, mu, k, support, a, dense, c, n_atoms, scores, bits, tops, where, new_support, new_a):
    """a' = H_s(a + mu c); return the number of its entries, and whether all are finite."""
    score(mu, k, support, a, c, n_atoms, scores)
    if k == s and keeps_support(k, support, bits):
        for j in range(k):
            new_support[j] = support[j]
        n = k
    else:
        n = largest(s, bits, tops, where, new_support)
    finite = 0
    for j in range(n):
        i = new_support[j]
        new_a[j] = dense[i] + mu * c[i]
        finite += abs(scores.dtype.type(new_a[j])) < math.inf
    return n, finite == n


@compiled
def same_support(k, n, member, new_support):
    """Whether n lanes are those of the support, which has k."""
    shared = 0
    for j in range(n):
        shared += member[new_support[j]]
    return k == n and shared == n


@compiled
def difference(k, support, a, n, new_support, new_a, dense, member, at, change):
    """a' - a: leave its atoms in `at` and its entries in `change`, return how many there are."""
    for j in range(n):
        at[j] = new_support[j]
        change[j] = new_a[j] - dense[new_support[j]]
        member[new_support[j]] += 2
    total = n
    for j in range(k):
        if member[support[j]] == 1:
            at[total] = support[j]
            change[total] = -a[j]
            total += 1
    for j in range(n):
        member[new_support[j]] -= 2
    return total


@compiled
def squared_sum(k, a):
    """sum a_j^2."""
    total = 0.0
    for j in range(k):
        total += a[j] * a[j]
    return total


@compiled
def largest_magnitude(k, a):
    """max |a_j|, 0 of none."""
    most = 0.0
    for j in range(k):
        most = max(most, abs(a[j]))
    return most


@compiled
def put(k, support, a, value, dense, member):
    """Enter the support in dense and member, or, with value 0, take it out."""
    for j in range(k):
        dense[support[j]] = value * a[j]
        member[support[j]] = value


@compiled
def adopt(n, new_support, new_a, support, a):
    """a = a'."""
    for j in range(n):
        support[j] = new_support[j]
        a[j] = new_a[j]
    return n


@compiled
def on_support(k, support, c, out):
    """out = c_S."""
    for j in range(k):
        out[j] = c[support[j]]


@compiled
def sort(s, k, support, a, scores, bits, tops, where, new_support, new_a, dense, member):
    """The entries of a, as they are written, in the order of magnitude, without zeros; return how many there are."""
    put(k, support, a, 1, dense, member)
    for i in range(scores.shape[0]):
        scores[i] = abs(scores.dtype.type(dense[i]))
    n = largest(s, bits, tops, where, new_support)
    for j in range(n):
        new_a[j] = dense[new_support[j]]
    put(k, support, a, 0, dense, member)
    return adopt(n, new_support, new_a, support, a)


@compiled
def iterate(
    x, m, c0, block, atoms, gram, largest_norm, n_atoms, n_lanes, s, n_nonzero, n_iterations, step, tol, eps,
    c, scores, bits, tops, where, support, a, new_support, new_a, at, change, dense, member, wide,
):  # fmt: skip
    """IHT of one scaled signal; leave its support and a and return (count, status)."""
    normalised = step == 0
    mu = step
    if normalised:
        mu = 1.0 / (largest_norm * largest_norm) if largest_norm > 0 else 1.0
    k = 0
    for iteration in range(n_iterations):
        if tol >= 0 and math.sqrt(residual(x, m, k, support, a, atoms, wide)) <= tol:
            break
        update(k, support, a, gram, n_lanes, c0, m * PANEL, block * PANEL, SIGNED, c)
        if iteration == 0:  # the support is that of H_s(c)
            score(1.0, 0, support, a, c, n_atoms, scores)
            k = largest(s, bits, tops, where, support)
            for j in range(k):
                a[j] = 0.0
            put(k, support, a, 1, dense, member)
        if normalised:
            on_support(k, support, c, change)
            along2 = combination(k, support, change, atoms, wide)
            if along2 > 0:
                mu = squared_sum(k, change) / along2

        n_halvings = MAX_HALVINGS if normalised else 0
        while True:
            n, finite = threshold(
                s, mu, k, support, a, dense, c, n_atoms, scores, bits, tops, where, new_support, new_a
            )  # fmt: skip
            same = same_support(k, n, member, new_support)
            total = difference(k, support, a, n, new_support, new_a, dense, member, at, change)
            if same or n_halvings == 0:
                break
            if mu * combination(total, at, change, atoms, wide) <= SAFE * squared_sum(total, change):
                break
            mu /= 2
            n_halvings -= 1
        if not finite:
            break
        still = same and largest_magnitude(total, change) <= 4 * eps * largest_magnitude(n, new_a)
        put(k, support, a, 0, dense, member)
        k = adopt(n, new_support, new_a, support, a)
        put(k, support, a, 1, dense, member)
        if still:
            break
    put(k, support, a, 0, dense, member)

    k = sort(s, k, support, a, scores, bits, tops, where, new_support, new_a, dense, member)
    if tol >= 0 and math.sqrt(residual(x, m, k, support, a, atoms, wide)) <= tol:
        return k, TOLERANCE
    if k < s:
        return k, ORTHOGONAL
    return k, EXHAUSTED if s < n_nonzero else COMPLETE


def iht_range(
    start, stop, signals, panels, atoms, gram, largest_norm, n_atoms, exponent, s, n_nonzero, n_iterations, step,
    tol, tol_step, eps, inf_bits,
    values, indices, counts, status,
    x, x_bits, c0, c, scores, bits, tops, where, support, a, new_support, new_a, at, change, dense, member, wide,
    exponents, norms2,
):  # fmt: skip
    """Code signals start..stop, a block at a time. tol is negative where there is none; dense and member are zero."""
    n_lanes = scores.shape[0]
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
                k, code = iterate(
                    x, m, c0, block, atoms, gram, largest_norm, n_atoms, n_lanes, s, n_nonzero, n_iterations, step,
                    scaled_tolerance(tol[n * tol_step], exponents[m]), eps,
                    c, scores, bits, tops, where, support, a, new_support, new_a, at, change, dense, member, wide,
                )  # fmt: skip
            store(n, k, code, exponents[m] - exponent, a, support, values, indices, counts, status)
