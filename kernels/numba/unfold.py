"""Patches of images on one or more threads, compiled by Numba.

Each thread takes bands of rows of the grid, or blocks of patches. What is copied, and where from, is in unfold_serial.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import from_dtype, types

from sparsefast.kernels.numba.bands import band_rows, flat, readonly, run, threads
from sparsefast.kernels.numba.compiler import WORD, compile_range
from sparsefast.kernels.numba.layout import Worker, aligned
from sparsefast.kernels.numba.unfold_serial import BLOCK, unfold_at_range, unfold_range
from sparsefast.kernels.patch_grid import Grid

__all__ = ["unfold", "unfold_at"]


def unfold(images: np.ndarray, grid: Grid, rows: bool, out: np.ndarray, n_threads: int) -> None:
    """Copy the patches of images (B, C, H, W) to out: (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw)."""
    n_images, n_channels = images.shape[:2]
    ys, xs = grid.y.starts(), grid.x.starts()
    ph, pw = grid.patch
    n_threads = threads(n_threads, out.nbytes)
    n_apart, n_together = (n_images, n_channels) if rows else (n_images * n_channels, 1)
    width = int(xs[-1]) + pw
    row_bytes = min(grid.y.stride, ph) * width * n_together * images.itemsize
    # Where patches leave rows of the image between them out, each row of the grid is loaded by itself.
    band = band_rows(len(ys), row_bytes, n_apart, n_threads) if grid.y.stride <= ph else 1
    n_loaded = max(int(ys[min(o + band, len(ys)) - 1] - ys[o]) + ph for o in range(0, len(ys), band))
    kernel = _unfold_kernel(images.dtype)

    def make_worker() -> Worker:
        buffer = aligned((n_together * n_loaded * width,), images.dtype)
        return lambda start, stop: kernel(
            start, stop, images, ys, xs, grid.x.stride, ph, pw, rows, band, buffer, flat(out)
        )

    run(make_worker, n_apart * -(-len(ys) // band) if out.size else 0, out.nbytes, n_threads)


def unfold_at(
    images: np.ndarray, corners: np.ndarray, patch: tuple[int, int], rows: bool, out: np.ndarray, n_threads: int
) -> None:
    """Copy the patches at corners (B or 1, L, 2) to out, as `unfold` does."""
    n_patches = corners.shape[1]
    kernel = _unfold_at_kernel(images.dtype)

    def worker(start: int, stop: int) -> None:
        kernel(start, stop, images, corners, n_patches, *patch, rows, flat(out))

    n_items = len(images) * -(-n_patches // BLOCK) if out.size else 0
    run(lambda: worker, n_items, out.nbytes, threads(n_threads, out.nbytes))


@functools.cache
def _unfold_kernel(dtype: np.dtype) -> Callable[..., None]:
    """The kernel for this dtype and for images of any strides: compiled once a machine, then read from the cache."""
    bits = from_dtype(dtype)
    starts = readonly(types.int64, 1)
    return compile_range(
        unfold_range,
        [
            WORD, WORD, readonly(bits, 4, "A"), starts, starts, WORD, WORD, WORD, types.boolean, WORD,
            bits[::1], bits[::1],
        ],
    )  # fmt: skip


@functools.cache
def _unfold_at_kernel(dtype: np.dtype) -> Callable[..., None]:
    bits = from_dtype(dtype)
    return compile_range(
        unfold_at_range,
        [
            WORD, WORD, readonly(bits, 4, "A"), readonly(types.int64, 3), WORD, WORD, WORD, types.boolean, bits[::1],
        ],
    )  # fmt: skip
