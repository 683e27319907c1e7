"""Patches out of images in CUDA (csrc/cuda/unfold.cu)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import extension_of
from sparsefast.kernels.cuda.memory import describe, queue_of
from sparsefast.kernels.patch_grid import Grid, sizes_alone

__all__ = ["unfold", "unfold_at"]


def unfold(images: Any, grid: Grid, rows: bool, out: Any, n_threads: int) -> None:
    """Copy the patches of images (B, C, H, W) to out: (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw)."""
    extension_of(images).cuda_unfold(describe(images), grid, None, rows, describe(out), *queue_of(images))


def unfold_at(images: Any, corners: Any, patch: tuple[int, int], rows: bool, out: Any, n_threads: int) -> None:
    """Copy the patches at corners (B or 1, L, 2) to out, as `unfold` does."""
    grid = sizes_alone(images.shape[2:], patch)
    extension_of(images).cuda_unfold(describe(images), grid, describe(corners), rows, describe(out), *queue_of(images))
