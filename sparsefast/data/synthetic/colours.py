"""Luma and colour difference as RGB; random colours."""

from __future__ import annotations

import numpy as np

from sparsefast.data.seeds import COLOUR, uniforms

# Of the colour differences of a random colour, on either side of grey: less colourful than light and dark.
CHROMA = 0.16


def rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, axis: int) -> np.ndarray:
    """Y'CbCr of ITU-R BT.601 (differences from -0.5 to 0.5) as RGB on a new axis, not held to 0 to 1."""
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=axis)


def random_colours(seeds: np.ndarray, n: int) -> np.ndarray:
    """n colours for each seed, of uniform luma: (B, n, 3), RGB from 0 to 1."""
    y, cb, cr = np.moveaxis(uniforms(seeds, COLOUR, 3 * n).reshape(-1, n, 3), 2, 0)
    return rgb(y, CHROMA * (2 * cb - 1), CHROMA * (2 * cr - 1), axis=2).clip(0, 1)
