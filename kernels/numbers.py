"""The numbers that NumPy arrays hold: dtypes that kernels take, some of which NumPy lacks or rounds in its own way.

NumPy has no bfloat16: its bits lie in int16. Numbers are computed with in float64 where the dtype is "float64", else in
float32, which holds all of the others exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BFLOAT16_NAN = 0x7FC0
STORED: dict[str, Any] = {
    "uint8": np.uint8, "float16": np.float16, "bfloat16": np.int16, "float32": np.float32, "float64": np.float64
}  # fmt: skip
"""What NumPy arrays of a dtype are made of."""


def computing(dtype: str) -> Any:
    """The NumPy dtype in which sums of numbers of `dtype` run."""
    return np.float64 if dtype == "float64" else np.float32


def widen(raw: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers of an array, exactly, in the computing dtype; the array itself where that is its own."""
    if dtype == "bfloat16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.astype(computing(dtype), copy=False)


def narrow(x: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers in float32 or float64, rounded once to `dtype`: to nearest, ties to even.

    Past its range a number becomes infinity in a floating dtype, and 0 or 255 in uint8, where NaN becomes 0.
    """
    if dtype == "uint8":
        return np.clip(np.rint(np.where(np.isnan(x), 0, x)), 0, 255).astype(np.uint8)
    if dtype == "bfloat16":
        return _bfloat16(x)
    with np.errstate(over="ignore", under="ignore"):
        return x.astype(STORED[dtype], copy=False)


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """The upper half of the float32, rounded by what the lower half holds."""
    bits = (x if x.dtype == np.float32 else _odd_float32(x)).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    with np.errstate(over="ignore"):  # of NaN's bits, which are not used
        rounded = (bits + np.uint32(0x7FFF) + even) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint32(BFLOAT16_NAN), rounded).astype(np.uint16).view(np.int16)


def _odd_float32(x: np.ndarray) -> np.ndarray:
    """float64 cut off to float32, with the last bit set where that lost something: rounded again, the result is that of
    one rounding."""
    with np.errstate(over="ignore", under="ignore"):
        near = x.astype(np.float32)
        cut = np.where(np.abs(near) > np.abs(x), np.nextafter(near, np.float32(0)), near)
    return (cut.view(np.uint32) | (cut != x)).view(np.float32)
