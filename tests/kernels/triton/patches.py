"""Unfold and fold in Triton: what their launchers choose, and the order of their sums.

Run by test_interpreter.py, with TRITON_INTERPRET=1. Beside these run the tests of every backend: borrowed.py.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import triton.language as tl

from sparsefast.kernels import patch_grid
from sparsefast.kernels.reference import fold as reference_fold
from sparsefast.kernels.reference import unfold as reference_unfold
from sparsefast.kernels.triton import fold, patches, unfold
from tests.kernels.patches.helper import bits, gathered, numbers, patches_shape, tile_lists
from tests.kernels.patches.helper import fold as call_fold
from tests.kernels.patches.helper import fold_at as call_fold_at
from tests.kernels.patches.helper import unfold as call_unfold
from tests.kernels.patches.helper import unfold_at as call_unfold_at
from tests.kernels.triton.backend import TritonKernel, limits

# In NumPy, which the interpreter computes with.
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")

both_layouts = pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows"])


def kernel(name: str) -> TritonKernel:
    return TritonKernel("triton", name=name)


@pytest.mark.parametrize("function", ["unfold", "unfold_at", "fold", "fold_at"])
def test_arguments_are_the_references(function: str) -> None:
    ours, theirs = (unfold, reference_unfold) if function.startswith("unfold") else (fold, reference_fold)
    expected = list(inspect.signature(getattr(theirs, function)).parameters)
    assert list(inspect.signature(getattr(ours, function)).parameters) == expected


@both_layouts
def test_tensors_of_any_strides(rows: bool) -> None:
    whole = torch.from_numpy(bits((2, 4, 13, 11), 2))
    grid = patch_grid.grid((6, 5), (3, 2), (2, 2), "clamp_last")
    for images in (
        whole[:1, :3, 1:7, 3:8].expand(2, -1, -1, -1),
        whole[:, 1:, ::2, 1::2][:, :, :6],
        whole[:, :3, 2:3, 4:5].expand(-1, -1, 6, 5),
        whole.permute(0, 1, 3, 2)[:, :3, 5:, :5],
        whole.permute(0, 2, 3, 1)[:, :3, :6, :4].unfold(3, 1, 1)[..., 0].expand(2, 3, 6, 4)[..., [0, 1, 2, 3, 0]],
    ):
        shape = patches_shape(2, 3, grid.n_patches, grid.patch, rows)
        out = torch.full(shape, -7, dtype=torch.int16)
        expected = np.empty(shape, np.int16)
        unfold.unfold(images, grid, rows, out, 1)
        reference_unfold.unfold(images.numpy(), grid, rows, expected, 1)
        np.testing.assert_array_equal(out.numpy(), expected)


@both_layouts
def test_long_rows_of_patches_and_long_patches(rows: bool) -> None:
    # More than one block and one run each way, with the last of them in part.
    with limits("blocks"):
        for size, patch, stride in (((3, 71), (1, 2), (1, 1)), ((19, 5), (3, 2), (1, 3)), ((5, 25), (2, 23), (3, 1))):
            grid = patch_grid.grid(size, patch, stride, "clamp_last")
            images = bits((1, 3, *size), 1)
            expected = gathered(images, grid.corners()[None], patch).reshape(1, grid.n_patches, -1)
            out = call_unfold(kernel("unfold"), images, grid, rows)
            np.testing.assert_array_equal(out if rows else out.transpose(0, 2, 1), expected)
            out = call_unfold_at(kernel("unfold"), images, grid.corners()[None], patch, rows)
            np.testing.assert_array_equal(out if rows else out.transpose(0, 2, 1), expected)


@pytest.mark.parametrize("border", patch_grid.BORDERS)
def test_strides_of_any_length(border: str) -> None:
    images = numbers((1, 2, 5, 6), "float32")
    for stride in ((2**40, 1), (7, 2**62), (5, 6), (2**33, 2**33)):
        grid = patch_grid.grid((5, 6), (3, 2), stride, border)
        for rows in (False, True):
            out = call_unfold(kernel("unfold"), images.view(np.int32), grid, rows).view(np.float32)
            expected = call_unfold(kernel("unfold").reference(), images.view(np.int32), grid, rows).view(np.float32)
            np.testing.assert_array_equal(out, expected)
            mean = call_fold(kernel("fold"), out, grid, rows, "float32", normalize=True)
            np.testing.assert_array_equal(
                mean, call_fold(kernel("fold").reference(), out, grid, rows, "float32", normalize=True)
            )


def test_pixels_are_counted_in_64_bits_where_they_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert patches.index_type((2**29, 5), (7, 7), 3) == tl.int32
    for size, patch, n_channels in (((2**30, 1), (1, 1), 1), ((1, 1), (3, 2**30), 1), ((8, 8), (2**15, 2**15), 1)):
        assert patches.index_type(size, patch, n_channels) == tl.int64
    monkeypatch.setattr(unfold, "index_type", lambda *_: tl.int64)
    monkeypatch.setattr(fold, "index_type", lambda *_: tl.int64)
    grid = patch_grid.grid((7, 9), (3, 4), (2, 3), "pad")
    images = bits((1, 3, 7, 9), 4)
    corners = np.random.default_rng(0).integers(-4, 10, (1, 8, 2))
    window = np.random.default_rng(1).random(grid.patch)
    for rows in (False, True):
        one, other = kernel("unfold"), kernel("unfold").reference()
        assert call_unfold(one, images, grid, rows).tobytes() == call_unfold(other, images, grid, rows).tobytes()
        at = (images, corners, grid.patch, rows)
        assert call_unfold_at(one, *at).tobytes() == call_unfold_at(other, *at).tobytes()
        one, other = kernel("fold"), kernel("fold").reference()
        p = numbers(patches_shape(1, 3, grid.n_patches, grid.patch, rows), "float64")
        on_grid, options = (p, grid, rows, "float64"), {"window": window, "normalize": True}
        np.testing.assert_allclose(call_fold(one, *on_grid, **options), call_fold(other, *on_grid, **options), 1e-13)
        p = numbers(patches_shape(1, 3, 8, grid.patch, rows), "float64")
        at = (p, corners, (7, 9), grid.patch, rows, "float64")
        np.testing.assert_allclose(call_fold_at(one, *at, **options), call_fold_at(other, *at, **options), 1e-13)


def test_a_given_inverse_is_multiplied_with() -> None:
    for border in patch_grid.BORDERS:
        grid = patch_grid.grid((6, 7), (3, 2), (2, 3), border)
        p = numbers(patches_shape(2, 5, grid.n_patches, grid.patch, False), "float64")
        options = {"window": np.arange(1.0, 7.0).reshape(3, 2), "inverse": np.arange(1.0, 43.0).reshape(6, 7)}
        out = call_fold(kernel("fold"), p, grid, False, "float64", normalize=True, **options)
        expected = call_fold(kernel("fold").reference(), p, grid, False, "float64", normalize=True, **options)
        np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-11)


def summed_in_order(p: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The sum (1, 1, H, W) of patches (L, ph, pw) at corners (L, 2) within the image, in their order and in float32."""
    out = np.zeros((1, 1, *size), np.float32)
    for (y, x), patch in zip(corners.tolist(), p, strict=True):
        out[0, 0, y : y + patch.shape[0], x : x + patch.shape[1]] += patch
    return out


@pytest.mark.parametrize("path", ["tile", "blocks"])
def test_sums_run_in_the_order_of_the_patches(path: str) -> None:
    rng = np.random.default_rng(0)
    differs = False
    with limits(path):
        for border, stride in (("drop", (1, 1)), ("clamp_last", (2, 3))):
            grid = patch_grid.grid((9, 11), (5, 4), stride, border)
            p = rng.standard_normal((grid.n_patches, 5, 4)).astype(np.float32)
            listed = p.reshape(1, grid.n_patches, 20)
            order = rng.permutation(grid.n_patches)
            expected = summed_in_order(p, grid.corners(), (9, 11))
            assert call_fold(kernel("fold"), listed, grid, True, "float32").tobytes() == expected.tobytes()
            corners = grid.corners()[order]
            other = summed_in_order(p, corners, (9, 11))
            out = call_fold_at(kernel("fold"), listed, corners[None], (9, 11), (5, 4), True, "float32")
            assert out.tobytes() == other.tobytes()
            same_places = summed_in_order(p[::-1], grid.corners()[::-1], (9, 11))
            differs |= same_places.tobytes() != expected.tobytes()
    assert differs


def test_confidence_that_is_not_finite_stays_where_its_patch_lies() -> None:
    corners = np.array([[[0, 0], [3, 4], [1, 2]]])
    p = numbers(patches_shape(1, 2, 3, (3, 3), False), "float32")
    for bad in (np.nan, np.inf):
        confidence = np.array([[1.0, bad, 1.0]])
        out = call_fold_at(kernel("fold"), p, corners, (8, 8), (3, 3), False, "float32", confidence=confidence)
        expected = np.zeros((8, 8), bool)
        expected[3:6, 4:7] = True
        np.testing.assert_array_equal(np.isfinite(out[0, 1]), ~expected)


def test_nan_of_any_bits_is_nan_in_bfloat16() -> None:
    grid = patch_grid.grid((2, 4), (1, 4), (1, 1), "drop")
    of_any_bits = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF800001], np.uint32).view(np.float32)
    ones = torch.ones((1, 2, 4), dtype=torch.bfloat16)
    out = torch.zeros((1, 1, 2, 4), dtype=torch.bfloat16)
    inverse = torch.from_numpy(np.tile(of_any_bits, (2, 1)))
    fold.fold(ones, grid, True, "bfloat16", None, None, inverse, True, out, 1)
    assert out.isnan().all()


def test_lists_are_made_for_the_tiles_that_are_walked() -> None:
    size = (fold.TILE[0] + 3, 2 * fold.TILE[1] + 1)
    corners = np.random.default_rng(0).integers(-2, 12, (2, 30, 2))
    lists = tile_lists(corners, 2, size, (4, 3), fold.TILE)
    assert (np.bincount(lists.patches) > 2).any()  # some lie in several tiles
    p = numbers(patches_shape(2, 5, 30, (4, 3), True), "float64")
    out = call_fold_at(kernel("fold"), p, corners, size, (4, 3), True, "float64", normalize=True)
    expected = call_fold_at(kernel("fold").reference(), p, corners, size, (4, 3), True, "float64", normalize=True)
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)
