"""Crops of the photographs that other packages ship."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from sparsefast.data.config import PhotosConfig
from sparsefast.data.crops import flip_in_place, planes, random_corners
from sparsefast.data.seeds import PICTURE, uniform_integers
from sparsefast.images.photos import HELD_OUT, TRAIN, photos
from sparsefast.images.reading import read


class RandomCrops:
    """Crops at random places of pictures in memory, each picture as often as its area says.

    Parameters
    ----------
    pictures : list of arrays of shape (C, H, W), uint8
        None smaller than `size`.
    size : int
        Side of the crops, in pixels.
    n : int
        Crops of an epoch.
    flip : bool
        Mirror half of them.
    """

    def __init__(self, pictures: list[np.ndarray], size: int, n: int, flip: bool) -> None:
        self.pictures, self.size, self.n, self.flip = pictures, size, n, flip
        self.heights, self.widths = (np.array([picture.shape[axis] for picture in pictures]) for axis in (1, 2))
        self.ends = np.cumsum(self.heights * self.widths)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return len(self.pictures[0]), self.size, self.size

    def __len__(self) -> int:
        return self.n

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        # A random pixel of all, and the picture that it lies in.
        chosen = np.searchsorted(self.ends, uniform_integers(seeds, PICTURE, self.ends[-1]), side="right")
        top, left = random_corners(seeds, self.heights[chosen], self.widths[chosen], self.size)
        images = cut(self.pictures, chosen.tolist(), top, left, self.size)
        if self.flip:
            flip_in_place(images, seeds)
        return {"image": images}


class GridCrops:
    """Crops that do not overlap, side by side in the middle of pictures (C, H, W), uint8; the same in every epoch."""

    def __init__(self, pictures: list[np.ndarray], size: int) -> None:
        self.pictures, self.size = pictures, size
        self.places = np.array(
            [
                (number, picture.shape[1] % size // 2 + row * size, picture.shape[2] % size // 2 + column * size)
                for number, picture in enumerate(pictures)
                for row in range(picture.shape[1] // size)
                for column in range(picture.shape[2] // size)
            ]
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return len(self.pictures[0]), self.size, self.size

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        chosen, top, left = self.places[indices].T.tolist()
        return {"image": cut(self.pictures, chosen, top, left, self.size)}


def cut(pictures: list[np.ndarray], chosen: list[int], top: list[int], left: list[int], size: int) -> np.ndarray:
    """Squares of pictures (C, H, W): (B, C, size, size), uint8."""
    # Copies of slices go by rows of pixels; gathering through an index of every pixel takes four times as long.
    images = np.empty((len(chosen), len(pictures[0]), size, size), np.uint8)
    for image, number, y, x in zip(images, chosen, top, left, strict=True):
        image[...] = pictures[number][:, y : y + size, x : x + size]
    return images


def open_photos(config: PhotosConfig, training: bool) -> RandomCrops | GridCrops:
    """The set `photos`.

    Raises
    ------
    FileNotFoundError
        If no photograph is installed.
    ValueError
        If all are smaller than `data.size`.
    """
    found = photos(TRAIN if training else HELD_OUT)
    if not found:
        raise FileNotFoundError(
            "data=photos: no photograph is installed; pip install scikit-image (or scikit-learn), or name another data="
        )
    pictures = _decoded(tuple(found.paths.values()), config.channels)
    large = [picture for picture in pictures if min(picture.shape[1:]) >= config.size]
    if not large:
        most = max(min(picture.shape[1:]) for picture in pictures)
        side = "of training" if training else "held out"
        raise ValueError(
            f"data.size={config.size} must be at most {most}, as the largest photograph {side} has no more"
        )
    if training:
        return RandomCrops(large, config.size, config.epoch_images, config.flip)
    return GridCrops(large, config.size)


@functools.lru_cache(maxsize=2)
def _decoded(paths: tuple[Path, ...], channels: int) -> list[np.ndarray]:
    """Pictures (C, H, W), uint8, read once in a process: those of training are 20 MB."""
    return [planes(read(path).pixels, channels) for path in paths]
