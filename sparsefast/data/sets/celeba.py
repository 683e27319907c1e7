"""CelebA, aligned and cropped (Z. Liu et al., Deep learning face attributes in the wild, ICCV 2015)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sparsefast.data.config import CelebAConfig
from sparsefast.data.crops import centre, flip_in_place, pixels8, planes, resized
from sparsefast.images.reading import read

PICTURES, PARTITION = "img_align_celeba", "list_eval_partition.txt"
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
TRAIN, VALID, TEST = range(3)


class Faces:
    """The middle of each picture, resized; read when it is asked for.

    Parameters
    ----------
    folder : path
    names : list of str
        Files in it.
    config : CelebAConfig
        Its size, channels and crop.
    flip : bool
        Mirror half of them, other ones in every epoch.
    """

    def __init__(self, folder: Path, names: list[str], config: CelebAConfig, flip: bool) -> None:
        self.folder, self.names, self.flip = folder, names, flip
        self.size, self.channels, self.crop = config.size, config.channels, config.crop

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        for image, index in zip(images, indices.tolist(), strict=True):
            path = self.folder / self.names[index]
            pixels = pixels8(read(path))
            if min(pixels.shape[:2]) < self.crop:
                height, width = pixels.shape[:2]
                raise ValueError(f"{path} is {width} x {height} pixels: smaller than data.crop={self.crop}")
            image[...] = planes(resized(centre(pixels, self.crop), self.size, self.size), self.channels)
        if self.flip:
            flip_in_place(images, seeds)
        return {"image": images}


def open_celeba(config: CelebAConfig, training: bool) -> Faces:
    """The set `celeba`: its training part, and held out its test part, or where the list has none its validation part.

    Raises
    ------
    FileNotFoundError
        If the pictures or the list of the parts are missing, with their path and what to do.
    ValueError
        If the list is damaged, naming it.
    """
    root = Path(config.root)
    places = (root / "celeba", root)
    at = next((place for place in places if (place / PICTURES).is_dir()), None)
    if at is None:
        raise FileNotFoundError(
            f"{places[0] / PICTURES} is not there: unpack {PICTURES}.zip of {PAGE} into {places[0]}, "
            f"and put {PARTITION} beside it"
        )
    listing = at / PARTITION
    if not listing.is_file():
        raise FileNotFoundError(f"{listing} is not there: put {PARTITION} of {PAGE} beside {PICTURES}")
    parts = _parts(listing)
    part = TRAIN if training else TEST if parts[TEST] else VALID
    names = parts[part]
    if not names:
        raise ValueError(
            f"{listing} lists no picture of {'training (0)' if training else 'testing (2) or validation (1)'}"
        )
    missing = set(names) - set(os.listdir(at / PICTURES))
    if missing:
        raise FileNotFoundError(
            f"{at / PICTURES / min(missing)} is not there, nor {len(missing) - 1} others of {PARTITION}: "
            f"unpack {PICTURES}.zip again"
        )
    return Faces(at / PICTURES, names, config, config.flip and training)


def _parts(listing: Path) -> tuple[list[str], list[str], list[str]]:
    """The names of the pictures of each part, in the order of the list: lines of a name and 0, 1 or 2."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for number, line in enumerate(listing.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match line.split():
            case [name, "0" | "1" | "2" as part] if name == os.path.basename(name):
                parts[int(part)].append(name)
            case []:
                pass
            case _:
                raise ValueError(f"{listing}, line {number}: {line[:60]!r} must be the name of a picture and 0, 1 or 2")
    return parts
