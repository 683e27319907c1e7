"""Random numbers that are a function of counters alone: no state, so no order in which they must be drawn.

All of it is SplitMix64 (G. L. Steele Jr., D. Lea, C. H. Flood, Fast splittable pseudorandom number generators, OOPSLA
2014): `_mix` is its finalizer, a bijection of 64-bit words, and a chain of it absorbs one counter after another.
"""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, the step of SplitMix64
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

# What a number is for: two purposes of one sample draw from different streams.
PICTURE, ROW, COLUMN, FLIP, KIND, SHAPE, COLOUR, FIELD = range(8)
# Of the run and not of a sample; far from the former.
ORDER = 1 << 32
HELD_OUT = ORDER + 1


def sample_seeds(run_seed: int, epoch: int | np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The seed of each sample, from which everything random about it derives.

    Parameters
    ----------
    run_seed : int
        Any; its lowest 64 bits count.
    epoch : int or array of shape (B,), int64
        0 for held-out samples, which are the same in every epoch.
    indices : array of shape (B,), int64

    Returns
    -------
    array of shape (B,), uint64
        Different ones for different indices of one epoch.
    """
    state = _absorb(_absorb(np.zeros(1, np.uint64), run_seed), epoch)
    return _absorb(state, np.asarray(indices))


def words(seeds: np.ndarray, stream: int, count: int | None = None) -> np.ndarray:
    """64 random bits for each seed, or `count` times as many: shape (B,) or (B, count), uint64."""
    state = _absorb(np.asarray(seeds, np.uint64), stream)
    if count is None:
        return _mix(state + GOLDEN)
    return _mix(state[:, None] + GOLDEN * np.arange(1, count + 1, dtype=np.uint64))


def uniform_integers(seeds: np.ndarray, stream: int, bounds: int | np.ndarray) -> np.ndarray:
    """One integer for each seed, uniform from 0 to its bound, which is left out.

    Parameters
    ----------
    seeds : array of shape (B,), uint64
    stream : int
        What the number is for; other streams are independent.
    bounds : int or array of shape (B,)
        1 to 2^32 - 1.

    Returns
    -------
    array of shape (B,), int64
        floor(bound * word / 2^64), each value with a probability of 1 / bound to within 2^-64 (D. Lemire, Fast random
        integer generation in an interval, 2019, without its rejection).

    Raises
    ------
    ValueError
        If a bound is outside of its range.
    """
    limits = np.asarray(bounds)
    if limits.size and (limits.min() < 1 or limits.max() > int(_LOW)):
        raise ValueError(f"uniform_integers: bounds from {limits.min()} to {limits.max()} must be from 1 to 2^32 - 1")
    limits = limits.astype(np.uint64)
    word = words(seeds, stream)
    # The upper 64 of the 96 bits of the product, in two halves.
    return (((word >> _HALF) * limits + ((word & _LOW) * limits >> _HALF)) >> _HALF).astype(np.int64)


def uniforms(seeds: np.ndarray, stream: int, count: int) -> np.ndarray:
    """Numbers in [0, 1), multiples of 2^-53: shape (B, count), float64."""
    return (words(seeds, stream, count) >> np.uint64(11)) * 2.0**-53


def normals(seeds: np.ndarray, stream: int, count: int) -> np.ndarray:
    """Standard normal numbers, by the transform of Box and Muller (1958): shape (B, count), float64."""
    pairs = uniforms(seeds, stream, count + count % 2).reshape(len(seeds), 2, -1)
    # 1 - u is never 0.
    radius, angle = np.sqrt(-2 * np.log(1 - pairs[:, 0])), 2 * np.pi * pairs[:, 1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]


def permutation(run_seed: int, epoch: int, n: int) -> np.ndarray:
    """The numbers from 0 to n - 1 in a random order: shape (n,), int64."""
    # The keys are all different, so there is but one order.
    return np.argsort(words(sample_seeds(run_seed, epoch, np.arange(n)), ORDER)).astype(np.int64, copy=False)


def _absorb(state: np.ndarray, value: int | np.ndarray) -> np.ndarray:
    counter = np.uint64(value & (1 << 64) - 1) if isinstance(value, int) else value.astype(np.uint64)
    return _mix((state ^ counter) + GOLDEN)


def _mix(word: np.ndarray) -> np.ndarray:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
