"""The largest of many scores, one after another: a tournament in LANES groups.

Group g holds lanes g, g + LANES, g + 2 LANES, ...; `tops` and `where` are its largest score and the first lane that has
it. Both are found for all groups at once, in vectors. Taking the largest of all looks at the LANES tops, and then at
the one group that it was in.

Scores are read as integers by their bits: they are not negative, and integers are ordered as they are.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from sparsefast.kernels.numba.common_serial import LANES
from sparsefast.kernels.numba.compiler import compiled


@compiled
def rank(bits, tops, where):
    """Begin: the top of each group of bits (n_lanes,)."""
    for g in range(LANES):
        tops[g] = bits[g]
        where[g] = g
    for first in range(LANES, bits.shape[0], LANES):
        at = np.uint64(first)
        for g in range(LANES):
            b = bits[at + np.uint64(g)]
            above = b > tops[g]
            where[g] = bits.dtype.type(first + g) if above else where[g]
            tops[g] = b if above else tops[g]


@compiled
def take(bits, tops, where):
    """The lane of the largest score, the lowest among equals, whose score becomes zero; -1 when all are zero."""
    n = bits.shape[0]
    top = bits.dtype.type(0)
    for g in range(LANES):
        top = max(top, tops[g])
    if top == 0:
        return -1
    lane = bits.dtype.type(n)
    for g in range(LANES):
        lane = min(lane, where[g] if tops[g] == top else bits.dtype.type(n))
    bits[lane] = 0
    regroup(lane % LANES, bits, tops, where)
    return int(lane)


@compiled
def regroup(g, bits, tops, where):
    """The top of group g anew."""
    top = bits[g]
    at = g
    for a in range(g + LANES, bits.shape[0], LANES):
        if bits[a] > top:
            top = bits[a]
            at = a
    tops[g] = top
    where[g] = at
