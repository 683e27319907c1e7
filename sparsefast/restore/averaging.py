"""Patches that are coded one by one, and averaged where they overlap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsefast.ops.fold import fold
from sparsefast.ops.omp import omp
from sparsefast.ops.patch_places import coverage_map
from sparsefast.ops.unfold import unfold
from sparsefast.prepared import PreparedDictionary
from sparsefast.restore.learning import MAX_ATOMS

# Patches in memory at once.
_PATCHES = 1 << 15


def code_and_average(
    planes: np.ndarray,
    dictionary: PreparedDictionary,
    patch_size: int,
    tol: float,
    blend: float,
    progress: Callable[[float], None],
) -> np.ndarray:
    """The mean of a picture and the sparse approximations of all its overlapping patches.

        x̂ = (λ I + Σ RᵀR)⁻¹ (λ y + Σ Rᵀ D γ),   γ = argmin ||γ||₀ with ||R y - D γ|| <= tol

    where R takes a patch out of the picture.

    Parameters
    ----------
    planes : array of shape (C, H, W), float32
    dictionary : PreparedDictionary of patches (C, patch_size, patch_size)
    tol : float
        In the units of the planes.
    blend : float
        λ: what the picture itself counts, a patch counting 1.
    progress : callable
        Called with the share of the patches that are done.

    Source: M. Elad, M. Aharon, Image denoising via sparse and redundant representations over learned dictionaries,
    IEEE Trans. Image Processing 15, 2006, equation 7.
    """
    _, height, width = planes.shape
    n_rows, n_columns = height - patch_size + 1, width - patch_size + 1
    total = np.zeros_like(planes)
    rows = max(1, _PATCHES // n_columns)
    most = min(MAX_ATOMS, dictionary.shape[0])
    for top in range(0, n_rows, rows):
        band = planes[:, top : top + rows + patch_size - 1]
        signals = unfold(band, patch_size, layout="signals")
        patches = omp(signals, dictionary, most, tol=tol).decode(dictionary)
        total[:, top : top + band.shape[1]] += fold(
            patches, band.shape[1:], patch_size, layout="signals", normalize=False
        )
        progress(min(1.0, (top + rows) / n_rows))
    total += np.float32(blend) * planes
    return total / (coverage_map((height, width), patch_size).astype(np.float32) + np.float32(blend))
