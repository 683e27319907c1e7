"""Overlapping patches of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import threads
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import resolve
from sparsefast.ops import patch_arguments as given
from sparsefast.ops.hook import needs_torch
from sparsefast.ops.patch_corners import corners_of
from sparsefast.ops.patch_views import view_of


def unfold(
    images: Array,
    patch_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    *,
    border: str = "clamp_last",
    layout: str = "columns",
    centers: Array | None = None,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Overlapping patches of a batch of images: what `fold` puts together again.

    Parameters
    ----------
    images : array of shape (B, C, H, W) or (C, H, W)
        uint8, float16, bfloat16 (PyTorch), float32 or float64, in NumPy, PyTorch or CuPy, with any strides.
    patch_size, stride : int or (int, int)
        Height and width, in pixels. Patches begin at multiples of the stride, row by row from the top left.
    border : {"clamp_last", "pad", "drop"}
        What happens where the last stride does not end at the border of the image. "clamp_last": one more patch ends
        there, so that every pixel is in a patch as long as the stride is at most the patch size. "pad": one more
        stride is made, and what lies outside of the image is 0. "drop": pixels behind the last patch are in none, as
        torch.nn.functional.unfold does.
    layout : {"columns", "patches", "signals"}
        The shape of the result; "signals" are rows, as `omp` takes them.
    centers : array of shape (L, 2) or (B, L, 2), optional
        Rows and columns of the centers of patches that lie on no grid, in pixels, of the kind and on the device of the
        images; integers or floats, as of `patch_centers`. A patch begins at the whole pixel nearest to
        center - (patch_size - 1) / 2, the later one of two. What lies outside of the image is 0, and so is a patch
        whose center is NaN. Without stride and border.
    out : array, optional
        Where to write the result: C-contiguous, of the shape, kind, dtype and device of the result, and not in the
        memory of the images. It records no gradient.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.

    Returns
    -------
    array of shape (B, C * ph * pw, L) ("columns"), (B, L, C, ph, pw) ("patches") or (B, L, C * ph * pw) ("signals")
        Of the kind and dtype of the images, without B where they have none; L patches, as
        `patch_centers(...).shape[0]` says. With border="drop" the columns are those of torch.nn.functional.unfold, bit
        for bit. Without `out` it is a view of the images where the layout is one (as that of patches of one pixel);
        NumPy's is read-only.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds.
    ValueError
        If a patch is larger than the image (but with "pad"), a shape is wrong, devices differ, or `out` cannot be
        written to.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    Notes
    -----
    Linear in the images; its derivative is `fold` with normalize=False, and in PyTorch it can be differentiated as
    often as one likes. The operation is im2col: K. Chellapilla, S. Puri, P. Simard, "High performance convolutional
    neural networks for document processing", 2006.
    """
    if not isinstance(images, np.ndarray) and needs_torch(images, centers, out):
        from sparsefast.ops import torch_patches

        return torch_patches.unfold(images, patch_size, stride, border, layout, centers, out, backend)
    return run_unfold(images, patch_size, stride, border, layout, centers, out, backend)


def check_unfold(
    images: Array, patch_size: Any, stride: Any, border: str, layout: str, centers: Array | None
) -> tuple[Kind, str, str, given.Placement]:
    """Kind, device in full and dtype of the images, and the places of the patches."""
    kind, device, dtype, size = given.check_images("unfold", images)
    batch = images.shape[0] if images.ndim == 4 else None
    if centers is not None:
        given.check_beside("unfold", "centers", centers, kind, device, "images")
    places = given.check_placement("unfold", size, patch_size, stride, border, layout, centers, batch)
    return kind, device, dtype, places


def run_unfold(
    images: Array,
    patch_size: Any,
    stride: Any = 1,
    border: str = "clamp_last",
    layout: str = "columns",
    centers: Array | None = None,
    out: Array | None = None,
    backend: str | None = None,
    *,
    views: bool = True,
) -> Array:
    """`unfold` without the detour over PyTorch: tensors are read as they are, and nothing is recorded. With views=False
    the result is never a view."""
    kind, device, dtype, places = check_unfold(images, patch_size, stride, border, layout, centers)
    choice = resolve("unfold", device if device == "cpu" else device.partition(":")[0], dtype, backend)
    batch = tuple(images.shape[:-3])
    shape = places.shape(batch, images.shape[-3])
    if out is not None:
        given.check_out("unfold", out, shape, "images", images, (kind, device, dtype))
    here = kind.on(images)
    if out is None and views:
        view = view_of(images.shape, here.strides(images), places)
        if view is not None:
            return here.as_strided(images, *view)
    x = here.bits(here.elements(images))
    if not batch:
        x = x[None]
    result, written = here.empty(shape, dtype) if out is None else (out, here.elements(out))
    to = here.bits(written).reshape(places.dense_shape(x.shape[0], x.shape[1]))
    n_threads = threads.get_num_threads()
    if places.centers is None:
        choice.module.unfold(x, places.grid, places.rows, to, n_threads)
    else:
        corners = corners_of(places, here)
        choice.module.unfold_at(x, corners, places.patch, places.rows, to, n_threads)
    return result
