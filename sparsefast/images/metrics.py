"""How much two pictures differ."""

from __future__ import annotations

import math

import numpy as np

# Of Wang et al.: a Gaussian window of this deviation, cut at 3.5 of them, and the two small constants.
SIGMA = 1.5
RADIUS = 5
K1, K2 = 0.01, 0.03
# Rows of a picture whose maps are in memory at once.
BAND = 256


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared error of two arrays of equal shape and any real dtype, in float64.

    Raises
    ------
    ValueError
        If the shapes differ, or there is no pixel.
    """
    _check("mse", a, b)
    # By rows, so that pictures of any size need little memory.
    sums = [float(((a[y : y + BAND].astype(np.float64) - b[y : y + BAND]) ** 2).sum()) for y in range(0, len(a), BAND)]
    return math.fsum(sums) / a.size


def psnr(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range² / mse), over all pixels and channels.

    Parameters
    ----------
    a, b : array of equal shape, any real dtype
    data_range : float
        White less black: 255 for uint8, 65535 for uint16, 1 for pictures from 0 to 1.

    Returns
    -------
    float
        Infinite if the pictures are equal.

    Raises
    ------
    ValueError
        If the shapes differ, there is no pixel, or data_range is not positive.
    """
    _check("psnr", a, b, data_range)
    error = mse(a, b)
    return math.inf if error == 0 else 20 * math.log10(data_range) - 10 * math.log10(error)


def ssim(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """Mean structural similarity, over all places where the whole window fits, and over the channels.

    A Gaussian window of 11 x 11 pixels, sigma 1.5, and the population covariance, in float64.

    Parameters
    ----------
    a, b : array of equal shape (H, W) or (H, W, C), any real dtype
        At least 11 x 11 pixels.
    data_range : float
        White less black, as for `psnr`.

    Raises
    ------
    ValueError
        If the shapes differ, a picture is smaller than the window, or data_range is not positive.

    Source: Z. Wang, A. Bovik, H. Sheikh and E. Simoncelli, Image quality assessment: from error visibility to
    structural similarity, IEEE Transactions on Image Processing 13 (2004), equation 13.
    """
    _check("ssim", a, b, data_range)
    window = 2 * RADIUS + 1
    if a.ndim not in (2, 3):
        raise ValueError(f"ssim: pictures of shape {a.shape} must be (H, W) or (H, W, C)")
    height, width = a.shape[:2]
    if min(height, width) < window:
        raise ValueError(
            f"ssim: pictures of {width} x {height} pixels are smaller than its window, {window} x {window}"
        )
    x, y = np.atleast_3d(a), np.atleast_3d(b)
    sums = [
        _ssim_sum(x[top : top + BAND + 2 * RADIUS, :, c], y[top : top + BAND + 2 * RADIUS, :, c], data_range)
        for c in range(x.shape[2])
        for top in range(0, height - 2 * RADIUS, BAND)
    ]
    return math.fsum(sums) / ((height - 2 * RADIUS) * (width - 2 * RADIUS) * x.shape[2])


def _ssim_sum(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """The sum of SSIM over the windows that fit into pictures (H, W)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(similarity.sum())


def _blurred(x: np.ndarray) -> np.ndarray:
    """The windowed means of x (H, W), where the window fits: (H - 2 RADIUS, W - 2 RADIUS)."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    weights /= weights.sum()
    height, width = x.shape[0] - 2 * RADIUS, x.shape[1] - 2 * RADIUS
    columns = sum(weight * x[i : i + height] for i, weight in enumerate(weights))
    return np.asarray(sum(weight * columns[:, i : i + width] for i, weight in enumerate(weights)))


def _check(who: str, a: np.ndarray, b: np.ndarray, data_range: float = 1.0) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{who}: shapes {a.shape} and {b.shape} differ")
    if a.size == 0:
        raise ValueError(f"{who}: pictures of shape {a.shape} hold no pixel")
    if not (math.isfinite(data_range) and data_range > 0):
        raise ValueError(f"{who}: data_range={data_range} must be positive")
