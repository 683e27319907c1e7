"""Images from overlapping patches on one or more threads, compiled by Numba.

Each thread takes bands of rows of the output, or tiles. The arithmetic is in fold_serial, in float32 or float64; other
dtypes are held in float32, some images at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import from_dtype, types

from sparsefast.kernels.numba.bands import CACHED_BYTES, band_rows, flat, readonly, run, threads
from sparsefast.kernels.numba.compiler import WORD, compile_range
from sparsefast.kernels.numba.fold_serial import fold_at_range, fold_range
from sparsefast.kernels.numba.layout import Worker, aligned
from sparsefast.kernels.numbers import computing, narrow, widen
from sparsefast.kernels.patch_grid import Grid, TileLists

__all__ = ["TILE", "fold", "fold_at"]

# 8 KiB of float32 a channel: stays in cache while patches are added.
TILE = (32, 64)

# Held in float32 at once, unless one image alone takes more.
WIDENED_BYTES = 64 * 2**20
# Numbers that are converted at once.
PIECE = 2**16
# A band of several channels is at least about this many rows: most patches that it meets then lie in it.
MIN_BAND = 16


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
    """Sum patches (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw), into out (B, C, H, W), both of `dtype`."""
    n_channels, height, width = out.shape[1:]
    real = np.dtype(computing(dtype))
    ys, xs = grid.y.starts(), grid.x.starts()
    w, ones = _or_ones(window, grid.patch, real), np.ones(len(xs), real)
    kernel = _fold_kernel(real)

    def sums(images: slice, numbers: np.ndarray, total: np.ndarray, n_threads: int) -> None:
        f = _or_empty(None if confidence is None else confidence[images], real)
        row_bytes = width * real.itemsize
        # As columns one channel is summed after the other, as rows they are together.
        channels = max(1, min(n_channels, CACHED_BYTES // (row_bytes * MIN_BAND))) if rows else max(1, n_channels)
        n_others = len(total) * -(-n_channels // channels)
        band = band_rows(height, row_bytes * (channels if rows else 1), n_others, n_threads)

        def make_worker() -> Worker:
            weights = aligned((band * width,), real)
            return lambda start, stop: kernel(
                start, stop, flat(numbers), ys, xs, grid.x.stride, *grid.patch, rows, w, f, _or_empty(inverse, real),
                normalize, band, channels, ones, weights, *total.shape[1:], flat(total),
            )  # fmt: skip

        run(make_worker, n_others * -(-height // band), numbers.nbytes + total.nbytes, n_threads)

    _by_images(sums, patches, dtype, out, n_threads)


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
    """Sum patches at corners (B or 1, L, 2), as `fold` does; `tiles` are those of TILE."""
    n_channels = out.shape[1]
    real = np.dtype(computing(dtype))
    w, ones = _or_ones(window, patch, real), np.ones(1, real)
    n_tiles = (len(tiles.starts) - 1) // max(1, len(out))
    kernel = _fold_at_kernel(real)

    def sums(images: slice, numbers: np.ndarray, total: np.ndarray, n_threads: int) -> None:
        f = _or_empty(None if confidence is None else confidence[images], real)
        own = corners[images] if len(corners) > 1 else corners
        starts = tiles.starts[images.start * n_tiles : images.stop * n_tiles + 1]

        def make_worker() -> Worker:
            weights = aligned(tiles.tile, real)
            return lambda start, stop: kernel(
                start, stop, flat(numbers), own, starts, tiles.patches, *tiles.tile, *patch, rows, w, f,
                normalize, ones, flat(weights), *total.shape[1:], flat(total),
            )  # fmt: skip

        run(make_worker, len(total) * n_tiles if n_channels else 0, numbers.nbytes + total.nbytes, n_threads)

    _by_images(sums, patches, dtype, out, n_threads)


def _by_images(
    sums: Callable[[slice, np.ndarray, np.ndarray, int], None],
    patches: np.ndarray,
    dtype: str,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Call sums(images, patches, out, n_threads) in the computing type, for all images, or for some at a time."""
    n_images = len(out)
    if not out.size:
        return
    if patches.dtype in (np.float32, np.float64):
        sums(slice(0, n_images), patches, out, threads(n_threads, patches.nbytes + out.nbytes))
        return
    image_bytes = 4 * (patches[0].size + out[0].size)
    at_once = max(1, min(n_images, WIDENED_BYTES // image_bytes))
    n_threads = threads(n_threads, at_once * image_bytes)
    for first in range(0, n_images, at_once):
        images = slice(first, min(first + at_once, n_images))
        numbers = np.empty(patches[images].shape, np.float32)
        total = np.empty(out[images].shape, np.float32)
        _convert(widen, patches[images], dtype, numbers, n_threads)
        sums(images, numbers, total, n_threads)
        _convert(narrow, total, dtype, out[images], n_threads)


def _convert(
    convert: Callable[[np.ndarray, str], np.ndarray], source: np.ndarray, dtype: str, target: np.ndarray, n_threads: int
) -> None:
    """target = convert(source, dtype), in pieces."""
    from_, to = flat(source), flat(target)

    def worker(start: int, stop: int) -> None:
        for first in range(start * PIECE, min(stop * PIECE, from_.size), PIECE):
            piece = slice(first, min(first + PIECE, stop * PIECE))
            to[piece] = convert(from_[piece], dtype)

    run(lambda: worker, -(-from_.size // PIECE), source.nbytes + target.nbytes, n_threads)


def _or_ones(window: np.ndarray | None, patch: tuple[int, int], real: Any) -> np.ndarray:
    return flat(np.ones(patch, real) if window is None else window)


def _or_empty(x: np.ndarray | None, real: Any) -> np.ndarray:
    return np.empty(0, real) if x is None else flat(x)


@functools.cache
def _fold_kernel(real: np.dtype) -> Callable[..., None]:
    """The kernel for float32 or float64: compiled once a machine, then read from the cache."""
    number = from_dtype(real)
    source, starts = readonly(number, 1), readonly(types.int64, 1)
    return compile_range(
        fold_range,
        [
            WORD, WORD, source, starts, starts, WORD, WORD, WORD, types.boolean, source, source, source, types.boolean,
            WORD, WORD, source, number[::1], WORD, WORD, WORD, number[::1],
        ],
    )  # fmt: skip


@functools.cache
def _fold_at_kernel(real: np.dtype) -> Callable[..., None]:
    number = from_dtype(real)
    source, starts = readonly(number, 1), readonly(types.int64, 1)
    return compile_range(
        fold_at_range,
        [
            WORD, WORD, source, readonly(types.int64, 3), starts, starts, WORD, WORD, WORD, WORD, types.boolean,
            source, source, types.boolean, source, number[::1], WORD, WORD, WORD, number[::1],
        ],
    )  # fmt: skip
