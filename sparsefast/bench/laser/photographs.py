"""Grey photographs, cut into patches and put together again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sparsefast.images.photos import photos

# A multiple of every patch size, so that all contenders code the same pixels.
GRID = 48
LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""
TUNE = ("astronaut", "chelsea", "coins")
"""The photographs of the train split that settings are chosen on; the others are learnt from."""


def luma(image: np.ndarray) -> np.ndarray:
    """(H, W) float64 of 0 to 255, of an image (H, W) or (H, W, 3)."""
    image = image.astype(np.float64)
    return image if image.ndim == 2 else image @ LUMA


def open_photos(split: str, names: Iterable[str] | None = None, most: int | None = None) -> dict[str, np.ndarray]:
    """Luma of photographs, the middle of each as far as GRID divides it, and at most `most` pixels on a side."""
    library, found = photos(split), {}
    for name in library if names is None else names:
        if name not in library:
            continue
        image = luma(library[name])
        sides = [min(n, most or n) // GRID * GRID for n in image.shape]
        top, left = ((n - side) // 2 for n, side in zip(image.shape, sides, strict=True))
        found[name] = image[top : top + sides[0], left : left + sides[1]]
    return found


def cut(image: np.ndarray, size: int) -> np.ndarray:
    """Non-overlapping patches (rows, columns, size^2) of (H, W), of which size divides both sides."""
    height, width = (n // size for n in image.shape)
    return image.reshape(height, size, width, size).transpose(0, 2, 1, 3).reshape(height, width, -1)


def join(patches: np.ndarray, size: int) -> np.ndarray:
    """The image that `cut` cut."""
    height, width = patches.shape[:2]
    return patches.reshape(height, width, size, size).transpose(0, 2, 1, 3).reshape(height * size, width * size)


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    """In dB for a peak of 255."""
    return float(10 * np.log10(255**2 / np.mean((truth - image) ** 2)))
