"""Patches out of images in C++ (csrc/cpu/patches/unfold.hpp)."""

from __future__ import annotations

import numpy as np

from sparsefast.kernels.cpu.coders import extension
from sparsefast.kernels.patch_grid import Grid, sizes_alone

__all__ = ["unfold", "unfold_at"]


def unfold(images: np.ndarray, grid: Grid, rows: bool, out: np.ndarray, n_threads: int) -> None:
    """Copy the patches of a grid out of images (B, C, H, W) into out, (B, L, F) with `rows`, else (B, F, L)."""
    extension.unfold(images, grid, None, rows, out, n_threads)


def unfold_at(
    images: np.ndarray, corners: np.ndarray, patch: tuple[int, int], rows: bool, out: np.ndarray, n_threads: int
) -> None:
    """The same for patches that begin at corners (B or 1, L, 2)."""
    extension.unfold(images, sizes_alone(images.shape[2:], patch), corners, rows, out, n_threads)
