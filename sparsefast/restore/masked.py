"""Patches of which some pixels are missing, coded by those that are known, and averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsefast.ops.fold import fold
from sparsefast.ops.omp_masked import omp_masked
from sparsefast.ops.unfold import unfold
from sparsefast.prepared import PreparedDictionary

# Atoms of a patch, known pixels that it must have, and patches in memory at once.
_MAX_ATOMS = 8
_LEAST_KNOWN = 3
_PATCHES = 1 << 14
# How far an approximation may leave the range of a channel's known pixels in the patch, as a share of that range.
# Coefficients fitted to few pixels can be large, and one wild patch spoils the mean of all.
_SLACK = 0.3
# Root mean square residual of a known pixel at which a patch is explained, of a range of 1.
_ERROR = 3.0 / 255


def approximate_known(
    planes: np.ndarray,
    known: np.ndarray,
    dictionary: PreparedDictionary,
    patch_size: int,
    progress: Callable[[float], None],
) -> np.ndarray:
    """Planes with their missing pixels from the masked codes of all patches, more of those that know more and need
    fewer atoms.

    Parameters
    ----------
    planes : array of shape (C, H, W), float32
        Of a range of about 1. Where no patch around a missing pixel has enough known pixels it stays as it is.
    known : array of shape (H, W), bool
    dictionary : PreparedDictionary of patches (C, patch_size, patch_size) without their means
    progress : callable
        Called with the share of the patches that are done.

    Returns
    -------
    array of shape (C, H, W), float32
        Known pixels are as they were.
    """
    n_channels, height, width = planes.shape
    n_rows, n_columns = height - patch_size + 1, width - patch_size + 1
    total = np.zeros_like(planes)
    weight = np.zeros((1, height, width), np.float32)
    rows = max(1, _PATCHES // n_columns)
    for top in range(0, n_rows, rows):
        here = slice(top, min(height, top + rows + patch_size - 1))
        patches = unfold(planes[:, here], patch_size, layout="signals")
        mask = unfold(known[None, here].view(np.uint8), patch_size, layout="signals").view(bool)
        found, confidence = _coded(patches, mask, n_channels, dictionary)
        shape = (here.stop - top, width)
        total[:, here] += fold(found, shape, patch_size, layout="signals", confidence=confidence, normalize=False)
        ones = np.ones((len(found), patch_size**2), np.float32)
        weight[:, here] += fold(ones, shape, patch_size, layout="signals", confidence=confidence, normalize=False)
        progress(min(1.0, (top + rows) / n_rows))
    told = (weight > 0) & ~known
    return np.where(told, total / np.where(told, weight, 1), planes)


def _coded(
    patches: np.ndarray, mask: np.ndarray, n_channels: int, dictionary: PreparedDictionary
) -> tuple[np.ndarray, np.ndarray]:
    """Approximations (n, C * n_pixels) of patches by their known pixels (n, n_pixels), and their confidences (n,)."""
    x = patches.reshape(len(patches), n_channels, -1)
    seen = mask[:, None, :]
    n_known = mask.sum(axis=1)
    mean = np.where(seen, x, 0).sum(axis=2, keepdims=True) / np.maximum(n_known, 1)[:, None, None].astype(np.float32)
    rest = np.where(seen, x - mean, 0)
    tol = (_ERROR * np.sqrt(np.maximum(n_known * n_channels, 1))).astype(np.float32)
    signals = rest.reshape(patches.shape)
    observed = np.broadcast_to(seen, x.shape).reshape(patches.shape)
    code = omp_masked(signals, observed, dictionary, min(_MAX_ATOMS, dictionary.shape[0]), tol=tol)
    low, high = rest.min(axis=2, keepdims=True), rest.max(axis=2, keepdims=True)  # around 0, which is the mean
    slack = _SLACK * (high - low)
    found = np.clip(code.decode(dictionary).reshape(x.shape), low - slack, high + slack) + mean
    confidence = np.where(n_known >= _LEAST_KNOWN, n_known / (1 + code.counts), 0)
    return found.reshape(patches.shape), confidence.astype(np.float32)
