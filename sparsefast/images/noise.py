"""Noise on pictures: made, and measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Daubechies' high-pass filters of norm 1, by the pixels that a line must have: two vanishing moments see no ramp. The
# low-pass filter beside the first is the same, backwards and with alternating signs.
_DB2 = np.array([1 - math.sqrt(3), -(3 - math.sqrt(3)), 3 + math.sqrt(3), -(1 + math.sqrt(3))]) / (4 * math.sqrt(2))
_HAAR = np.array([1, -1]) / math.sqrt(2)
_SMOOTH = _DB2[::-1] * [-1, 1, -1, 1]
# White noise is as strong at the next scale as at the finest, and what a photograph shows about so much stronger: by
# medians of those for training in `photos` 1.8 to 6 times, the least where they hold a little noise.
_DECAY = 2.5
# Far beyond any picture, and far below where a float32 overflows.
MAX_SIGMA = 1e30
# The median of |z| for a standard normal z.
_MEDIAN_OF_NORMAL = 0.6744897501960817


def estimate_noise(image: np.ndarray) -> np.ndarray | float:
    """The standard deviation of white Gaussian noise in a picture, of each channel, robust to what the picture shows.

    The median magnitude of the finest diagonal wavelet coefficients (db2, at every position), over that of a standard
    normal number: edges and texture are few or small there. Where it is larger at the next scale, s₂ > s₁, the picture
    shows texture, whose share of the finest scale is taken off: σ² = s₁² - (s₂² - s₁²) / (2.5² - 1). A picture
    without noise gives 0, or a little more for its finest texture. Coefficients of saturated areas, which clipping has
    cleaned of noise, are left out.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C), any real dtype
        Of a picture of one row or one column the noise is estimated along it.

    Returns
    -------
    float, or array of shape (C,) float64
        On the scale of the data: 0 to 255 for uint8. 0 for flat or wholly saturated channels; NaN for a single pixel,
        of which nothing can be told.

    Raises
    ------
    ValueError
        If the shape is another, there is no pixel, or not all are finite.

    Source: D. Donoho and I. Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81 (1994).
    """
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"estimate_noise: image of shape {image.shape} must be (H, W) or (H, W, C) and hold pixels")
    if image.ndim == 2:
        return _sigma(image)
    return np.array([_sigma(image[:, :, channel]) for channel in range(image.shape[2])])


def _sigma(channel: np.ndarray) -> float:
    # float32 tells the steps of 16-bit pixels apart, at half the memory.
    exact = channel.dtype.itemsize <= 2 or channel.dtype == np.float32
    x = channel.astype(np.float32 if exact else np.float64, copy=False)
    low, high = float(x.min()), float(x.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("estimate_noise: image has values that are not finite")
    if x.size == 1:
        return math.nan
    if ((x == low) | (x == high)).all():
        return 0.0
    lowest: Any = x
    highest: Any = x
    detail: Any = x
    smooth: Any = x
    taps = {axis: _DB2 if x.shape[axis] >= len(_DB2) else _HAAR for axis in (0, 1) if x.shape[axis] > 1}
    for axis, filter_ in taps.items():
        detail = _along(axis, filter_, detail)
        lowest = _extreme(axis, len(filter_), lowest, np.minimum)
        highest = _extreme(axis, len(filter_), highest, np.maximum)
    finest = _deviation(detail, lowest, highest, low, high)
    if min(x.shape) < 3 * len(_DB2) - 2:
        return finest
    for axis in (0, 1):
        smooth = _along(axis, _SMOOTH, smooth)
    for axis in (0, 1):
        smooth = _along(axis, _DB2, smooth, 2)
        lowest = _extreme(axis, len(_DB2), lowest, np.minimum, 2)
        highest = _extreme(axis, len(_DB2), highest, np.maximum, 2)
    next_ = _deviation(smooth, lowest, highest, low, high)
    return math.sqrt(max(0.0, finest**2 - max(0.0, next_**2 - finest**2) / (_DECAY**2 - 1)))


def _deviation(detail: np.ndarray, lowest: np.ndarray, highest: np.ndarray, low: float, high: float) -> float:
    """What the median of the coefficients that no saturation has touched says."""
    told = (lowest < highest) | ((lowest > low) & (highest < high))
    magnitudes = np.abs(detail[told])
    return float(np.median(magnitudes)) / _MEDIAN_OF_NORMAL if magnitudes.size else 0.0


def _windows(axis: int, n_taps: int, x: np.ndarray, step: int) -> list[np.ndarray]:
    """The views of x shifted by 0 to n_taps - 1 steps along an axis, as far as all of them go."""
    count = x.shape[axis] - (n_taps - 1) * step
    lines = x if axis == 0 else x.T
    views = [lines[shift : shift + count] for shift in range(0, n_taps * step, step)]
    return views if axis == 0 else [view.T for view in views]


def _along(axis: int, taps: np.ndarray, x: np.ndarray, step: int = 1) -> np.ndarray:
    views = _windows(axis, len(taps), x, step)
    total = views[0] * x.dtype.type(taps[0])
    for tap, view in zip(taps[1:], views[1:], strict=True):
        total += view * x.dtype.type(tap)
    return total


def _extreme(axis: int, n_taps: int, x: np.ndarray, choose: Callable[..., np.ndarray], step: int = 1) -> np.ndarray:
    views = _windows(axis, n_taps, x, step)
    total = views[0]
    for view in views[1:]:
        total = choose(total, view)
    return total


def add_noise(
    image: np.ndarray, sigma: ArrayLike, seed: int | np.random.Generator | None = None, *, clip: bool = True
) -> np.ndarray:
    """A picture with white Gaussian noise added.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C), uint8, uint16 or floating
    sigma : float, or array of shape (C,)
        The standard deviation, on the scale of the data: 0 to 255 for uint8, 0 to 65535 for uint16.
    seed : int, numpy.random.Generator or None
        The same seed gives the same noise; None gives other noise each time.
    clip : bool
        Hold the result to the range of the dtype, or to 0 to 1 for floating pixels, as a file does. The noise of
        clipped pixels is less than sigma.

    Returns
    -------
    array of the shape of the image
        Of its dtype, integers rounded to the nearest; float32 and not rounded for integers that are not clipped.

    Raises
    ------
    TypeError
        If the dtype is another.
    ValueError
        If sigma is negative, above 1e30, not a number or of another shape.
    """
    deviation = np.asarray(sigma, np.float64)
    if image.ndim not in (2, 3):
        raise ValueError(f"add_noise: image of shape {image.shape} must be (H, W) or (H, W, C)")
    if deviation.shape not in ((), image.shape[2:]):
        raise ValueError(f"add_noise: sigma of shape {deviation.shape} must be a number or {image.shape[2:]}")
    if not ((deviation >= 0) & (deviation <= MAX_SIGMA)).all():
        raise ValueError(f"add_noise: sigma={deviation} must be 0 to {MAX_SIGMA:g}")
    integer = image.dtype in (np.uint8, np.uint16)
    if not integer and not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"add_noise: image of dtype {image.dtype} must be uint8, uint16 or floating")
    kind = np.float64 if image.dtype == np.float64 else np.float32
    noisy = np.random.default_rng(seed).standard_normal(image.shape, kind)
    noisy *= deviation.astype(kind)
    noisy += image
    if clip:
        np.clip(noisy, 0, np.iinfo(image.dtype).max if integer else 1, out=noisy)
    if not integer:
        return noisy.astype(image.dtype, copy=False)
    return np.rint(noisy).astype(image.dtype) if clip else noisy
