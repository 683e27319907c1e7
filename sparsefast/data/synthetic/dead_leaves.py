"""Dead leaves: disks that lie on one another, each with a colour and a grain of its own.

With radii distributed as r^-3 the pictures are close to scale invariant, as photographs are, and have their edges,
occlusions and heavy-tailed differences (A. B. Lee, D. Mumford, J. Huang, Occlusion models for natural images, IJCV
2001; M. Baradad et al., Learning to see by looking at noise, NeurIPS 2021).
"""

from __future__ import annotations

import functools

import numpy as np

from sparsefast.data.seeds import SHAPE, uniforms
from sparsefast.data.synthetic.colours import random_colours

# With the smallest and largest radius below, these cover a picture about four times: the ground is hardly seen.
N_LEAVES = 234
# Grain: waves of 1/16 to 1/3 cycles a pixel and at most this amplitude.
GRAIN = 0.12


def dead_leaves(seeds: np.ndarray, size: int) -> np.ndarray:
    """One picture for each seed: (B, 3, size, size), float32, from 0 to 1 but for the grain of the lightest."""
    u = uniforms(seeds, SHAPE, 7 * N_LEAVES).reshape(-1, 7, N_LEAVES)
    diameters = np.rint(2 * radii_of(u[:, 0], size)).astype(np.int64)
    # Anywhere that a part of the leaf is seen.
    top, left = (np.floor(u[:, i] * (size + diameters - 1)).astype(np.int64) - diameters + 1 for i in (1, 2))
    leaves = _leaves(diameters, top, left, size)
    frequency = 2 * np.pi * np.exp(np.log(1 / 16) + u[:, 3] * np.log(16 / 3))
    angle = 2 * np.pi * u[:, 4]
    waves = np.stack(
        [frequency * np.sin(angle), frequency * np.cos(angle), 2 * np.pi * u[:, 5], GRAIN * u[:, 6]], axis=2
    )
    numbers = np.arange(len(seeds))[:, None, None]
    down, right, phase, amplitude = np.moveaxis(waves.astype(np.float32)[numbers, leaves], 3, 0)
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)
    grain = amplitude * np.sin(down * y + right * x + phase)
    colours = random_colours(seeds, N_LEAVES).astype(np.float32)[numbers, leaves]
    return np.moveaxis(colours, 3, 1) + grain[:, None]


def radii_of(u: np.ndarray, size: int) -> np.ndarray:
    """Radii distributed as r^-3 from size / 32 to size / 2, but at least half a pixel, of uniform numbers."""
    smallest, largest = max(0.5, size / 32), max(0.5, size / 2)
    # The inverse of the distribution function.
    return 1 / np.sqrt(smallest**-2.0 - u * (smallest**-2.0 - largest**-2.0))


def _leaves(diameters: np.ndarray, top: np.ndarray, left: np.ndarray, size: int) -> np.ndarray:
    """Which leaf is seen at each pixel, the last one being on top: (B, size, size). The first is the ground too."""
    found = np.zeros((len(diameters), size, size), np.int16)
    for picture, *leaves in zip(found, diameters.tolist(), top.tolist(), left.tolist(), strict=True):
        for number, (d, y, x) in enumerate(zip(*leaves, strict=True)):
            y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + d, size), min(x + d, size)
            np.copyto(picture[y0:y1, x0:x1], number, where=_disk(d)[y0 - y : y1 - y, x0 - x : x1 - x])
    return found


@functools.cache
def _disk(diameter: int) -> np.ndarray:
    """The pixels of a square whose centre lies within the disk that fills it."""
    squares = (2 * np.arange(diameter) - diameter + 1) ** 2
    return squares[:, None] + squares <= diameter**2
