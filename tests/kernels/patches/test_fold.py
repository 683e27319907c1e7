"""Images from patches on a grid: the weighted sum or mean, to rounding; exactly, where the arithmetic is exact."""

from typing import Any

import numpy as np
import pytest
import torch

from sparsefast.kernels import patch_grid
from sparsefast.kernels.numbers import computing, narrow, widen
from sparsefast.kernels.patch_grid import BORDERS, Grid
from tests.kernels.helper import Kernel, kernels
from tests.kernels.patches.helper import (
    DTYPES,
    all_dtypes,
    all_folds,
    both_layouts,
    by_patch,
    check_fold,
    emulated,
    fast_folds,
    few_grids,
    fold,
    grids_for,
    numbers,
    patches_shape,
    photo_for,
    scattered,
    unfold,
)

# What weights there are: a window, a confidence, the inverse of their sum, and whether to divide by that sum.
WEIGHTS = {
    "sum": (False, False, False, False),
    "mean": (False, False, False, True),
    "windowed sum": (True, False, False, False),
    "windowed mean": (True, False, False, True),
    "mean by confidence": (False, True, False, True),
    "sum by both": (True, True, False, False),
    "mean by both": (True, True, False, True),
    "by an inverse": (False, False, True, True),
    "windowed, by an inverse": (True, False, True, True),
}


def weights(kind: str, grid: Grid, n_images: int, dtype: str) -> dict[str, Any]:
    """Positive ones, as a kernel takes them."""
    windowed, confident, inverted, normalize = WEIGHTS[kind]
    rng = np.random.default_rng(1)
    window = rng.uniform(0.1, 2, grid.patch).astype(computing(dtype)) if windowed else None
    confidence = rng.uniform(0.1, 2, (n_images, grid.n_patches)).astype(computing(dtype)) if confident else None
    inverse = inverse_of(window, grid, dtype) if inverted else None
    return {"window": window, "confidence": confidence, "inverse": inverse, "normalize": normalize}


def inverse_of(window: np.ndarray | None, grid: Grid, dtype: str) -> np.ndarray:
    """1 / the sum of the window, (H, W); 0 where that is 0."""
    w = np.ones(grid.patch) if window is None else window.astype(np.float64)
    shape = (1, grid.n_patches, 1, *grid.patch)
    total = scattered(np.broadcast_to(w, shape), grid.corners()[None], grid.image)[0, 0]
    return np.divide(1, total, out=np.zeros(total.shape), where=total != 0).astype(computing(dtype))


@all_folds
@both_layouts
@all_dtypes
def test_is_the_weighted_sum_or_mean_to_rounding(kernel: Kernel, dtype: str, rows: bool) -> None:
    kinds = list(WEIGHTS)
    for k, grid in enumerate(grids_for(kernel)):
        n_images, n_channels = (1, 2)[k % 2], (1, 3, 5)[k % 3]
        patches = numbers(patches_shape(n_images, n_channels, grid.n_patches, grid.patch, rows), dtype, k)
        # Every grid with some weights, every weight with some grids.
        for kind in (kinds[k % 9], kinds[(k + 4) % 9]):
            more = weights(kind, grid, n_images, dtype)
            out = fold(kernel, patches, grid, rows, dtype, n_threads=1 + k % 3, **more)
            check_fold(out, patches, grid.corners()[None], grid.patch, rows, dtype, **more)


@all_folds
@both_layouts
@pytest.mark.parametrize("kind", WEIGHTS)
def test_all_weights_on_all_borders(kernel: Kernel, kind: str, rows: bool) -> None:
    for border in BORDERS:
        grid = patch_grid.grid((11, 14), (4, 3), (2, 5), border)
        patches = numbers(patches_shape(2, 3, grid.n_patches, grid.patch, rows), "float32")
        more = weights(kind, grid, 2, "float32")
        out = fold(kernel, patches, grid, rows, "float32", **more)
        check_fold(out, patches, grid.corners()[None], grid.patch, rows, "float32", **more)


@all_folds
@both_layouts
@all_dtypes
def test_sums_are_exact_where_float32_has_all_their_digits(kernel: Kernel, dtype: str, rows: bool) -> None:
    """Integers, and powers of two as weights: nothing is rounded before the end, and there once."""
    largest = {"uint8": 255, "float16": 2048, "bfloat16": 256}.get(dtype, 2000)
    for border in BORDERS:
        grid = patch_grid.grid((7, 10), (3, 4), (1, 2), border)
        rng = np.random.default_rng(0)
        whole = rng.integers(0 if dtype == "uint8" else -largest, largest + 1, (2, grid.n_patches, 2, *grid.patch))
        window = 2.0 ** rng.integers(-2, 3, grid.patch)
        confidence = rng.choice([-1.0, 0.5, 1.0], (2, grid.n_patches))
        listed = narrow(whole.reshape(2, grid.n_patches, -1).astype(np.float64), dtype)
        patches = listed if rows else np.ascontiguousarray(listed.transpose(0, 2, 1))
        out = fold(kernel, patches, grid, rows, dtype, window=window, confidence=confidence)
        exact = scattered(whole * window * confidence[:, :, None, None, None], grid.corners()[None], grid.image)
        np.testing.assert_array_equal(widen(out, dtype), widen(narrow(exact, dtype), dtype))


@all_folds
@both_layouts
def test_bytes_are_rounded_to_even_and_held_to_their_range(kernel: Kernel, rows: bool) -> None:
    grid = patch_grid.grid((16, 16), (2, 4), (2, 4), "drop")
    patches = np.arange(256, dtype=np.uint8).reshape(patches_shape(1, 1, grid.n_patches, grid.patch, rows))
    values = by_patch(patches, 1, grid.patch, rows).astype(np.float64)
    for factor in (0.5, 1.5, 1.0, 2.0, -1.0, 0.0):
        out = fold(kernel, patches, grid, rows, "uint8", window=np.full(grid.patch, factor))
        expected = np.clip(np.rint(scattered(factor * values, grid.corners()[None], grid.image)), 0, 255)
        np.testing.assert_array_equal(out, expected.astype(np.uint8))
    nowhere = fold(kernel, patches, grid, rows, "uint8", confidence=np.full((1, grid.n_patches), np.nan))
    assert (nowhere == 0).all()
    everywhere = fold(kernel, np.maximum(patches, 1), grid, rows, "uint8", window=np.full(grid.patch, np.inf))
    assert (everywhere == 255).all()


@all_folds
@both_layouts
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once_and_overflows_to_infinity(kernel: Kernel, dtype: str, rows: bool) -> None:
    # Three patches meet in the middle. Rounded after each addition, 1 would vanish beside the first number.
    top = 2048.0 if dtype == "float16" else 256.0
    huge = 60000.0 if dtype == "float16" else 2.0**127
    summands = np.array(
        [(top, 1, 0), (top, 1, 1), (top, 3, 0), (huge, huge, 0), (-huge, -huge, 0), (huge, huge, -huge)]
    )
    grid = patch_grid.grid((1, 5), (1, 3), (1, 1), "drop")
    patches = np.zeros((len(summands), 3, 3))
    patches[:, [0, 1, 2], [2, 1, 0]] = summands
    stored = narrow(patches if rows else patches.transpose(0, 2, 1).copy(), dtype)
    out = fold(kernel, stored, grid, rows, dtype)
    found = widen(out, dtype)[:, 0, 0, 2]
    expected = [top, top + 2, top + 4, np.inf, -np.inf, widen(narrow(np.array([huge]), dtype), dtype)[0]]
    if dtype == "bfloat16":
        # 2**128 is past float32 too.
        found, expected = found[:5], expected[:5]
    np.testing.assert_array_equal(found, expected)


@all_folds
@both_layouts
@all_dtypes
def test_where_weights_sum_to_zero_the_mean_is_zero(kernel: Kernel, dtype: str, rows: bool) -> None:
    grid = patch_grid.grid((7, 9), (3, 3), (1, 2), "drop")
    patches = numbers(patches_shape(2, 3, grid.n_patches, grid.patch, rows), dtype)
    window = np.ones(grid.patch)
    window[:, 1:] = 0
    confidence = np.ones((2, grid.n_patches))
    confidence[1] = 0
    for more in ({"window": window}, {"confidence": confidence}, {"window": window, "confidence": confidence}):
        out = fold(kernel, patches, grid, rows, dtype, normalize=True, **more)
        check_fold(out, patches, grid.corners()[None], grid.patch, rows, dtype, normalize=True, **more)
    # As many weights of 1 as of -1.
    pair = patch_grid.grid((2, 3), (2, 2), (1, 1), "drop")
    patches = numbers(patches_shape(1, 1, 2, pair.patch, rows), dtype)
    out = fold(kernel, patches, pair, rows, dtype, confidence=np.array([[1.0, -1.0]]), normalize=True)
    assert (widen(out, dtype)[..., 1] == 0).all()
    # None at all.
    apart = patch_grid.grid((8, 8), (2, 3), (3, 5), "drop")
    patches = numbers(patches_shape(1, 2, apart.n_patches, apart.patch, rows), dtype)
    uncovered = scattered(np.ones((1, apart.n_patches, 1, 2, 3)), apart.corners()[None], apart.image)[0, 0] == 0
    assert uncovered.any()
    for normalize in (False, True):
        out = fold(kernel, patches, apart, rows, dtype, normalize=normalize)
        assert (widen(out, dtype)[:, :, uncovered] == 0).all()


@all_folds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_agrees_with_pytorch_on_patches_of_a_photograph(kernel: Kernel, dtype: str) -> None:
    photo = torch.tensor(photo_for(kernel)).to(getattr(torch, dtype)) / 255
    for patch, stride in (((8, 8), (1, 1)), ((8, 8), (4, 4)), ((7, 7), (5, 5)), ((3, 5), (2, 1))):
        if kernel.backend == "reference" and stride == (1, 1):
            continue
        grid = patch_grid.grid(photo.shape[2:], patch, stride, "drop")
        columns = torch.nn.functional.unfold(photo, patch, stride=stride)
        theirs = torch.nn.functional.fold(columns, grid.image, patch, stride=stride).numpy()
        # Both round n products and sums of positive numbers.
        n = -(-patch[0] // stride[0]) * -(-patch[1] // stride[1])
        bound = 2 * (n + 2) * np.finfo(dtype).eps * theirs
        turned = columns.transpose(1, 2).contiguous()
        for patches, rows in ((columns, False), (turned, True)):
            ours = fold(kernel, patches.numpy(), grid, rows, dtype)
            assert (np.abs(ours - theirs) <= bound).all()


@all_folds
@both_layouts
def test_is_the_adjoint_of_unfold(kernel: Kernel, rows: bool) -> None:
    rng = np.random.default_rng(0)
    for grid in grids_for(kernel):
        x = rng.standard_normal((1, 3, *grid.image))
        p = rng.standard_normal(patches_shape(1, 3, grid.n_patches, grid.patch, rows))
        unfolded = unfold(kernel.named("unfold"), x.view(np.int64), grid, rows).view(np.float64)
        folded = fold(kernel, p, grid, rows, "float64")
        assert folded.shape == x.shape
        error = 2.0**-52 * (p.size + grid.n_patches) * np.abs(unfolded * p).sum()
        assert abs((unfolded * p).sum() - (x * folded).sum()) <= error


@all_folds
@both_layouts
@all_dtypes
def test_the_mean_of_unfolded_patches_is_the_image(kernel: Kernel, dtype: str, rows: bool) -> None:
    for k, grid in enumerate(few_grids()):
        x = numbers((2, 3, *grid.image), dtype)
        raw = x if x.dtype.kind in "iu" else x.view(f"i{x.itemsize}")
        patches = unfold(kernel.named("unfold"), raw, grid, rows).view(x.dtype)
        more = weights(("mean", "windowed mean", "mean by both", "by an inverse")[k % 4], grid, 2, dtype)
        found = widen(fold(kernel, patches, grid, rows, dtype, **more), dtype)
        covered = inverse_of(None, grid, dtype) > 0
        expected = np.where(covered, widen(x, dtype), 0)
        if dtype in ("float32", "float64"):
            n = grid.patch[0] * grid.patch[1]
            np.testing.assert_allclose(found, expected, rtol=(2 * n + 8) * np.finfo(dtype).eps, atol=0)
        else:
            # Far from the middle of two neighbours, the mean is rounded to what all of them were.
            np.testing.assert_array_equal(found, expected)


@all_folds
@both_layouts
def test_what_is_not_finite_stays_where_its_patch_lies(kernel: Kernel, rows: bool) -> None:
    for border in BORDERS:
        grid = patch_grid.grid((11, 13), (4, 3), (2, 2), border)
        clean = numbers(patches_shape(2, 3, grid.n_patches, grid.patch, rows), "float32")
        tainted = clean.copy()
        channel = slice(2 * 12, 3 * 12)
        tainted[(1, 7, channel) if rows else (1, channel, 7)] = np.nan
        y, x = grid.corners()[7]
        touched = np.zeros((2, 3, 11, 13), bool)
        touched[1, 2, y : y + 4, x : x + 3] = True
        for normalize in (False, True):
            out = fold(kernel, tainted, grid, rows, "float32", normalize=normalize)
            without = fold(kernel, clean, grid, rows, "float32", normalize=normalize)
            assert np.isnan(out[touched]).all()
            assert out[~touched].tobytes() == without[~touched].tobytes()


@all_folds
@both_layouts
def test_nothing_of_nothing(kernel: Kernel, rows: bool) -> None:
    grid = few_grids()[0]
    for dtype in DTYPES:
        for n_images, n_channels in ((0, 3), (2, 0)):
            patches = numbers(patches_shape(n_images, n_channels, grid.n_patches, grid.patch, rows), dtype)
            confidence = np.ones((n_images, grid.n_patches))
            for more in ({}, {"confidence": confidence, "window": np.ones(grid.patch)}):
                out = fold(kernel, patches, grid, rows, dtype, normalize=True, **more)
                assert out.shape == (n_images, n_channels, *grid.image)


@fast_folds
@both_layouts
@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "float32", "float64"])
def test_threads_and_batches_change_nothing(kernel: Kernel, dtype: str, rows: bool) -> None:
    size, patch = ((13, 19), (3, 3)) if emulated(kernel) else ((63, 100), (7, 6))
    for border, stride in (("drop", (1, 1)), ("clamp_last", (2, 3))):
        grid = patch_grid.grid(size, patch, stride, border)
        patches = numbers(patches_shape(3, 5, grid.n_patches, patch, rows), dtype)
        more = weights("mean by both", grid, 3, dtype)
        whole = fold(kernel, patches, grid, rows, dtype, **more)
        for n_threads in (2, 3):
            assert fold(kernel, patches, grid, rows, dtype, n_threads=n_threads, **more).tobytes() == whole.tobytes()
        for b in range(3):
            one = more | {"confidence": more["confidence"][b : b + 1]}
            alone = fold(kernel, patches[b : b + 1], grid, rows, dtype, n_threads=2, **one)
            assert alone.tobytes() == whole[b].tobytes()


# Numba would hold the patches in float32, four times as many bytes.
@pytest.mark.slow
@pytest.mark.parametrize("kernel", [k for k in kernels("fold") if k.backend == "cpu"], ids=str)
@both_layouts
def test_more_elements_than_32_bits_can_count(kernel: Kernel, rows: bool) -> None:
    images = numbers((1, 1, 1000, 777), "uint8")
    grid = patch_grid.grid((1000, 777), (64, 60), (1, 1), "clamp_last")
    patches = unfold(kernel.named("unfold"), images, grid, rows, n_threads=2)
    assert patches.size > 2**31
    out = fold(kernel, patches, grid, rows, "uint8", normalize=True, n_threads=2)
    np.testing.assert_array_equal(out, images)
