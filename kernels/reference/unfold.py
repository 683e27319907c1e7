"""Overlapping patches of images: the definition.

For an image x (C, H, W) and patch l of ph x pw pixels, whose first pixel is (y_l, x_l),

    patch_l(c, i, j) = x(c, y_l + i, x_l + j)        0 outside of the image

which is copied bit for bit. Patches lie on a grid (sparsefast.kernels.patch_grid), or at corners of their own:
anywhere, outside of the image too. They are the columns or the rows of the result, with (c, i, j) read as one index.

Source: im2col of convolution, torch.nn.functional.unfold.
"""

import numpy as np

from sparsefast.kernels.patch_grid import Grid

__all__ = ["inside", "unfold", "unfold_at"]


def unfold(images: np.ndarray, grid: Grid, rows: bool, out: np.ndarray, n_threads: int) -> None:
    """Copy the patches of images (B, C, H, W) to out: (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw)."""
    unfold_at(images, grid.corners()[None], grid.patch, rows, out, n_threads)


def unfold_at(
    images: np.ndarray, corners: np.ndarray, patch: tuple[int, int], rows: bool, out: np.ndarray, n_threads: int
) -> None:
    """Copy the patches at corners (B or 1, L, 2) to out, as `unfold` does."""
    n_images, n_channels, *size = images.shape
    by_patch = out if rows else out.transpose(0, 2, 1)
    out[...] = 0
    for b in range(n_images):
        for n, (y, x) in enumerate(corners[b % len(corners)].tolist()):
            image_y, patch_y = inside(y, patch[0], size[0])
            image_x, patch_x = inside(x, patch[1], size[1])
            copied = np.zeros((n_channels, *patch), images.dtype)
            copied[:, patch_y, patch_x] = images[b, :, image_y, image_x]
            by_patch[b, n] = copied.reshape(-1)


def inside(start: int, patch: int, size: int) -> tuple[slice, slice]:
    """Of a patch from pixel `start` on, along one axis: the part that lies in the image, as pixels of the image and as
    pixels of the patch."""
    first = min(max(start, 0), size)
    stop = max(first, min(start + patch, size))
    skipped = max(0, first - start)
    return slice(first, stop), slice(skipped, skipped + stop - first)
