"""The n_nonzero atoms of largest correlation on a range of signals: the serial functions that Numba compiles.

c = D x for a block of signals, then a tournament (sparsefast.kernels.numba.largest_serial) on |c|, or on max(c, 0). The
rules are those of sparsefast.kernels.reference.topk.

Source: Makhzani and Frey, k-Sparse autoencoders, 2013.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from sparsefast.kernels.numba.common_serial import COMPLETE, NONFINITE, ORTHOGONAL, PANEL, correlate, load, store
from sparsefast.kernels.numba.compiler import compiled
from sparsefast.kernels.numba.largest_serial import rank, take


@compiled
def rectify(positive, c, c_at, c_step, scores):
    """scores = |c|, or max(c, 0)."""
    n_lanes = scores.shape[0]
    least = scores.dtype.type(0)
    for first in range(0, n_lanes, PANEL):
        at = np.uint64(first)
        from_ = np.uint64(c_at + first // PANEL * c_step)
        for a in range(min(PANEL, n_lanes - first)):
            value = c[from_ + np.uint64(a)]
            scores[at + np.uint64(a)] = max(value, least) if positive else abs(value)


@compiled
def select(n_nonzero, c, c_at, c_step, scores, score_bits, tops, where, gamma, support):
    """The largest scores: leave their lanes and correlations, return how many there are."""
    rank(score_bits, tops, where)
    for k in range(n_nonzero):
        i = take(score_bits, tops, where)
        if i < 0:
            return k
        support[k] = i
        gamma[k] = c[c_at + i // PANEL * c_step + i % PANEL]
    return n_nonzero


def topk_range(
    start, stop, signals, panels, exponent, n_nonzero, positive, inf_bits,
    values, indices, counts, status,
    x, x_bits, c, scores, score_bits, tops, where, gamma, support, exponents, norms2,
):  # fmt: skip
    """Code signals start..stop, a block at a time."""
    n_lanes = scores.shape[0]
    block = x.shape[0]
    for first in range(start, stop, block):
        n_signals = min(block, stop - first)
        for m in range(n_signals):
            exponents[m], norms2[m] = load(signals, first + m, x, x_bits, m, inf_bits)
        # Rows that fill the last tile hold whatever was there: lanes and rows never mix.
        correlate(x, (n_signals + 3) // 4 * 4, x.shape[1], panels, n_lanes, c)
        for m in range(n_signals):
            k = 0
            code = NONFINITE
            if norms2[m] >= 0:
                rectify(positive, c, m * PANEL, block * PANEL, scores)
                k = select(
                    n_nonzero, c, m * PANEL, block * PANEL, scores, score_bits, tops, where, gamma, support
                )  # fmt: skip
                code = COMPLETE if k == n_nonzero else ORTHOGONAL
            store(first + m, k, code, exponents[m] + exponent, gamma, support, values, indices, counts, status)
