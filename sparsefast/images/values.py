"""Pixels as numbers from 0 to 1, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from sparsefast.images.picture import FULL_SCALE


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Pixels of any picture on the scale from 0 to 1; `from_float` gives back the same integers.

    Parameters
    ----------
    pixels : array of any shape
        uint8 (0 to 255), uint16 (0 to 65535), bool, or floating and on this scale already.

    Returns
    -------
    array of the same shape, float32

    Raises
    ------
    TypeError
        If the dtype is another, whose scale is not known.
    """
    if pixels.dtype in FULL_SCALE:
        # A division: the product with a rounded 1/255 would not take 255 to 1.
        return pixels.astype(np.float32) / np.float32(FULL_SCALE[pixels.dtype])
    if pixels.dtype == bool or np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32)
    raise TypeError(f"to_float: pixels of dtype {pixels.dtype} must be uint8, uint16, bool or floating")


def from_float(x: np.ndarray, dtype: DTypeLike = np.uint8) -> np.ndarray:
    """Numbers on the scale from 0 to 1 as pixels: rounded to the nearest, and held to the range.

    Parameters
    ----------
    x : array of any shape, floating
        What lies outside of 0 to 1 becomes 0 or 1, and NaN becomes 0.
    dtype : uint8, uint16 or float32

    Returns
    -------
    array of the same shape, of that dtype

    Raises
    ------
    TypeError
        If x is not floating, or dtype is another.
    """
    kind = np.dtype(dtype)
    if kind not in FULL_SCALE:
        raise TypeError(f"from_float: dtype={kind} must be uint8, uint16 or float32")
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(f"from_float: x of dtype {x.dtype} must be floating")
    # fmax gives the other argument where one is NaN. A float16 cannot count to 65535.
    scaled = np.fmin(np.fmax(x.astype(np.result_type(x.dtype, np.float32), copy=False), 0), 1)
    if kind == np.float32:
        return scaled.astype(np.float32, copy=False)
    return np.rint(scaled * scaled.dtype.type(FULL_SCALE[kind])).astype(kind)
