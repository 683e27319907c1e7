"""Images from patches at corners of their own: anywhere, in any order, as often as one likes."""

from typing import Any

import numpy as np
import pytest

from sparsefast.kernels.numbers import computing, narrow, widen
from tests.kernels.helper import Kernel
from tests.kernels.patches.helper import (
    DTYPES,
    all_dtypes,
    all_folds,
    both_layouts,
    check_fold,
    emulated,
    fast_folds,
    few_grids,
    fold_at,
    numbers,
    patches_shape,
    scattered,
    unfold_at,
)
from tests.kernels.patches.test_unfold_at import far_corners

# Images, channels, size, patch, number of patches; the last is larger than a tile of any backend.
CASES = (
    (2, 3, (9, 11), (4, 3), 70),
    (1, 1, (1, 1), (3, 3), 5),
    (3, 5, (5, 7), (5, 7), 1),
    (2, 1, (6, 5), (8, 9), 33),
    (1, 2, (70, 135), (6, 5), 300),
)
SMALL = CASES[:4]


def weights(kind: int, patch: tuple[int, int], n_images: int, n_patches: int, dtype: str) -> dict[str, Any]:
    """None, a window, a confidence or both; sums and means in turn. Zero is among them."""
    rng = np.random.default_rng(kind)
    window = rng.choice([0.0, 0.5, 1.7], patch).astype(computing(dtype)) if kind & 1 else None
    confidence = rng.choice([0.0, 1.0, 0.3], (n_images, n_patches)).astype(computing(dtype)) if kind & 2 else None
    return {"window": window, "confidence": confidence, "normalize": bool(kind & 4)}


@all_folds
@both_layouts
@all_dtypes
def test_is_the_weighted_sum_or_mean_to_rounding(kernel: Kernel, dtype: str, rows: bool) -> None:
    rng = np.random.default_rng(0)
    kind = 0
    for n_images, n_channels, size, patch, n_patches in SMALL if emulated(kernel) else CASES:
        patches = numbers(patches_shape(n_images, n_channels, n_patches, patch, rows), dtype)
        for n_lists in sorted({1, n_images}):
            # Some lie outside, in part or wholly, and some in the same place.
            corners = rng.integers(-max(patch), max(size) + 2, (n_lists, n_patches, 2))
            corners[:, n_patches // 2 :: 5] = corners[:, n_patches // 2, None]
            for _ in range(2):
                more = weights(kind % 8, patch, n_images, n_patches, dtype)
                out = fold_at(kernel, patches, corners, size, patch, rows, dtype, n_threads=2, **more)
                check_fold(out, patches, corners, patch, rows, dtype, **more)
                kind += 5


@all_folds
@both_layouts
@pytest.mark.parametrize("kind", range(8))
def test_all_weights(kernel: Kernel, kind: int, rows: bool) -> None:
    corners = np.random.default_rng(0).integers(-3, 12, (2, 40, 2))
    patches = numbers(patches_shape(2, 3, 40, (4, 3), rows), "float32")
    more = weights(kind, (4, 3), 2, 40, "float32")
    out = fold_at(kernel, patches, corners, (9, 11), (4, 3), rows, "float32", **more)
    check_fold(out, patches, corners, (4, 3), rows, "float32", **more)


@all_folds
@both_layouts
@all_dtypes
def test_patches_in_the_same_place_are_summed_exactly_and_rounded_once(kernel: Kernel, dtype: str, rows: bool) -> None:
    n_patches, patch, size = 12, (2, 3), (4, 4)
    corners = np.tile([[1, 0]], (1, n_patches, 1)).astype(np.int64)
    whole = np.random.default_rng(0).integers(0, 200, (1, n_patches, 1, *patch))
    listed = narrow(whole.reshape(1, n_patches, -1).astype(np.float64), dtype)
    patches = listed if rows else np.ascontiguousarray(listed.transpose(0, 2, 1))
    out = fold_at(kernel, patches, corners, size, patch, rows, dtype, window=np.full(patch, 0.125))
    exact = scattered(0.125 * whole, corners, size)
    np.testing.assert_array_equal(widen(out, dtype), widen(narrow(exact, dtype), dtype))


@all_folds
@both_layouts
def test_far_outside_nothing_is_added(kernel: Kernel, rows: bool) -> None:
    corners = far_corners()
    patches = numbers(patches_shape(1, 2, corners.shape[1], (4, 3), rows), "float32")
    for normalize in (False, True):
        out = fold_at(kernel, patches, corners, (9, 11), (4, 3), rows, "float32", normalize=normalize)
        check_fold(out, patches, corners, (4, 3), rows, "float32", normalize=normalize)


@all_folds
@both_layouts
def test_is_the_adjoint_of_unfold_at(kernel: Kernel, rows: bool) -> None:
    rng = np.random.default_rng(0)
    for n_images, n_channels, size, patch, n_patches in SMALL:
        x = rng.standard_normal((n_images, n_channels, *size))
        p = rng.standard_normal(patches_shape(n_images, n_channels, n_patches, patch, rows))
        corners = rng.integers(-max(patch), max(size) + 2, (n_images, n_patches, 2))
        unfolded = unfold_at(kernel.named("unfold"), x.view(np.int64), corners, patch, rows).view(np.float64)
        folded = fold_at(kernel, p, corners, size, patch, rows, "float64")
        error = 2.0**-52 * (p.size + n_patches) * np.abs(unfolded * p).sum()
        assert abs((unfolded * p).sum() - (x * folded).sum()) <= error


@all_folds
@both_layouts
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_corners_of_a_grid_are_folded_as_the_grid(kernel: Kernel, dtype: str, rows: bool) -> None:
    for k, grid in enumerate(few_grids()):
        patches = numbers(patches_shape(2, 3, grid.n_patches, grid.patch, rows), dtype)
        corners = grid.corners()[None]
        more = weights(k % 8, grid.patch, 2, grid.n_patches, dtype)
        out = fold_at(kernel, patches, corners, grid.image, grid.patch, rows, dtype, **more)
        check_fold(out, patches, corners, grid.patch, rows, dtype, **more)


@all_folds
@both_layouts
def test_without_patches_images_are_zero(kernel: Kernel, rows: bool) -> None:
    for dtype in DTYPES:
        for n_images, n_channels, n_patches in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
            corners = np.zeros((1, n_patches, 2), np.int64)
            patches = numbers(patches_shape(n_images, n_channels, n_patches, (2, 2), rows), dtype)
            for normalize in (False, True):
                out = fold_at(kernel, patches, corners, (5, 6), (2, 2), rows, dtype, normalize=normalize)
                assert out.shape == (n_images, n_channels, 5, 6)
                assert (widen(out, dtype) == 0).all()


@fast_folds
@both_layouts
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_threads_and_batches_change_nothing(kernel: Kernel, dtype: str, rows: bool) -> None:
    n_patches, size, patch = (90, (30, 41), (3, 4)) if emulated(kernel) else (3001, (70, 141), (6, 7))
    corners = np.random.default_rng(0).integers(-3, 140, (3, n_patches, 2))
    patches = numbers(patches_shape(3, 3, n_patches, patch, rows), dtype)
    more = weights(7, patch, 3, n_patches, dtype)
    whole = fold_at(kernel, patches, corners, size, patch, rows, dtype, **more)
    for n_threads in (2, 3):
        again = fold_at(kernel, patches, corners, size, patch, rows, dtype, n_threads=n_threads, **more)
        assert again.tobytes() == whole.tobytes()
    for b in range(3):
        one = more | {"confidence": more["confidence"][b : b + 1]}
        alone = fold_at(kernel, patches[b : b + 1], corners[b : b + 1], size, patch, rows, dtype, **one)
        assert alone.tobytes() == whole[b].tobytes()
