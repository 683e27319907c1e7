"""Patches into images in C++ (csrc/cpu/patches/fold.hpp)."""

from __future__ import annotations

import numpy as np

from sparsefast.kernels.cpu.coders import extension
from sparsefast.kernels.patch_grid import Grid, TileLists, sizes_alone

__all__ = ["TILE", "fold", "fold_at"]

# The sums of a tile stay in the second-level cache while the patches that touch it are added. In columns a line of the
# cache holds pixels of patches of several tiles, so that smaller ones would read more.
TILE = (128, 128)


def fold(
    patches: np.ndarray,
    grid: Grid,
    rows: bool,
    dtype: str,
    window: np.ndarray | None,
    confidence: np.ndarray | None,
    inverse: np.ndarray | None,
    normalize: bool,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Sum the patches of a grid, (B, L, F) with `rows`, else (B, F, L), into out (B, C, H, W)."""
    extension.fold(patches, grid, None, None, rows, dtype, window, confidence, inverse, normalize, out, n_threads)


def fold_at(
    patches: np.ndarray,
    corners: np.ndarray,
    tiles: TileLists,
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    window: np.ndarray | None,
    confidence: np.ndarray | None,
    normalize: bool,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """The same for patches that begin at corners (B or 1, L, 2), listed for each tile of the output."""
    grid = sizes_alone(out.shape[2:], patch)
    extension.fold(patches, grid, corners, tiles, rows, dtype, window, confidence, None, normalize, out, n_threads)
