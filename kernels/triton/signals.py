"""What the Triton kernels share on the device: signals scaled by powers of two, correlations, rows of the outputs.

A program holds a tile of BN signals x BK atoms. Correlations are sums of outer products, one feature after the other:

    c[n, k] = fma(x[n, f], d[k, f], c[n, k])        f = 0, 1, ...

so that equal atoms have equal correlations to the last bit, a result depends neither on the tile nor on the other
signals in it, and no operand waits in shared memory. Powers of two are made of their bits: exact, whatever the
compiler does with exp2.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

import triton
import triton.language as tl

from sparsefast.kernels.status import Status

COMPLETE = tl.constexpr(int(Status.COMPLETE))
TOLERANCE = tl.constexpr(int(Status.TOLERANCE))
EXHAUSTED = tl.constexpr(int(Status.EXHAUSTED))
ORTHOGONAL = tl.constexpr(int(Status.ORTHOGONAL))
DEPENDENT = tl.constexpr(int(Status.DEPENDENT))
NONFINITE = tl.constexpr(int(Status.NONFINITE))
INF = tl.constexpr(float("inf"))


@triton.jit
def magnitude_bits(x):
    """The bits of |x| as an integer: ordered as |x| is, with infinity and then NaN on top."""
    if x.dtype == tl.float32:
        return x.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    else:
        return x.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF


@triton.jit
def sign_bit(x):
    """1 where the sign of a number is minus, else 0."""
    if x.dtype == tl.float32:
        return (x.to(tl.uint32, bitcast=True) >> 31).to(tl.int32)
    else:
        return (x.to(tl.uint64, bitcast=True) >> 63).to(tl.int32)


@triton.jit
def is_finite(bits):
    if bits.dtype == tl.int32:
        return bits < 0x7F800000
    else:
        return bits < 0x7FF0000000000000


@triton.jit
def exponent_of(bits):
    """The e for which the finite number with these bits, over 2**e, lies in [1/2, 1); 0 for zero."""
    if bits.dtype == tl.int32:
        field = bits >> 23
        # A subnormal number is its bits, as an integer, times 2**-149.
        below = (bits.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 149
        e = tl.where(field > 0, field, below) - 126
    else:
        field = bits >> 52
        below = (bits.to(tl.float64).to(tl.int64, bitcast=True) >> 52) - 1074
        e = (tl.where(field > 0, field, below) - 1022).to(tl.int32)
    return tl.where(bits == 0, 0, e)


@triton.jit
def power_of_two(e, T: tl.constexpr):
    """2**e where that is a normal number."""
    if T == tl.float32:  # noqa: SIM300
        return ((e + 127) << 23).to(tl.float32, bitcast=True)
    else:
        return ((e.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def scaled(x, e):
    """x 2**e in float64, for |e| up to 3000: 2**e itself may overflow, so in three factors."""
    third = e // 3
    factor = power_of_two(third, tl.float64)
    return x.to(tl.float64) * factor * factor * power_of_two(e - 2 * third, tl.float64)


@triton.jit
def root(x):
    """The square root, rounded correctly: tl.sqrt of float32 is an approximation."""
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    else:
        return tl.sqrt(x)


@triton.jit
def reciprocal(x):
    """1 / x, rounded correctly: the division of float32 is an approximation."""
    if x.dtype == tl.float32:
        return tl.div_rn(tl.full(x.shape, 1, tl.float32), x)
    else:
        return 1 / x


@triton.jit
def scale_of(signals, at, step, live, n_features, BN: tl.constexpr, BF: tl.constexpr):
    """Whether each signal is finite, its exponent, and two factors that bring it into [1/2, 1): for some exponents
    2**-exponent itself would overflow."""
    top = magnitude_bits(tl.zeros((BN,), signals.dtype.element_ty))
    for first in range(0, n_features, BF):
        f = first + tl.arange(0, BF)
        mask = live[:, None] & (f < n_features)[None, :]
        x = tl.load(signals + at[:, None] + f.to(tl.int64)[None, :] * step, mask=mask, other=0)
        top = tl.maximum(top, tl.max(magnitude_bits(x), axis=1))
    finite = is_finite(top)
    exponent = tl.where(finite, exponent_of(top), 0)
    half = exponent // 2
    return (
        finite & live,
        exponent,
        power_of_two(-half, signals.dtype.element_ty),
        power_of_two(half - exponent, signals.dtype.element_ty),
    )


@triton.jit
def correlate(x, at, step, up, down, use, columns, ld, lane, n_features, BN: tl.constexpr, BK: tl.constexpr):
    """Correlations (BN, BK) of the scaled signals with the atoms of these lanes, and the squared norms (BN,).

    x[at + f step] up down is feature f of a signal, and columns (F, ld) the dictionary with its atoms side by side.
    Signals not to be used count as zero.
    """
    c = tl.zeros((BN, BK), x.dtype.element_ty)
    norm2 = tl.zeros((BN,), x.dtype.element_ty)
    inside = lane < ld
    # Four features at a time: their loads overlap.
    for f in tl.range(0, n_features, loop_unroll_factor=4):
        wide = tl.cast(f, tl.int64)
        x_f = tl.load(x + at + wide * step, mask=use, other=0) * up * down
        d_f = tl.load(columns + wide * ld + lane, mask=inside, other=0)
        c += x_f[:, None] * d_f[None, :]
        norm2 += x_f * x_f
    return c, norm2


@triton.jit
def tolerance_of(tol, tol_step, rows, live, exponent):
    """The tolerances in units of the scaled signals, in float64; negative or NaN, they are never met."""
    return scaled(tl.load(tol + rows * tol_step, mask=live, other=-1), -exponent)


@triton.jit
def column(a, slots, j):
    """Column j of a (BN, SP): registers cannot be indexed."""
    return tl.sum(tl.where(slots[None, :] == j, a, 0), axis=1)


@triton.jit
def store_ends(counts, status, rows, live, count, why):
    tl.store(counts + rows, count, mask=live)
    tl.store(status + rows, why.to(tl.uint8), mask=live)
