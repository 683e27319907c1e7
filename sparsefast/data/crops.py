"""Square parts of pictures, mirrored or not, and the pixels that all data sets share: (C, H, W), uint8."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.data.seeds import COLUMN, FLIP, ROW, uniform_integers
from sparsefast.images.picture import Picture
from sparsefast.images.values import from_float, to_float


def planes(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3), uint8, as (3, H, W), grey thrice, or (1, H, W), luma; contiguous."""
    if channels == 1:
        return luma(np.moveaxis(pixels, 2, 0)) if pixels.ndim == 3 else np.ascontiguousarray(pixels[None])
    if pixels.ndim == 2:
        return np.repeat(pixels[None], 3, axis=0)
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0))


def luma(rgb: np.ndarray) -> np.ndarray:
    """0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), as Pillow rounds it: (..., 3, H, W) to (..., 1, H, W), uint8."""
    red, green, blue = (rgb[..., [channel], :, :].astype(np.uint32) for channel in range(3))
    # In 1/65536: the three add up to 1, so grey stays what it is.
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def pixels8(picture: Picture) -> np.ndarray:
    """The pixels of a picture in 8 bits, on white where it is transparent: (H, W) or (H, W, 3)."""
    if picture.alpha is None:
        return picture.pixels if picture.bits == 8 else from_float(to_float(picture.pixels))
    alpha = to_float(picture.alpha)
    alpha = alpha if picture.pixels.ndim == 2 else alpha[:, :, None]
    return from_float(alpha * to_float(picture.pixels) + (1 - alpha))


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3), uint8, in another size: bilinear, and averaged where it becomes smaller."""
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    # Pillow counts in integers here, so every machine gives the same.
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def shorter_side(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels resized so that the shorter side has that length, in the same proportions."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    return resized(
        pixels, (2 * height * side + shorter) // (2 * shorter), (2 * width * side + shorter) // (2 * shorter)
    )


def centre(pixels: np.ndarray, side: int) -> np.ndarray:
    """The square in the middle of (H, W, ...); where it cannot be, half a pixel above and left of it."""
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def random_corners(seeds: np.ndarray, heights: Any, widths: Any, size: int) -> tuple[list[int], list[int]]:
    """Top and left of a random square of that size in each picture: B rows and columns of pixels."""
    top = uniform_integers(seeds, ROW, np.asarray(heights) - size + 1)
    left = uniform_integers(seeds, COLUMN, np.asarray(widths) - size + 1)
    return top.tolist(), left.tolist()


def flip_in_place(images: np.ndarray, seeds: np.ndarray) -> None:
    """Mirror those of the images (B, C, H, W) whose seed says so, half of them."""
    # One at a time stays in the cache, and is faster than all of them through an index.
    for number in np.flatnonzero(uniform_integers(seeds, FLIP, 2)):
        images[number] = images[number, :, :, ::-1].copy()
