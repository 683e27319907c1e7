"""Crops of the pictures of any folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from sparsefast.data.config import FolderConfig
from sparsefast.data.crops import flip_in_place, pixels8, planes, random_corners, shorter_side
from sparsefast.data.picture_cache import PictureCache
from sparsefast.data.seeds import PICTURE, uniform_integers
from sparsefast.images.formats import FORMATS
from sparsefast.images.reading import read

SUFFIXES = frozenset(suffix for form in FORMATS for suffix in form.suffixes)


class PictureFiles:
    """Crops of pictures in files: at random places in training, else from the middle.

    A picture whose shorter side is less than a crop is enlarged to that. Transparent parts are white, and 16 bits are
    rounded to 8.

    Parameters
    ----------
    paths : list of path
    config : FolderConfig
        Its size, channels, flip, epoch_images and cache_mb.
    training : bool
    """

    def __init__(self, paths: list[Path], config: FolderConfig, training: bool) -> None:
        self.paths, self.size, self.channels, self.training = paths, config.size, config.channels, training
        self.flip = config.flip and training
        # Whether each crop is of a picture drawn at random, instead of the one that its index says.
        self.drawn = training and config.epoch_images > 0
        self.n = config.epoch_images if self.drawn else len(paths)
        self.pictures = PictureCache(self.decode, config.cache_mb * 10**6)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    def __len__(self) -> int:
        return self.n

    def decode(self, number: int) -> np.ndarray:
        """A picture, no side of which is less than a crop: (C, H, W), uint8."""
        pixels = pixels8(read(self.paths[number]))
        if min(pixels.shape[:2]) < self.size:
            pixels = shorter_side(pixels, self.size)
        return planes(pixels, self.channels)

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        chosen = uniform_integers(seeds, PICTURE, len(self.paths)) if self.drawn else indices
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        for image, number, seed in zip(images, chosen.tolist(), seeds, strict=True):
            # One picture at a time: all those of a batch may be more than the memory holds.
            picture = self.pictures[number]
            height, width = picture.shape[1:]
            if self.training:
                (top,), (left,) = random_corners(seed[None], height, width, self.size)
            else:
                top, left = (height - self.size) // 2, (width - self.size) // 2
            image[...] = picture[:, top : top + self.size, left : left + self.size]
        if self.flip:
            flip_in_place(images, seeds)
        return {"image": images}


def open_folder(config: FolderConfig, training: bool) -> PictureFiles:
    """The set `folder`. What is held out goes by the path of a picture below the folder, so that it stays on its side
    when others are added, except where one side would have none.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    ValueError
        If it holds fewer than two pictures.
    """
    root = Path(config.root)
    if not root.is_dir():
        raise FileNotFoundError(f"data.root={config.root}: there is no such folder; it must hold pictures")
    names = sorted(_names(root))
    if len(names) < 2:
        found = "one picture" if names else "no picture"
        raise ValueError(f"data.root={config.root} holds {found}: one to train on and one to hold out are needed")
    keys = {name: _hash(name) for name in names}
    held_out = {name for name in names if keys[name] % config.holdout == 0}
    by_key = sorted(names, key=lambda name: keys[name])
    if not held_out:
        held_out = {by_key[0]}
    elif len(held_out) == len(names):
        held_out.remove(by_key[-1])
    return PictureFiles([root / name for name in names if (name in held_out) != training], config, training)


def _names(root: Path) -> list[str]:
    """The pictures in a folder and those below it, by their paths from there, with slashes."""
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        for file in files:
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES:
                found.append(Path(folder, file).relative_to(root).as_posix())
    return found


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())
