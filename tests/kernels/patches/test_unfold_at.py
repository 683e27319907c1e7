"""Patches at corners of their own: anywhere, in any order, as often as one likes."""

import numpy as np
import pytest

from sparsefast.kernels import patch_grid
from tests.kernels.helper import Kernel
from tests.kernels.patches.helper import (
    all_unfolds,
    bits,
    both_layouts,
    by_patch,
    emulated,
    fast_unfolds,
    few_grids,
    gathered,
    unfold,
    unfold_at,
)

INT64 = np.iinfo(np.int64)
# Where sums with the size of a patch or an image would overflow, and just outside of an image of 9 x 11.
FAR = [INT64.min, INT64.min + 1, INT64.max, INT64.max - 1, -(2**40), 2**40, -4, -3, -1, 0, 8, 9, 10, 11, 12]


def far_corners() -> np.ndarray:
    """Every pair of those, (1, L, 2)."""
    return np.stack(np.meshgrid(FAR, FAR), axis=-1).reshape(1, -1, 2).astype(np.int64)


@all_unfolds
@both_layouts
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_every_patch_is_what_the_image_has_there(kernel: Kernel, itemsize: int, rows: bool) -> None:
    rng = np.random.default_rng(0)
    for n_images, n_channels, size, patch, n_patches in (
        (2, 3, (9, 11), (4, 3), 70), (1, 1, (1, 1), (3, 3), 5), (3, 5, (5, 7), (5, 7), 1), (2, 1, (6, 5), (8, 9), 33)
    ):  # fmt: skip
        images = bits((n_images, n_channels, *size), itemsize)
        for n_lists in {1, n_images}:
            corners = rng.integers(-max(patch), max(size) + 2, (n_lists, n_patches, 2))
            out = unfold_at(kernel, images, corners, patch, rows, n_threads=2)
            expected = gathered(images, corners, patch)
            np.testing.assert_array_equal(by_patch(out, n_channels, patch, rows), expected)


@all_unfolds
@both_layouts
def test_far_outside_is_zero(kernel: Kernel, rows: bool) -> None:
    images = bits((1, 2, 9, 11), 4)
    out = unfold_at(kernel, images, far_corners(), (4, 3), rows)
    np.testing.assert_array_equal(by_patch(out, 2, (4, 3), rows), gathered(images, far_corners(), (4, 3)))


@all_unfolds
@both_layouts
def test_corners_of_a_grid_give_its_patches(kernel: Kernel, rows: bool) -> None:
    for grid in few_grids():
        images = bits((2, 3, *grid.image), 4)
        for n_lists in (1, 2):
            corners = np.ascontiguousarray(np.broadcast_to(grid.corners(), (n_lists, grid.n_patches, 2)))
            at = unfold_at(kernel, images, corners, grid.patch, rows)
            assert at.tobytes() == unfold(kernel, images, grid, rows).tobytes()


@all_unfolds
@both_layouts
def test_nothing_of_nothing(kernel: Kernel, rows: bool) -> None:
    for n_images, n_channels, n_patches in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        corners = np.zeros((1, n_patches, 2), np.int64)
        assert unfold_at(kernel, bits((n_images, n_channels, 5, 5), 4), corners, (2, 2), rows).size == 0


@all_unfolds
@both_layouts
def test_images_may_have_any_strides(kernel: Kernel, rows: bool) -> None:
    whole = bits((3, 4, 22, 24), 4)
    corners = np.random.default_rng(0).integers(-3, 12, (2, 20, 2))
    for images in (
        bits((2, 11, 12, 3), 4).transpose(0, 3, 1, 2), whole[::2, 1:, ::2, ::2],
        whole[:2, :3][::-1, ::-1, 10::-1, 11::-1], np.broadcast_to(whole[:1, :1, :11, :1], (2, 3, 11, 12)),
    ):  # fmt: skip
        out = unfold_at(kernel, images, corners, (4, 3), rows)
        np.testing.assert_array_equal(by_patch(out, 3, (4, 3), rows), gathered(np.array(images), corners, (4, 3)))


@fast_unfolds
@both_layouts
def test_threads_and_batches_change_nothing(kernel: Kernel, rows: bool) -> None:
    n_patches = 90 if emulated(kernel) else 3001
    size = (30, 41)
    images, grid = bits((3, 3, *size), 4), patch_grid.grid(size, (7, 6), (1, 1), "drop")
    corners = grid.corners()[np.random.default_rng(0).integers(0, grid.n_patches, (3, n_patches))]
    whole = unfold_at(kernel, images, corners, grid.patch, rows)
    for n_threads in (2, 3):
        assert unfold_at(kernel, images, corners, grid.patch, rows, n_threads=n_threads).tobytes() == whole.tobytes()
    for b in range(3):
        alone = unfold_at(kernel, images[b : b + 1], corners[b : b + 1], grid.patch, rows)
        assert alone.tobytes() == whole[b].tobytes()
