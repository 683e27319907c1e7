"""Textures: sums of waves around one orientation and frequency, between two colours. Such sums are what Gabor noise
tends to (A. Lagae et al., Procedural noise using sparse Gabor convolution, SIGGRAPH 2009)."""

from __future__ import annotations

import numpy as np

from sparsefast.data.seeds import SHAPE, uniforms
from sparsefast.data.synthetic.colours import random_colours

N_WAVES = 16
# Cycles a pixel.
LOWEST, HIGHEST = 1 / 32, 1 / 4
# Of the sum, in parts of the way from one colour to the other.
DEVIATION = 0.25


def textures(seeds: np.ndarray, size: int) -> np.ndarray:
    """One picture for each seed: (B, 3, size, size), float64, from 0 to 1."""
    u = uniforms(seeds, SHAPE, 3 + 3 * N_WAVES)
    angle, frequency, spread = np.pi * u[:, :1], LOWEST * (HIGHEST / LOWEST) ** u[:, 1:2], u[:, 2:3]
    own = u[:, 3:].reshape(-1, 3, N_WAVES)
    # From parallel waves to ones of all directions.
    angles = angle + np.pi * spread * (own[:, 0] - 0.5)
    frequencies = 2 * np.pi * frequency * (1 + 0.5 * spread * (own[:, 1] - 0.5))
    steps = np.arange(size)
    # sin(y + x) of all pixels from the sines and cosines of rows and columns.
    rows = (frequencies * np.sin(angles))[:, :, None] * steps + 2 * np.pi * own[:, 2, :, None]
    columns = (frequencies * np.cos(angles))[:, :, None] * steps
    row_sin, row_cos, column_sin, column_cos = np.sin(rows), np.cos(rows), np.sin(columns), np.cos(columns)
    total = np.zeros((len(seeds), size, size))
    # In this order whatever the number of pictures, which a matrix product does not promise.
    for wave in range(N_WAVES):
        total += row_sin[:, wave, :, None] * column_cos[:, wave, None]
        total += row_cos[:, wave, :, None] * column_sin[:, wave, None]
    share = (0.5 + DEVIATION * total / np.sqrt(N_WAVES / 2)).clip(0, 1)[:, None]
    first, second = np.moveaxis(random_colours(seeds, 2)[..., None, None], 1, 0)
    return first + share * (second - first)
