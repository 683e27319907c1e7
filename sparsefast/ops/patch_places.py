"""Where the patches of `unfold` and `fold` lie, and how much of an image they cover."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.arrays import Array
from sparsefast.ops import patch_arguments as given
from sparsefast.ops.fold import check_fold, check_weights, run_fold
from sparsefast.ops.patch_weights import coverage, named_window


def patch_centers(
    image_size: int | tuple[int, int],
    patch_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    *,
    border: str = "clamp_last",
    like: Array | None = None,
) -> Array:
    """The centers of the patches that `unfold` takes out of images, in its order.

    Parameters
    ----------
    image_size : int or (int, int)
        Height and width of the images, in pixels.
    patch_size, stride, border
        As for `unfold`.
    like : array, optional
        The result is of its kind and on its device, float32 unless it is float64.

    Returns
    -------
    array of shape (L, 2), float64 where `like` is not given
        Rows and columns, in pixels: patches of even size have their center between two.

    Raises
    ------
    TypeError, ValueError
        As for `unfold`.
    """
    size = given.check_pair("patch_centers", "image_size", image_size)
    places = given.check_placement("patch_centers", size, patch_size, stride, border, "columns")
    centers = places.grid.corners() + (np.array(places.patch) - 1) / 2
    if like is None:
        return centers
    kind, _, dtype = given.check_array("patch_centers", "like", like, tuple(range(65)), "an array")
    here = kind.on(like)
    return here.wrap(here.from_numpy(centers.astype("float64" if dtype == "float64" else "float32")))


def coverage_map(
    output_size: int | tuple[int, int],
    patch_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    *,
    border: str = "clamp_last",
    weights: str | np.ndarray = "uniform",
    centers: np.ndarray | None = None,
) -> np.ndarray:
    """How much weight each pixel gets from the patches that cover it: 0 where none does.

    Parameters
    ----------
    output_size, patch_size, stride, border, weights, centers
        As for `fold`; arrays are NumPy arrays, centers (L, 2).

    Returns
    -------
    array of shape (H, W), float64
        With uniform weights the number of patches.

    Raises
    ------
    TypeError, ValueError
        As for `fold`.
    """
    size = given.check_pair("coverage_map", "output_size", output_size)
    places = given.check_placement("coverage_map", size, patch_size, stride, border, "columns", centers)
    check_weights("coverage_map", weights, None, (), places, arrays.NUMPY, "cpu")
    if centers is None:
        if isinstance(weights, str):
            return coverage(places.grid, named_window(weights, places.patch, True))
        return coverage(places.grid, np.asarray(weights, np.float64))
    ones: Any = np.ones((places.patch[0] * places.patch[1], places.n_patches))
    call = check_fold(ones, size, places.patch, 1, border, "columns", weights, None, False, centers)
    return run_fold(call, ones, weights, None, False)[0]
