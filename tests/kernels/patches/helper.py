"""One way to call unfold and fold of any backend, with outputs poisoned first; and both once more, by other means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from sparsefast.kernels import patch_grid
from sparsefast.kernels.numbers import STORED, computing, narrow, widen
from sparsefast.kernels.patch_grid import Grid, TileLists
from tests.data import photograph
from tests.kernels.helper import DEVICE, ORDERS, Kernel, kernels, on_device

DTYPES = tuple(STORED)
# A number of the dtype differs from what it was rounded from by at most half of this part of it, or of `SMALLEST`.
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}

SIZES = ((8, 8), (5, 7), (1, 1), (33, 50))
# Patch and stride: overlapping, tiling, leaving pixels out, of one pixel, and with a stride in each direction.
STEPS = (((3, 3), (1, 1)), ((4, 2), (4, 2)), ((2, 3), (3, 5)), ((1, 1), (1, 1)), ((5, 4), (2, 3)))

all_unfolds = pytest.mark.parametrize("kernel", kernels("unfold"), ids=str)
all_folds = pytest.mark.parametrize("kernel", kernels("fold"), ids=str)
# Those that know of threads.
fast_unfolds = pytest.mark.parametrize("kernel", [k for k in kernels("unfold") if k.backend != "reference"], ids=str)
fast_folds = pytest.mark.parametrize("kernel", [k for k in kernels("fold") if k.backend != "reference"], ids=str)
both_layouts = pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows"])
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def grids() -> list[Grid]:
    """Every size with every step and border, and patches of the image's own size; larger ones with "pad" alone."""
    found = []
    for size in SIZES:
        for patch, stride in (*STEPS, (size, (1, 1)), ((size[0], 1), (2, 1))):
            for border in patch_grid.BORDERS:
                if border == "pad" or (patch[0] <= size[0] and patch[1] <= size[1]):
                    found.append(patch_grid.grid(size, patch, stride, border))
    return list(dict.fromkeys(found))


def few_grids() -> list[Grid]:
    """Of the same kinds, some."""
    return [
        patch_grid.grid((5, 7), (3, 3), (1, 1), "drop"),
        patch_grid.grid((8, 8), (3, 3), (2, 3), "clamp_last"),
        patch_grid.grid((13, 9), (5, 4), (2, 3), "pad"),
        patch_grid.grid((8, 8), (2, 3), (3, 5), "drop"),
        patch_grid.grid((5, 7), (5, 7), (1, 1), "clamp_last"),
        patch_grid.grid((2, 3), (4, 5), (1, 2), "pad"),
    ]


def grids_for(kernel: Kernel) -> list[Grid]:
    return few_grids() if interpreted(kernel) else grids()


def interpreted(kernel: Kernel) -> bool:
    """Whether it runs under Triton's interpreter, where a step takes about a millisecond."""
    return kernel.backend == "triton" and kernel.variant != DEVICE


def emulated(kernel: Kernel) -> bool:
    """Whether it is a GPU's kernel without a GPU."""
    return kernel.variant in ORDERS or interpreted(kernel)


def bits(shape: tuple[int, ...], itemsize: int, seed: int = 0) -> np.ndarray:
    """Elements of any bits at all, NaNs of every kind among them."""
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, itemsize), np.uint8)
    return raw.view(np.uint8 if itemsize == 1 else f"i{itemsize}").reshape(shape)


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Random numbers as arrays of that dtype hold them."""
    rng = np.random.default_rng(seed)
    return narrow(rng.uniform(0, 255, shape) if dtype == "uint8" else rng.standard_normal(shape), dtype)


def photo(height: int, width: int) -> np.ndarray:
    """A part of a photograph, (1, 3, height, width) uint8."""
    part = photograph()[100 : 100 + height, 200 : 200 + width]
    return np.ascontiguousarray(np.rint(255 * part).astype(np.uint8).transpose(2, 0, 1)[None])


def photo_for(kernel: Kernel) -> np.ndarray:
    return photo(21, 26) if emulated(kernel) or kernel.backend == "reference" else photo(63, 100)


def patches_shape(
    n_images: int, n_channels: int, n_patches: int, patch: tuple[int, int], rows: bool
) -> tuple[int, ...]:
    """The shape of patches in a layout."""
    size = n_channels * patch[0] * patch[1]
    return (n_images, n_patches, size) if rows else (n_images, size, n_patches)


def by_patch(patches: np.ndarray, n_channels: int, patch: tuple[int, int], rows: bool) -> np.ndarray:
    """Patches of either layout as (B, L, C, ph, pw)."""
    listed = patches if rows else patches.transpose(0, 2, 1)
    return listed.reshape(*listed.shape[:2], n_channels, *patch)


def unfold(kernel: Kernel, images: np.ndarray, grid: Grid, rows: bool, *, n_threads: int = 1) -> np.ndarray:
    shape = patches_shape(*images.shape[:2], grid.n_patches, grid.patch, rows)
    return _run(kernel, "unfold", [images, grid, rows], shape, images.dtype, "", n_threads)


def unfold_at(
    kernel: Kernel, images: np.ndarray, corners: np.ndarray, patch: tuple[int, int], rows: bool, *, n_threads: int = 1
) -> np.ndarray:
    shape = patches_shape(*images.shape[:2], corners.shape[1], patch, rows)
    return _run(kernel, "unfold_at", [images, corners, patch, rows], shape, images.dtype, "", n_threads)


def fold(
    kernel: Kernel,
    patches: np.ndarray,
    grid: Grid,
    rows: bool,
    dtype: str,
    *,
    window: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    inverse: np.ndarray | None = None,
    normalize: bool = False,
    n_threads: int = 1,
) -> np.ndarray:
    shape = (len(patches), _channels(patches, grid.patch, rows), *grid.image)
    arguments = [patches, grid, rows, dtype, *_weights(dtype, window, confidence, inverse), normalize]
    return _run(kernel, "fold", arguments, shape, patches.dtype, dtype, n_threads)


def fold_at(
    kernel: Kernel,
    patches: np.ndarray,
    corners: np.ndarray,
    size: tuple[int, int],
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    *,
    window: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    normalize: bool = False,
    n_threads: int = 1,
) -> np.ndarray:
    shape = (len(patches), _channels(patches, patch, rows), *size)
    tiles = tile_lists(corners, len(patches), size, patch, kernel.module.TILE)
    arguments = [patches, corners, tiles, patch, rows, dtype, *_weights(dtype, window, confidence), normalize]
    return _run(kernel, "fold_at", arguments, shape, patches.dtype, dtype, n_threads)


def tile_lists(
    corners: np.ndarray, n_images: int, size: tuple[int, int], patch: tuple[int, int], tile: tuple[int, int]
) -> TileLists:
    """Which patches touch which tile, looked up one by one."""
    starts, listed = [0], []
    for b in range(n_images):
        own = corners[b % len(corners)].tolist()
        for y in range(0, size[0], tile[0]):
            for x in range(0, size[1], tile[1]):
                y_end, x_end = min(y + tile[0], size[0]), min(x + tile[1], size[1])
                listed += [
                    n for n, (top, left) in enumerate(own) if y - patch[0] < top < y_end and x - patch[1] < left < x_end
                ]
                starts.append(len(listed))
    return TileLists(tile, np.array(starts, np.int64), np.array(listed, np.int64))


def gathered(images: np.ndarray, corners: np.ndarray, patch: tuple[int, int]) -> np.ndarray:
    """Patches (B, L, C, ph, pw) at corners (B or 1, L, 2), from windows of images with a frame of zeros."""
    (ph, pw), size = patch, images.shape[2:]
    framed = np.pad(images, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = sliding_window_view(framed, patch, axis=(2, 3))
    y, x = (np.clip(corners[..., k], -patch[k], size[k]) + patch[k] for k in (0, 1))
    return np.stack([windows[b][:, y[b % len(y)], x[b % len(x)]].swapaxes(0, 1) for b in range(len(images))])


def scattered(patches: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The sum (B, C, H, W) of patches (B, L, C, ph, pw) at corners (B or 1, L, 2) in float64, one by one."""
    n_images, _, n_channels, *patch = patches.shape
    out = np.zeros((n_images, n_channels, *size))
    for b in range(n_images):
        y, x = (np.clip(corners[b % len(corners), :, k], -patch[k], size[k]) for k in (0, 1))
        ys, xs = np.broadcast_arrays(
            y[:, None, None] + np.arange(patch[0])[:, None], x[:, None, None] + np.arange(patch[1])
        )
        inside = (ys >= 0) & (ys < size[0]) & (xs >= 0) & (xs < size[1])
        np.add.at(out[b], (slice(None), ys[inside], xs[inside]), patches[b].swapaxes(0, 1)[:, inside])
    return out


def check_fold(
    out: np.ndarray,
    patches: np.ndarray,
    corners: np.ndarray,
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    *,
    window: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    inverse: np.ndarray | None = None,
    normalize: bool = False,
) -> None:
    """That a fold is the weighted sum or mean, to rounding: that of each product and addition of the n patches of a
    pixel, in the computing type, and that of the result."""
    n_channels, *size = out.shape[1:]
    p = by_patch(widen(patches, dtype).astype(np.float64), n_channels, patch, rows)
    w = np.ones(p.shape)
    if window is not None:
        w = w * window.astype(computing(dtype))
    if confidence is not None:
        w = w * confidence.astype(computing(dtype))[:, :, None, None, None]
    eps = np.finfo(computing(dtype)).eps
    n = scattered(np.ones(p.shape), corners, size)
    expected = scattered(w * p, corners, size)
    error = (n + 3) * eps * scattered(np.abs(w * p), corners, size)
    if inverse is not None:
        expected = expected * inverse.astype(computing(dtype))
        error = error * np.abs(inverse) + 2 * eps * np.abs(expected)
    elif normalize:
        weight, parts = scattered(w, corners, size), scattered(np.abs(w), corners, size)
        safe = np.where(weight == 0, 1, weight)
        expected = np.where(weight == 0, 0, expected / safe)
        error = np.where(weight == 0, 0, (error + np.abs(expected) * (n + 3) * eps * parts) / np.abs(safe))
        error += 3 * eps * np.abs(expected)
    found = widen(out, dtype).astype(np.float64)
    if dtype == "uint8":
        expected = np.clip(expected, 0, 255)
        error = error + 0.5
    else:
        error = error + (EPS[dtype] * (np.abs(expected) + error) + SMALLEST[dtype]) / 2
    assert np.isfinite(found).all()
    assert (np.abs(found - expected) <= error).all(), np.abs(found - expected).max()


def _channels(patches: np.ndarray, patch: tuple[int, int], rows: bool) -> int:
    return patches.shape[2 if rows else 1] // (patch[0] * patch[1])


def _weights(dtype: str, *weights: np.ndarray | None) -> list[np.ndarray | None]:
    return [None if w is None else np.ascontiguousarray(w, computing(dtype)) for w in weights]


def _run(
    kernel: Kernel, function: str, arguments: list[Any], shape: tuple[int, ...], stored: Any, dtype: str, n_threads: int
) -> np.ndarray:
    """Call a function with an output of its own, poisoned, in the midst of bytes that must stay as they are."""
    kernel.choose()
    stored = np.dtype(stored)
    # NaN in every floating dtype; among uint8 nothing stands out, and 0xAB is as good as any.
    poison = 0xAB if stored == np.uint8 else 0xFF
    # An odd number of elements: no output is known to begin on a cache line.
    margin = 3 * stored.itemsize
    memory = np.full(int(np.prod(shape)) * stored.itemsize + 2 * margin, poison, np.uint8)
    out = memory[margin:-margin].view(stored).reshape(shape)
    there = placed(kernel, out, dtype)
    given = [placed(kernel, x, dtype if k == 0 else "") for k, x in enumerate(arguments)]
    getattr(kernel.module, function)(*given, there, n_threads)
    if kernel.variant == DEVICE:
        import torch

        out[...] = (there.view(torch.int16) if dtype == "bfloat16" else there).cpu().numpy()
    assert (memory[:margin] == poison).all() and (memory[-margin:] == poison).all()
    return out


def placed(kernel: Kernel, x: Any, dtype: str = "") -> Any:
    """An argument as the kernel takes it: on a GPU tensors of the same strides, where a tensor can have them."""
    if kernel.variant != DEVICE:
        return x
    if isinstance(x, TileLists):
        return TileLists(x.tile, placed(kernel, x.starts), placed(kernel, x.patches))
    if not isinstance(x, np.ndarray):
        return x
    tensor = on_device(x)
    if dtype != "bfloat16":
        return tensor
    import torch

    return tensor.view(torch.bfloat16)
