"""The CUDA kernels of the patches family on the emulated device, with outputs poisoned first; and what they compute,
one element at a time."""

from typing import Any

import numpy as np

from sparsefast.kernels import patch_grid
from sparsefast.kernels.numbers import STORED, computing, narrow

POISON = 77

# Image, patch, stride, channels: images as wide as each of the tiles, with a row or column more or less, patches larger
# than the image or apart from each other, channels in groups that are full, or not.
SIZES = [
    ((1, 1), (1, 1), (1, 1), 1),
    ((5, 7), (3, 2), (2, 3), 2),
    ((9, 8), (3, 3), (1, 1), 1),
    ((6, 17), (4, 4), (3, 3), 4),
    ((18, 33), (8, 8), (5, 4), 1),
    ((3, 130), (2, 5), (1, 3), 1),
    ((41, 6), (7, 3), (4, 1), 5),
    ((6, 5), (9, 8), (1, 2), 1),
    ((11, 13), (2, 3), (5, 7), 3),
]


def grids(image: Any, patch: Any, stride: Any) -> dict[str, patch_grid.Grid]:
    larger = patch[0] > image[0] or patch[1] > image[1]
    borders = ("pad",) if larger else patch_grid.BORDERS
    return {border: patch_grid.grid(image, patch, stride, border) for border in borders}


def some_corners(rng: Any, n_images: int, n: int, image: Any, patch: Any) -> np.ndarray:
    """Inside of the image and around it, with some as far outside as can be said."""
    low, high = -np.array(patch) - 1, np.array(image) + 2
    corners = rng.integers(low, high, (n_images, n, 2))
    extremes = np.iinfo(np.int64)
    corners[:, :4] = [[extremes.min, 0], [0, extremes.max], [extremes.max, extremes.min], [-patch[0] + 1, image[1] - 1]]
    return corners


def covered(corners: np.ndarray, b: int, image: Any, patch: Any) -> Any:
    """Every pixel of every patch that lies in the image: patch, row and column there, row and column in the image."""
    for n, (top, left) in enumerate(corners[b % len(corners)].tolist()):
        for i in range(patch[0]):
            for j in range(patch[1]):
                if 0 <= top + i < image[0] and 0 <= left + j < image[1]:
                    yield n, i, j, top + i, left + j


def true_patches(images: np.ndarray, corners: np.ndarray, patch: Any) -> np.ndarray:
    """(B, L, C, ph, pw), one element at a time."""
    out = np.zeros((images.shape[0], corners.shape[1], images.shape[1], *patch), images.dtype)
    for b in range(len(images)):
        for n, i, j, y, x in covered(corners, b, images.shape[2:], patch):
            out[b, n, :, i, j] = images[b, :, y, x]
    return out


def true_sums(
    patches: np.ndarray, corners: np.ndarray, image: Any, window: Any, confidence: Any
) -> tuple[np.ndarray, ...]:
    """Sums of patches (B, L, C, ph, pw), of their sizes and of weights, (B, C, H, W) and (B, 1, H, W), in float64."""
    n_images, _, n_channels, *patch = patches.shape
    total, sizes = np.zeros((2, n_images, n_channels, *image))
    weights = np.zeros((n_images, 1, *image))
    for b in range(n_images):
        for n, i, j, y, x in covered(corners, b, image, patch):
            weight = float(1 if window is None else window[i, j]) * float(1 if confidence is None else confidence[b, n])
            total[b, :, y, x] += weight * patches[b, n, :, i, j].astype(float)
            sizes[b, :, y, x] += abs(weight * patches[b, n, :, i, j].astype(float))
            weights[b, 0, y, x] += weight
    return total, sizes, weights


def laid_out(patches: np.ndarray, rows: bool) -> np.ndarray:
    """(B, L, C, ph, pw) as kernels take it."""
    by_patch = patches.reshape(*patches.shape[:2], -1)
    return np.ascontiguousarray(by_patch if rows else by_patch.transpose(0, 2, 1))


def poisoned(shape: Any, dtype: Any, offset: int = 0) -> np.ndarray:
    """`offset` elements behind where allocators begin arrays."""
    n = int(np.prod(shape))
    return np.full(n + offset, POISON, dtype)[offset:].reshape(shape)


def unfold(images: np.ndarray, grid: patch_grid.Grid, rows: bool, offset: int = 0) -> np.ndarray:
    from sparsefast.kernels.cuda import unfold as kernels

    n_features = images.shape[1] * grid.y.patch * grid.x.patch
    shape = (grid.n_patches, n_features) if rows else (n_features, grid.n_patches)
    out = poisoned((images.shape[0], *shape), images.dtype, offset)
    kernels.unfold(images, grid, rows, out, 1)
    return out


def unfold_at(images: np.ndarray, corners: np.ndarray, patch: Any, rows: bool) -> np.ndarray:
    from sparsefast.kernels.cuda import unfold as kernels

    n_features = images.shape[1] * patch[0] * patch[1]
    shape = (corners.shape[1], n_features) if rows else (n_features, corners.shape[1])
    out = poisoned((images.shape[0], *shape), images.dtype)
    kernels.unfold_at(images, corners, patch, rows, out, 1)
    return out


def tile_lists(corners: np.ndarray, n_images: int, image: Any, patch: Any) -> patch_grid.TileLists:
    """Which patches touch which tile, one pair at a time."""
    from sparsefast.kernels.cuda.fold import TILE

    starts, listed = [0], []
    for b in range(n_images):
        for top in range(0, image[0], TILE[0]):
            for left in range(0, image[1], TILE[1]):
                height, width = min(TILE[0], image[0] - top), min(TILE[1], image[1] - left)
                for n, (y, x) in enumerate(corners[b % len(corners)].tolist()):
                    if top - patch[0] < y < top + height and left - patch[1] < x < left + width:
                        listed.append(n)
                starts.append(len(listed))
    return patch_grid.TileLists(TILE, np.array(starts, np.int64), np.array(listed, np.int64))


def fold(patches: np.ndarray, grid: patch_grid.Grid, rows: bool, dtype: str, channels: int, **more: Any) -> np.ndarray:
    from sparsefast.kernels.cuda import fold as kernels

    out = poisoned((len(patches), channels, *grid.image), STORED[dtype])
    given = {"window": None, "confidence": None, "inverse": None, "normalize": True, **more}
    kernels.fold(patches, grid, rows, dtype, *given.values(), out, 1)
    return out


def fold_at(
    patches: np.ndarray, corners: np.ndarray, image: Any, patch: Any, rows: bool, dtype: str, channels: int, **more: Any
) -> np.ndarray:
    from sparsefast.kernels.cuda import fold as kernels

    out = poisoned((len(patches), channels, *image), STORED[dtype])
    lists = tile_lists(corners, len(patches), image, patch)
    given = {"window": None, "confidence": None, "normalize": True, **more}
    kernels.fold_at(patches, corners, lists, patch, rows, dtype, *given.values(), out, 1)
    return out


def random_elements(rng: Any, shape: Any, dtype: str) -> np.ndarray:
    if dtype == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    return narrow(rng.standard_normal(shape).astype(computing(dtype)), dtype)


def check_fold(found: np.ndarray, sums: tuple[np.ndarray, ...], normalize: bool, eps: float, terms: int) -> None:
    """A sum of so many terms in its order is off by at most eps a term, of the sum of their sizes."""
    total, sizes, weights = sums
    if normalize:
        total, sizes = (np.divide(v, weights, out=np.zeros(v.shape), where=weights != 0) for v in (total, sizes))
    assert np.all(np.abs(found - total) <= (2 * terms + 4) * eps * np.abs(sizes))
