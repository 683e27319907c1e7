"""CIFAR-10, from the files that its authors publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparsefast.data.cifar_files import read_binary, read_pickled
from sparsefast.data.config import CIFAR10Config
from sparsefast.data.crops import flip_in_place, luma, resized
from sparsefast.data.download import fetch

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
PICKLED, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
# By the folder: what the names of its files end in, and how one is read.
_FORMS: dict[str, tuple[str, Callable[[Path], tuple[np.ndarray, np.ndarray]]]] = {
    PICKLED: ("", read_pickled),
    BINARY: (".bin", read_binary),
}


class InMemory:
    """Labelled images in memory, mirrored or not.

    Parameters
    ----------
    images : array of shape (n, C, H, W), uint8
    labels : array of shape (n,), int64
    flip : bool
        Mirror half of them, other ones in every epoch.
    size : int
        Side that they are resized to.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, flip: bool, size: int) -> None:
        self.images, self.labels, self.flip, self.size = images, labels, flip, size

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.images.shape[1], self.size, self.size

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        images = self.images[indices]
        if images.shape[2] != self.size:
            larger = np.empty((len(images), *self.image_shape), np.uint8)
            for to, image in zip(larger, images, strict=True):
                for channel, plane in zip(to, image, strict=True):
                    channel[...] = resized(plane, self.size, self.size)
            images = larger
        if self.flip:
            flip_in_place(images, seeds)
        return {"image": images, "label": self.labels[indices]}


def open_cifar10(config: CIFAR10Config, training: bool) -> InMemory:
    """The set `cifar10`; the pickled files go before the binary ones where both are there.

    Raises
    ------
    FileNotFoundError
        If a file is missing, with its path and how to get it.
    ValueError
        If one is damaged, naming it.
    """
    root = Path(config.root)
    folder = next((name for name in _FORMS if (root / name).is_dir()), None)
    if folder is None and config.download:
        fetch(URL, MD5, root, PICKLED)
        folder = PICKLED
    if folder is None:
        raise FileNotFoundError(f"{root / PICKLED} (or {BINARY}) is not there: unpack {URL} in {root}, or {_OR_ELSE}")
    suffix, read = _FORMS[folder]
    names = [f"data_batch_{number}" for number in range(1, 6)] if training else ["test_batch"]
    batches = []
    for path in (root / folder / f"{name}{suffix}" for name in names):
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there: remove {root / folder}, and unpack {URL} again, or {_OR_ELSE}"
            )
        batches.append(read(path))
    images = np.concatenate([images for images, _ in batches])
    images = luma(images) if config.channels == 1 else images
    return InMemory(images, np.concatenate([labels for _, labels in batches]), config.flip and training, config.size)


_OR_ELSE = "set data.download=true"
