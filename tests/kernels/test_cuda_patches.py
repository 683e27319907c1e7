"""What only the CUDA kernels of the patches family have: tiles and words that sizes choose, blocks that take up further
work, pixels counted in 32 bits, and a border that takes numbers for arrays. On the emulated device."""

from typing import Any

import numpy as np
import pytest

from sparsefast.kernels import patch_grid
from sparsefast.kernels.numbers import STORED
from tests.kernels.cuda_patches import (
    SIZES,
    check_fold,
    fold,
    fold_at,
    grids,
    laid_out,
    some_corners,
    tile_lists,
    true_patches,
    true_sums,
    unfold,
    unfold_at,
)
from tests.kernels.helper import ORDERS

emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
in_every_order = pytest.mark.parametrize("order", ORDERS)
in_both_layouts = pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows"])
in_every_size = pytest.mark.parametrize(("image", "patch", "stride", "channels"), SIZES, ids=str)


@in_every_order
@in_both_layouts
@in_every_size
def test_patches_of_every_width(order: str, rows: bool, image: Any, patch: Any, stride: Any, channels: int) -> None:
    emulated.set_order(order)
    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.int16, np.int32, np.int64):
        # Every other row and column from the end on, of which the strides are negative.
        images = rng.integers(0, 100, (2, channels, 2 * image[0], 2 * image[1])).astype(dtype)[:, ::-1, ::-2, ::2]
        for border, grid in grids(image, patch, stride).items():
            expected = laid_out(true_patches(images, grid.corners()[None], patch), rows)
            np.testing.assert_array_equal(unfold(images, grid, rows), expected, err_msg=border)


@in_every_order
@in_both_layouts
@in_every_size
def test_patches_at_corners(order: str, rows: bool, image: Any, patch: Any, stride: Any, channels: int) -> None:
    emulated.set_order(order)
    rng = np.random.default_rng(1)
    for dtype, n_images in ((np.uint8, 3), (np.int16, 1), (np.int64, 3)):
        images = rng.integers(1, 100, (3, channels, *image)).astype(dtype)
        corners = some_corners(rng, n_images, 24, image, patch)
        expected = laid_out(true_patches(images, corners, patch), rows)
        np.testing.assert_array_equal(unfold_at(images, corners, patch, rows), expected)


@in_both_layouts
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_small_elements_wherever_words_begin(dtype: type, rows: bool) -> None:
    """Written four bytes at a time where each run and the array itself begin at a multiple, else one by one."""
    rng = np.random.default_rng(2)
    for width in (8, 9, 10, 11):
        for offset in range(4):
            images = rng.integers(1, 100, (2, 2, 5, width)).astype(dtype)
            grid = patch_grid.grid((5, width), (2, width - 5), (1, 1), "drop")
            expected = laid_out(true_patches(images, grid.corners()[None], grid.patch), rows)
            np.testing.assert_array_equal(unfold(images, grid, rows, offset), expected)


@in_every_order
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_columns_of_several_blocks_wherever_lines_begin(dtype: type, order: str) -> None:
    """Columns of 2 400 patches and more are written by lines of 128 bytes: the first and the last of a row in part, and
    places are known for one line more than a block writes."""
    emulated.set_order(order)
    rng = np.random.default_rng(16)
    for image, patch, stride, offset in (((51, 50), (2, 1), (1, 1), 3), ((4, 2310), (3, 2), (2, 1), 1)):
        images = rng.integers(1, 100, (1, 2, *image)).astype(dtype)
        for border, grid in grids(image, patch, stride).items():
            expected = laid_out(true_patches(images, grid.corners()[None], patch), False)
            np.testing.assert_array_equal(unfold(images, grid, False, offset), expected, err_msg=border)
            backwards = images[:, :, ::-1]
            expected = laid_out(true_patches(backwards, grid.corners()[None], patch), False)
            np.testing.assert_array_equal(unfold(backwards, grid, False), expected, err_msg=border)
        corners = some_corners(rng, 1, 2401, image, patch)
        expected = laid_out(true_patches(images, corners, patch), False)
        np.testing.assert_array_equal(unfold_at(images, corners, patch, False), expected)


@in_both_layouts
def test_more_work_than_blocks(rows: bool) -> None:
    """What a block has of one item must not reach into the next."""
    emulated.set_order("shuffled")
    n = (1 << 14) + 100
    rng = np.random.default_rng(3)
    images = rng.integers(0, 100, (n, 1, 1, 2)).astype(np.uint8)
    grid = patch_grid.grid((1, 2), (1, 1), (1, 1), "drop")
    found = unfold(images, grid, rows)
    np.testing.assert_array_equal(found.reshape(n, 2), images.reshape(n, 2))
    folded = fold(found, grid, rows, "uint8", 1)
    np.testing.assert_array_equal(folded, images)
    corners = grid.corners()[None]
    np.testing.assert_array_equal(fold_at(found, corners, (1, 2), (1, 1), rows, "uint8", 1), images)
    # Two threads of which one finds out for both where a patch lies, each time elsewhere.
    corners = rng.integers(0, 2, (n, 1, 2)) * np.array([0, 1])
    padded, columns = np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1))), corners[:, None, :, 1:] + np.arange(2)
    pairs = np.take_along_axis(padded, columns, axis=3)
    emulated.set_order("forward")
    np.testing.assert_array_equal(unfold_at(images, corners, (1, 2), rows).reshape(n, 2), pairs.reshape(n, 2))


@in_both_layouts
def test_patches_of_more_elements_than_a_block_writes(rows: bool) -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 1 << 30, (2, 7, 9, 11)).astype(np.int32)
    grid = patch_grid.grid((9, 11), (7, 9), (1, 2), "clamp_last")
    expected = laid_out(true_patches(images, grid.corners()[None], (7, 9)), rows)
    np.testing.assert_array_equal(unfold(images, grid, rows), expected)


@in_both_layouts
def test_the_largest_axis_and_one_too_large(rows: bool) -> None:
    """Pixels are counted in 32 bits; an image that is one row again and again costs no memory."""
    most = 1 << 30
    row = np.arange(3, dtype=np.int32)
    tall = np.broadcast_to(row, (1, 1, most, 3))
    corners = np.array([[[most - 2, 1], [most - 1, 1], [most, 0], [-1, 2], [0, -1]]])
    expected = np.array([[1, 1], [1, 0], [0, 0], [0, 2], [0, 0]])
    found = unfold_at(tall, corners, (2, 1), rows)
    np.testing.assert_array_equal(found[0] if rows else found[0].T, expected)
    for border in patch_grid.BORDERS:
        grid = patch_grid.grid((most, 3), (1, 1), (most - 2, 5), border)
        n_rows = 2 + (border != "drop")
        assert grid.y.count == n_rows
        inside = [1] * n_rows if border != "pad" else [1, 1, 0]
        found = unfold(tall, grid, rows)
        columns = {"drop": [0], "clamp_last": [0, 2], "pad": [0, 0]}[border]
        np.testing.assert_array_equal(found.reshape(-1), np.outer(inside, columns).reshape(-1))
    with pytest.raises(RuntimeError, match=r"2\^30 pixels"):
        unfold_at(np.broadcast_to(row, (1, 1, most + 1, 3)), corners, (2, 1), rows)


@in_both_layouts
def test_elements_further_apart_than_2_to_the_31(rows: bool) -> None:
    """In arrays of which the system gives memory for the few pages alone that are looked at."""
    rng = np.random.default_rng(13)
    values = rng.integers(1, 100, (20, 20)).astype(np.uint8)
    far = 1 << 32
    images = np.lib.stride_tricks.as_strided(np.zeros(far + 20, np.uint8), (1, 1, 2, 20), (far, far, far, 1))
    images[0, 0] = values[:2]
    grid = patch_grid.grid((2, 20), (2, 2), (1, 1), "drop")
    expected = laid_out(true_patches(values[None, None, :2], grid.corners()[None], (2, 2)), rows)
    np.testing.assert_array_equal(unfold(images, grid, rows), expected)

    n, patch = 5000, (1000, 1000)
    patches = np.zeros((1, n, 10**6) if rows else (1, 10**6, n), np.uint8)
    last = patches[0, -1] if rows else patches[0, :, -1]
    last.reshape(patch)[500:520, :20] = values
    corners = np.full((1, n, 2), 20)
    corners[0, -1] = -500, 0
    found = fold_at(patches, corners, (20, 20), patch, rows, "uint8", 1)
    np.testing.assert_array_equal(found[0, 0], values)

    patches = np.zeros((300, 1, 9 * 10**6) if rows else (300, 9 * 10**6, 1), np.uint8)
    patches[-1].reshape(3000, 3000)[:20, :20] = values
    found = fold(patches, patch_grid.grid((20, 20), (3000, 3000), (1, 1), "pad"), rows, "uint8", 1)
    np.testing.assert_array_equal(found[-1, 0], values)
    assert not found[:-1].any()


@in_every_order
@in_both_layouts
@in_every_size
def test_sums_of_every_width(order: str, rows: bool, image: Any, patch: Any, stride: Any, channels: int) -> None:
    emulated.set_order(order)
    rng = np.random.default_rng(5)
    window = rng.random(patch)
    for grid in grids(image, patch, stride).values():
        patches = rng.standard_normal((2, grid.n_patches, channels, *patch))
        confidence = rng.random((2, grid.n_patches))
        for dtype, given in (
            ("float32", {"window": window, "confidence": confidence}),
            ("float64", {"window": window, "normalize": False}),
            ("float64", {"confidence": confidence}),
            ("float32", {}),
        ):
            t = STORED[dtype]
            given = {name: v if isinstance(v, bool) else v.astype(t) for name, v in given.items()}
            found = fold(laid_out(patches.astype(t), rows), grid, rows, dtype, channels, **given)
            weights = given.get("window"), given.get("confidence")
            sums = true_sums(patches.astype(t), grid.corners()[None], image, *weights)
            check_fold(found, sums, given.get("normalize", True), np.finfo(t).eps, grid.n_patches)


@in_every_order
@in_both_layouts
@in_every_size
def test_sums_at_corners(order: str, rows: bool, image: Any, patch: Any, stride: Any, channels: int) -> None:
    emulated.set_order(order)
    rng = np.random.default_rng(6)
    for dtype, n_images, normalize in (("float64", 2, True), ("float32", 1, False), ("float64", 1, True)):
        t = STORED[dtype]
        corners = some_corners(rng, n_images, 70, image, patch)
        patches = rng.standard_normal((2, 70, channels, *patch)).astype(t)
        window, confidence = rng.random(patch).astype(t), rng.random((2, 70)).astype(t)
        given: dict[str, Any] = {"window": window, "confidence": confidence} if n_images == 2 else {}
        found = fold_at(
            laid_out(patches, rows), corners, image, patch, rows, dtype, channels, **given, normalize=normalize
        )
        sums = true_sums(patches, corners, image, given.get("window"), given.get("confidence"))
        check_fold(found, sums, normalize, np.finfo(t).eps, 70)


@in_every_order
@pytest.mark.parametrize("channels", [1, 6])
def test_more_patches_in_a_tile_than_a_block_lists_at_once(order: str, channels: int) -> None:
    emulated.set_order(order)
    rng = np.random.default_rng(7)
    corners = some_corners(rng, 1, 600, (17, 9), (3, 2))
    patches = rng.standard_normal((1, 600, channels, 3, 2))
    found = fold_at(laid_out(patches, True), corners, (17, 9), (3, 2), True, "float64", channels)
    check_fold(found, true_sums(patches, corners, (17, 9), None, None), True, np.finfo(np.float64).eps, 600)


@in_both_layouts
def test_the_inverse_is_multiplied_with(rows: bool) -> None:
    rng = np.random.default_rng(10)
    for image, patch, stride, channels in SIZES:
        for grid in grids(image, patch, stride).values():
            patches = laid_out(rng.standard_normal((2, grid.n_patches, channels, *patch)).astype(np.float32), rows)
            inverse = rng.random(image).astype(np.float32)
            sums = fold(patches, grid, rows, "float32", channels, normalize=False)
            found = fold(patches, grid, rows, "float32", channels, inverse=inverse)
            np.testing.assert_array_equal(found, sums * inverse)


@in_both_layouts
def test_a_sum_of_weights_that_is_zero_gives_zero(rows: bool) -> None:
    grid = patch_grid.grid((7, 9), (3, 3), (2, 3), "clamp_last")
    patches = laid_out(np.ones((1, grid.n_patches, 2, 3, 3), np.float32), rows)
    confidence = np.zeros((1, grid.n_patches), np.float32)
    found = fold(patches, grid, rows, "float32", 2, confidence=confidence)
    assert not found.any()
    found = fold_at(patches, grid.corners()[None], (7, 9), (3, 3), rows, "float32", 2, confidence=confidence)
    assert not found.any()


@in_both_layouts
def test_a_window_too_large_for_shared_memory(rows: bool) -> None:
    rng = np.random.default_rng(11)
    patch = (64, 65)
    window = rng.random(patch).astype(np.float32)
    grid = patch_grid.grid((66, 67), patch, (1, 1), "drop")
    patches = rng.standard_normal((1, grid.n_patches, 1, *patch)).astype(np.float32)
    corners = grid.corners()[None]
    sums = true_sums(patches, corners, (66, 67), window, None)
    for found in (
        fold(laid_out(patches, rows), grid, rows, "float32", 1, window=window),
        fold_at(laid_out(patches, rows), corners, (66, 67), patch, rows, "float32", 1, window=window),
    ):
        check_fold(found, sums, True, np.finfo(np.float32).eps, 9)


@in_both_layouts
def test_the_bits_of_an_image_do_not_depend_on_the_batch(rows: bool) -> None:
    """Not on how tiles and channels are dealt out either, which the size of the batch decides."""
    rng = np.random.default_rng(12)
    grid, n = patch_grid.grid((9, 8), (2, 3), (1, 1), "clamp_last"), 1030
    patches = laid_out(rng.standard_normal((n, grid.n_patches, 5, 2, 3)).astype(np.float32), rows)
    window = rng.random((2, 3)).astype(np.float32)
    together = fold(patches, grid, rows, "float32", 5, window=window)
    for b in (0, n - 1):
        alone = fold(patches[b : b + 1], grid, rows, "float32", 5, window=window)
        np.testing.assert_array_equal(alone[0], together[b])


@pytest.mark.parametrize("empty", ["batch", "channels", "patches"])
def test_nothing_to_do(empty: str) -> None:
    shape = {"batch": (0, 2), "channels": (2, 0), "patches": (2, 2)}[empty]
    n = 0 if empty == "patches" else 3
    corners = np.zeros((1, n, 2), np.int64)
    images = np.ones((*shape, 5, 6), np.float32).view(np.int32)
    found = unfold_at(images, corners, (2, 2), True)
    assert found.shape == (shape[0], n, 4 * shape[1])
    out = fold_at(found.view(np.float32), corners, (5, 6), (2, 2), True, "float32", shape[1])
    if empty == "patches":
        assert not out.any()


def test_the_border_refuses_what_does_not_fit() -> None:
    from sparsefast.kernels.cuda.fold import TILE
    from sparsefast.kernels.cuda.memory import describe

    assert emulated.cuda_fold_tile == TILE
    grid = patch_grid.grid((5, 6), (2, 2), (1, 1), "drop")
    corners, lists = grid.corners()[None], tile_lists(grid.corners()[None], 2, (5, 6), (2, 2))
    images, patches = np.zeros((2, 3, 5, 6), np.int32), np.zeros((2, 20, 12), np.int32)
    good: dict[str, Any] = {"grid": grid, "corners": None, "rows": True, "device": 0, "stream": 0}
    described = {"images": describe(images), "out": describe(patches)}
    emulated.cuda_unfold(**good, **described)
    address, _, shape, strides = described["out"]
    for change, message in (
        ({"images": (address, "complex64", shape, strides)}, "images has dtype"),
        ({"images": described["out"]}, "images must have 4 dimensions"),
        ({"out": (address, "int16", shape, strides)}, "out must be int32"),
        ({"out": (address, "int32", (2, 12, 20), strides)}, "out has the wrong shape"),
        ({"out": (address, "int32", shape, (1, 24, 2))}, "out must be C-contiguous"),
        ({"grid": patch_grid.grid((5, 7), (2, 2), (1, 1), "drop")}, "another size"),
        ({"corners": describe(corners.astype(np.int32))}, "corners must be int64"),
        ({"corners": describe(np.zeros((3, 20, 2), np.int64))}, "corners must be"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            emulated.cuda_unfold(**{**good, **described, **change})

    folded = np.zeros((2, 3, 5, 6), np.float32)
    window, inverse = np.ones((2, 2), np.float32), np.ones((5, 6), np.float32)
    listed = (lists.tile, describe(lists.starts), describe(lists.patches))
    good |= {"patches": describe(patches.view(np.float32)), "out": describe(folded), "tiles": None, "dtype": "float32"}
    good |= {"window": None, "confidence": None, "inverse": None, "normalize": True}
    emulated.cuda_fold(**good)
    for change, message in (
        ({"dtype": "float8"}, "dtype='float8' must be"),
        ({"dtype": "float16"}, "must be float16"),
        ({"window": describe(window.astype(np.float64))}, "window must be float32"),
        ({"window": describe(window[:1])}, "window has the wrong shape"),
        ({"confidence": describe(window)}, "confidence has the wrong shape"),
        ({"inverse": describe(inverse), "normalize": False}, "inverse goes with normalize"),
        ({"corners": describe(corners)}, "tiles must be given"),
        ({"corners": describe(corners), "tiles": ((8, 8), *listed[1:])}, "16 by 16"),
        ({"corners": describe(corners), "tiles": (TILE, describe(lists.starts[1:]), listed[2])}, "tiles.starts has"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            emulated.cuda_fold(**{**good, **change})
