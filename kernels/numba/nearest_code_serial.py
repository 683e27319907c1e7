"""The atom nearest to each signal, on a range of signals: the serial functions that Numba compiles.

    ||x - d||^2 = ||x||^2 - 2 score        score = <x, d> - ||d||^2 / 2

so the nearest atom has the largest score, found from a block of correlations. But where x is near d, the score has lost
digits to cancellation. So it only shortlists: every atom whose score is within twice the bound on its rounding,

    margin = 2 ((F + 2) u ||x|| max ||d|| + u max ||d||^2)        u = eps / 2

of the best is measured by the difference x - d itself, in float64. Most often that is one atom, whose distance is asked
for anyway. The rules are those of sparsefast.kernels.reference.nearest_code.

Source: Gersho and Gray, Vector Quantization and Signal Compression, 1992.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from sparsefast.kernels.numba.common_serial import PANEL, correlate, load
from sparsefast.kernels.numba.compiler import compiled

# A power of two that leaves room to multiply; beyond it the smaller of two terms does not count.
LEAST_EXPONENT = -100
# Below this a sum of squares may have lost some to underflow.
TINY = 1e-250


@compiled
def score(c, c_at, c_step, c_scale, halves, half_scale, scores):
    """scores = <x, d> - ||d||^2 / 2, both brought to one scale."""
    n_lanes = scores.shape[0]
    for first in range(0, n_lanes, PANEL):
        at = np.uint64(first)
        from_ = np.uint64(c_at + first // PANEL * c_step)
        for a in range(min(PANEL, n_lanes - first)):
            i = at + np.uint64(a)
            scores[i] = c[from_ + np.uint64(a)] * c_scale - halves[i] * half_scale


@compiled
def order(most, bits, keys):
    """keys = bits as integers of the same order as the numbers, negative ones included; return the first largest."""
    n = bits.shape[0]
    kind = bits.dtype.type
    top = kind(-most)
    for a in range(n):
        b = bits[a]
        b = b if b >= 0 else kind(b ^ most)
        keys[a] = b
        top = max(top, b)
    first = kind(n)
    for a in range(n):
        first = min(first, kind(a) if keys[a] == top else kind(n))
    return first


@compiled
def count_from(least, keys):
    """How many keys are at least this large."""
    found = keys.dtype.type(0)
    for a in range(keys.shape[0]):
        found += keys.dtype.type(1) if keys[a] >= least else keys.dtype.type(0)
    return found


@compiled
def distance(x, m, x_scale, atoms, i, d_scale):
    """||x - d_i|| at the common scale, from the differences of the entries."""
    n_features = x.shape[1]
    at = i * n_features
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    for f in range(0, n_features, 4):
        r0 = x[m, f] * x_scale - atoms[at + f] * d_scale
        r1 = x[m, f + 1] * x_scale - atoms[at + f + 1] * d_scale
        r2 = x[m, f + 2] * x_scale - atoms[at + f + 2] * d_scale
        r3 = x[m, f + 3] * x_scale - atoms[at + f + 3] * d_scale
        t0, t1, t2, t3 = t0 + r0 * r0, t1 + r1 * r1, t2 + r2 * r2, t3 + r3 * r3
    return math.sqrt((t0 + t1) + (t2 + t3))


@compiled
def exact_distance(x, m, x_exponent, atoms, i, d_exponent):
    """As `distance`, at scales where squares would underflow, and which take two factors each."""
    n_features = x.shape[1]
    x_scale, d_scale = math.ldexp(1.0, x_exponent // 2), math.ldexp(1.0, d_exponent // 2)
    x_more, d_more = math.ldexp(1.0, x_exponent - x_exponent // 2), math.ldexp(1.0, d_exponent - d_exponent // 2)
    largest = 0.0
    for f in range(n_features):
        largest = max(largest, abs(x[m, f] * x_scale * x_more - atoms[i * n_features + f] * d_scale * d_more))
    if largest == 0:
        return 0.0
    total = 0.0
    for f in range(n_features):
        r = (x[m, f] * x_scale * x_more - atoms[i * n_features + f] * d_scale * d_more) / largest
        total += r * r
    return math.sqrt(total) * largest


@compiled
def measure(x, m, x_exponent, atoms, i, d_exponent):
    """||x - d_i||, times what keeps a distance of the size of the larger from overflowing."""
    found = distance(x, m, math.ldexp(1.0, x_exponent), atoms, i, math.ldexp(1.0, d_exponent))
    return found if found > TINY else exact_distance(x, m, x_exponent, atoms, i, d_exponent)


@compiled
def nearest_of(least, keys, n_atoms, x, m, x_exponent, atoms, d_exponent):
    """The nearest of the atoms whose keys are at least this large, the lowest index among equals."""
    best = math.inf
    nearest = 0
    for i in range(n_atoms):
        if keys[i] >= least:
            found = measure(x, m, x_exponent, atoms, i, d_exponent)
            if found < best:
                best = found
                nearest = i
    return nearest


@compiled
def search(
    x, m, norm2, exponent, x_exponent, c, block, atoms, halves, largest_norm, n_atoms, eps, most,
    scores, score_bits, keys,
):  # fmt: skip
    """The index of the atom nearest to one scaled signal, its distance, and the exponent of that."""
    if norm2 == 0:  # which has no scale of its own
        x_exponent = exponent
    common = max(exponent, x_exponent)
    c_scale = math.ldexp(1.0, max(x_exponent - common, LEAST_EXPONENT))
    half_scale = math.ldexp(1.0, max(exponent - common, LEAST_EXPONENT))
    real = scores.dtype.type
    score(c, m * PANEL, block * PANEL, real(c_scale), halves, real(half_scale), scores)
    i = order(most, score_bits, keys)
    bound = (x.shape[1] + 2) * c_scale * math.sqrt(norm2) * largest_norm + half_scale * largest_norm * largest_norm
    # One of the entries is enough to read the bits of the least score on the shortlist.
    scores[0] = scores[i] - eps * bound
    least = score_bits[0]
    # One less, for what rounding did to the difference, and because zero has two signs.
    least = keys.dtype.type((least if least >= 0 else keys.dtype.type(least ^ most)) - 1)
    nearest = int(i)
    if count_from(least, keys) > 1:
        nearest = nearest_of(least, keys, n_atoms, x, m, x_exponent - common, atoms, exponent - common)
    x_scale, d_scale = math.ldexp(1.0, x_exponent - common), math.ldexp(1.0, exponent - common)
    found = distance(x, m, x_scale, atoms, nearest, d_scale)
    if found > TINY:
        return nearest, found, common
    return nearest, exact_distance(x, m, x_exponent, atoms, nearest, exponent), 0


def nearest_code_range(
    start, stop, signals, panels, atoms, halves, largest_norm, n_atoms, exponent, eps, most, inf_bits,
    indices, distances,
    x, x_bits, c, scores, score_bits, keys, exponents, norms2,
):  # fmt: skip
    """Find the nearest atoms of signals start..stop, a block at a time; halves are infinite where there is no atom."""
    n_lanes = scores.shape[0]
    block = x.shape[0]
    for first in range(start, stop, block):
        n_signals = min(block, stop - first)
        for m in range(n_signals):
            exponents[m], norms2[m] = load(signals, first + m, x, x_bits, m, inf_bits)
        # Rows that fill the last tile hold whatever was there: lanes and rows never mix.
        correlate(x, (n_signals + 3) // 4 * 4, x.shape[1], panels, n_lanes, c)
        for m in range(n_signals):
            indices[first + m] = 0
            distances[first + m] = math.nan
            if norms2[m] >= 0:
                i, found, common = search(
                    x, m, norms2[m], exponent, exponents[m], c, block, atoms, halves, largest_norm, n_atoms, eps, most,
                    scores, score_bits, keys,
                )  # fmt: skip
                indices[first + m] = i
                # 2**exponent itself may overflow: two factors.
                half = common // 2
                distances[first + m] = found * math.ldexp(1.0, half) * math.ldexp(1.0, common - half)
