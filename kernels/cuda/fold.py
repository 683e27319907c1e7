"""Patches into images in CUDA (csrc/cuda/fold.cu and fold_at.cu)."""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import extension_of
from sparsefast.kernels.cuda.memory import describe, queue_of
from sparsefast.kernels.patch_grid import Grid, TileLists, sizes_alone

__all__ = ["TILE", "fold", "fold_at"]

# A block of threads, of which each has a pixel (kCudaFoldTileHeight and kCudaFoldTileWidth in patches_cuda.hpp).
TILE = (16, 16)


def fold(
    patches: Any,
    grid: Grid,
    rows: bool,
    dtype: str,
    window: Any,
    confidence: Any,
    inverse: Any,
    normalize: bool,
    out: Any,
    n_threads: int,
) -> None:
    """Sum patches (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw), into out (B, C, H, W), both of `dtype`."""
    extension_of(patches).cuda_fold(
        describe(patches),
        grid,
        None,
        None,
        rows,
        dtype,
        _described(window),
        _described(confidence),
        _described(inverse),
        normalize,
        describe(out),
        *queue_of(patches),
    )


def fold_at(
    patches: Any,
    corners: Any,
    tiles: TileLists,
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    window: Any,
    confidence: Any,
    normalize: bool,
    out: Any,
    n_threads: int,
) -> None:
    """Sum patches at corners (B or 1, L, 2), listed for each tile of the output, as `fold` does."""
    extension_of(patches).cuda_fold(
        describe(patches),
        sizes_alone(out.shape[2:], patch),
        describe(corners),
        (tiles.tile, describe(tiles.starts), describe(tiles.patches)),
        rows,
        dtype,
        _described(window),
        _described(confidence),
        None,
        normalize,
        describe(out),
        *queue_of(patches),
    )


def _described(x: Any) -> Any:
    return None if x is None else describe(x)
