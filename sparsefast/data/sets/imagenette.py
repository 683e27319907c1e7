"""Imagenette: ten classes of ImageNet that are easily told apart (J. Howard, fast.ai, 2019)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsefast.data.config import IMAGENETTE_VARIANTS, ImagenetteConfig
from sparsefast.data.crops import centre, flip_in_place, pixels8, planes, random_corners, shorter_side
from sparsefast.data.download import fetch
from sparsefast.images.reading import read

URL = "https://s3.amazonaws.com/fast-ai-imageclas/{}.tgz"
MD5 = {
    "imagenette2": "fe2fc210e6bb7c5664d602c3cd71e612",
    "imagenette2-320": "3df6f0d01a2c9592104656642f5e78a3",
    "imagenette2-160": "e793b78cc4c9e9a4ccc0c1155377a412",
}
SUFFIXES = (".jpeg", ".jpg")


class LabelledFiles:
    """Pictures of classes, resized by their shorter side and cropped: at random in training, else from the middle.

    Parameters
    ----------
    paths : list of path
    labels : array of shape (n,), int64
    config : ImagenetteConfig
        Its size, channels and flip.
    training : bool
    """

    def __init__(self, paths: list[Path], labels: np.ndarray, config: ImagenetteConfig, training: bool) -> None:
        self.paths, self.labels, self.training = paths, labels, training
        self.size, self.channels, self.flip = config.size, config.channels, config.flip and training

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        pictures = [shorter_side(pixels8(read(self.paths[index])), self.size) for index in indices.tolist()]
        if self.training:
            heights, widths = ([picture.shape[axis] for picture in pictures] for axis in (0, 1))
            top, left = random_corners(seeds, heights, widths, self.size)
            squares = [p[y : y + self.size, x : x + self.size] for p, y, x in zip(pictures, top, left, strict=True)]
        else:
            squares = [centre(picture, self.size) for picture in pictures]
        for image, square in zip(images, squares, strict=True):
            image[...] = planes(square, self.channels)
        if self.flip:
            flip_in_place(images, seeds)
        return {"image": images, "label": self.labels[indices]}


def open_imagenette(config: ImagenetteConfig, training: bool) -> LabelledFiles:
    """The set `imagenette2`: its folder `train`, and held out `val`; labels count the sorted names of the classes.

    Raises
    ------
    FileNotFoundError
        If it is missing, with its path and how to get it.
    ValueError
        If `val` has a class that `train` has not.
    """
    root, url = Path(config.root), URL.format(config.variant)
    at = root / config.variant
    if not at.is_dir() and config.download:
        fetch(url, MD5[config.variant], root, config.variant)
    if not at.is_dir():
        others = [name for name in IMAGENETTE_VARIANTS if (root / name).is_dir()]
        here = f"; data.variant={others[0]} is there" if others else ""
        raise FileNotFoundError(f"{at} is not there: unpack {url} in {root}, or set data.download=true{here}")
    side = at / ("train" if training else "val")
    files = {name: _pictures(side / name) for name in _folders(side)}
    if not any(files.values()):
        raise FileNotFoundError(f"{side} holds no pictures in folders of classes: remove {at}, and unpack {url} again")
    classes = _folders(at / "train")
    unknown = sorted(set(files) - set(classes))
    if unknown:
        raise ValueError(f"{side / unknown[0]} is of a class that {at / 'train'} has not")
    paths = [path for found in files.values() for path in found]
    labels = np.repeat([classes.index(name) for name in files], [len(found) for found in files.values()])
    return LabelledFiles(paths, labels.astype(np.int64), config, training)


def _folders(at: Path) -> list[str]:
    return sorted(path.name for path in at.iterdir() if path.is_dir()) if at.is_dir() else []


def _pictures(at: Path) -> list[Path]:
    # Those that begin with a dot are what archives of other systems leave behind.
    return sorted(p for p in at.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
