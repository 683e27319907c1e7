"""Gaussian random fields with the power spectrum 1 / f^alpha, that of photographs where alpha is about 2
(D. J. Field, Relations between the statistics of natural images and the response properties of cortical cells, JOSA A
1987). They have the spectrum and nothing else: no edges, no sparse codes."""

from __future__ import annotations

import functools

import numpy as np

from sparsefast.data.seeds import FIELD, normals
from sparsefast.data.synthetic.colours import rgb

# Standard deviations of luma and of the colour differences.
LUMA, CHROMA = 0.18, 0.05


def gaussian_fields(seeds: np.ndarray, size: int, alpha: float) -> np.ndarray:
    """One picture for each seed: (B, 3, size, size), float64, around 0.5, not held to 0 to 1."""
    white = normals(seeds, FIELD, 3 * size * size).reshape(-1, 3, size, size)
    gain = _gain(size, alpha)
    # One picture at a time, so that its rounding does not depend on how many others there are.
    fields = np.stack([np.fft.irfft2(np.fft.rfft2(noise) * gain, s=(size, size)) for noise in white])
    return rgb(0.5 + LUMA * fields[:, 0], CHROMA * fields[:, 1], CHROMA * fields[:, 2], axis=1)


@functools.lru_cache(maxsize=8)
def _gain(size: int, alpha: float) -> np.ndarray:
    """What white noise is multiplied with, for fields of mean 0 and variance 1: (size, size // 2 + 1)."""
    squares = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.fftfreq(size) ** 2
    squares[0, 0] = np.inf
    power = squares ** (-alpha / 2)
    power[0, 0] = 0  # which an alpha of 0 would leave
    return np.sqrt(power / max(power.mean(), np.finfo(float).tiny))[:, : size // 2 + 1]
