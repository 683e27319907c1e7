"""The means of patches, which all contenders code in the same way: quantised, and predicted from their neighbours.

A mean becomes m = round(mean / step), and what is coded is m less the median edge detector's prediction from those on
the left, above, and above on the left (M. Weinberger, G. Seroussi, G. Sapiro, "The LOCO-I lossless image compression
algorithm", IEEE Trans. Image Processing 9, 2000).
"""

from __future__ import annotations

import numpy as np

from sparsefast.bench.laser.entropy import Stream

PEAK = 255.0


def encode_means(means: np.ndarray, step: float, peak: float = PEAK) -> Stream:
    """The symbols of means (rows, columns): neither they nor their differences are larger than `peak`."""
    levels = np.rint(means / step).astype(np.int64)
    padded = np.pad(levels, ((1, 0), (1, 0)))
    most = reach(step, peak)
    error = levels - _predict(padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1])
    return Stream((error + most).reshape(-1), 2 * most + 1)


def decode_means(stream: Stream, shape: tuple[int, int], step: float, peak: float = PEAK) -> np.ndarray:
    """The means (rows, columns) that the symbols stand for: diagonal by diagonal, whose neighbours are known."""
    height, width = shape
    errors = stream.symbols.reshape(shape) - reach(step, peak)
    padded = np.zeros((height + 1, width + 1), np.int64)
    for diagonal in range(height + width - 1):
        i = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        j = diagonal - i
        padded[i + 1, j + 1] = errors[i, j] + _predict(padded[i + 1, j], padded[i, j + 1], padded[i, j])
    return padded[1:, 1:] * step


def reach(step: float, peak: float = PEAK) -> int:
    """The largest prediction error, in steps."""
    return int(np.ceil(peak / step)) + 1


def _predict(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    return np.clip(left + above - corner, np.minimum(left, above), np.maximum(left, above))
