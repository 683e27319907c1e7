"""Photographs in luma or in colours, cut into patches and put together again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sparsefast.images.photos import photos

# A multiple of every patch size, so that all contenders code the same pixels.
GRID = 48
LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [0.5, -1, 0.5]]) / np.sqrt(np.array([[3], [2], [1.5]]))
"""Rows are brightness, red less blue, and both less green: orthonormal, so that errors are those of RGB."""
SPACES = ("luma", "rgb")
TUNE = ("astronaut", "chelsea", "coins")
"""The photographs of the train split that settings are chosen on; the others are learnt from."""


def planes(image: np.ndarray, space: str) -> np.ndarray:
    """(H, W, 1) luma in 0 to 255 or (H, W, 3) in the colours of OPPONENT, float64, of an image (H, W) or (H, W, 3)."""
    image = image.astype(np.float64)
    if space == "rgb":
        return np.asarray(image @ OPPONENT.T)
    return (image if image.ndim == 2 else image @ LUMA)[:, :, None]


def clipped(image: np.ndarray) -> np.ndarray:
    """Planes (H, W, C) as those of a picture in 0 to 255."""
    if image.shape[2] == 1:
        return np.clip(image, 0, 255)
    return np.asarray(np.clip(image @ OPPONENT, 0, 255) @ OPPONENT.T)


def open_photos(
    split: str, names: Iterable[str] | None = None, most: int | None = None, space: str = "luma"
) -> dict[str, np.ndarray]:
    """Planes (H, W, C) of photographs, the middle of each as far as GRID divides it, and at most `most` pixels on a
    side; in rgb those that have colours."""
    library, found = photos(split), {}
    for name in library if names is None else names:
        if name not in library or (space == "rgb" and library[name].ndim == 2):
            continue
        image = planes(library[name], space)
        sides = [min(n, most or n) // GRID * GRID for n in image.shape[:2]]
        top, left = ((n - side) // 2 for n, side in zip(image.shape, sides, strict=False))
        found[name] = image[top : top + sides[0], left : left + sides[1]]
    return found


def cut(image: np.ndarray, size: int) -> np.ndarray:
    """Non-overlapping patches (rows, columns, C, size^2) of (H, W, C), of which size divides both sides."""
    height, width = (n // size for n in image.shape[:2])
    tiles = image.reshape(height, size, width, size, -1).transpose(0, 2, 4, 1, 3)
    return tiles.reshape(height, width, image.shape[2], size**2)


def join(patches: np.ndarray, size: int) -> np.ndarray:
    """The image that `cut` cut."""
    height, width, channels = patches.shape[:3]
    tiles = patches.reshape(height, width, channels, size, size).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(height * size, width * size, channels)


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    """In dB for a peak of 255."""
    return float(10 * np.log10(255**2 / np.mean((truth - image) ** 2)))
