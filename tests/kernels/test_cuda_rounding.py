"""Elements of 8 and 16 bits, which the CUDA kernels of the patches family convert by themselves."""

import numpy as np
import pytest

from sparsefast.kernels import patch_grid
from sparsefast.kernels.numbers import STORED, narrow, widen
from tests.kernels.cuda_patches import SIZES, fold, fold_at, grids, laid_out, random_elements, some_corners

pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")


@pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16"])
def test_short_types_are_the_sums_in_float32_rounded_once(dtype: str, rows: bool) -> None:
    rng = np.random.default_rng(8)
    for image, patch, stride, channels in SIZES:
        window = rng.random(patch).astype(np.float32)
        for grid in grids(image, patch, stride).values():
            raw = laid_out(random_elements(rng, (2, grid.n_patches, channels, *patch), dtype), rows)
            for normalize in (True, False):
                given = {"window": window, "normalize": normalize}
                exact = fold(widen(raw, dtype), grid, rows, "float32", channels, **given)
                found = fold(raw, grid, rows, dtype, channels, **given)
                np.testing.assert_array_equal(found, narrow(exact, dtype))
        corners = some_corners(rng, 2, 20, image, patch)
        raw = laid_out(random_elements(rng, (2, 20, channels, *patch), dtype), rows)
        exact = fold_at(widen(raw, dtype), corners, image, patch, rows, "float32", channels, window=window)
        found = fold_at(raw, corners, image, patch, rows, dtype, channels, window=window)
        np.testing.assert_array_equal(found, narrow(exact, dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_number_of_sixteen_bits_comes_back(dtype: str) -> None:
    """Patches of one pixel: what is read is what is written, but for the bits of a NaN."""
    raw = np.arange(1 << 16, dtype=np.uint16).view(STORED[dtype]).reshape(1, 1, -1)
    grid = patch_grid.grid((1 << 8, 1 << 8), (1, 1), (1, 1), "drop")
    found = fold(raw, grid, False, dtype, 1, normalize=False).reshape(-1)
    nan = np.isnan(widen(raw.reshape(-1), dtype))
    np.testing.assert_array_equal(np.isnan(widen(found, dtype)), nan)
    # A sum begins at zero, and so is never the negative zero.
    zero = widen(raw.reshape(-1), dtype) == 0
    np.testing.assert_array_equal(found.view(np.uint16)[~nan & ~zero], raw.reshape(-1).view(np.uint16)[~nan & ~zero])
    assert not found.view(np.uint16)[zero].any()


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16"])
def test_rounding_between_neighbours(dtype: str) -> None:
    """A window of one pixel scales by what brings sums onto ties, past the range, and among the smallest numbers."""
    rng = np.random.default_rng(9)
    grid = patch_grid.grid((64, 64), (1, 1), (1, 1), "drop")
    for scale in (0.5, 1.5, 2.0, 1e-3, 2.0**-9, 2.0**-14, 3.0**9, -1.0, np.nan):
        raw = random_elements(rng, (1, 1, 4096), dtype)
        window = np.full((1, 1), scale, np.float32)
        found = fold(raw, grid, False, dtype, 1, window=window, normalize=False)
        exact = (widen(raw, dtype) * np.float32(scale)).reshape(found.shape)
        np.testing.assert_array_equal(widen(found, dtype), widen(narrow(exact, dtype), dtype))
