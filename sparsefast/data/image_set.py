"""What a set of images is, and how one is opened by its config."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparsefast.data.config import (
    CelebAConfig,
    CIFAR10Config,
    DataConfig,
    FolderConfig,
    ImagenetteConfig,
    PhotosConfig,
    SyntheticConfig,
)

TRAIN, HELD_OUT = "train", "held-out"


class ImageSet(Protocol):
    """Images of one size, by number. Sets can be pickled, for processes that are spawned."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Some of the images, each a function of its index and seed alone.

        Parameters
        ----------
        indices : array of shape (B,), int64, from 0 to len(self) - 1
        seeds : array of shape (B,), uint64
            Of `sparsefast.data.seeds.sample_seeds`; what is random of an image derives from its seed.

        Returns
        -------
        dict of arrays
            "image" (B, C, H, W), uint8; of labelled sets also "label" (B,), int64.

        Raises
        ------
        ValueError, OSError
            If a file is damaged or gone, naming it.
        """


def open_set(config: DataConfig, split: str) -> ImageSet:
    """The images of one side of a data set.

    Parameters
    ----------
    config : one of `sparsefast.data.config.CONFIGS`
    split : {"train", "held-out"}
        Held-out images are of other pictures than those of training, and the same whatever the seeds.

    Raises
    ------
    ValueError
        If a value of the config is not allowed, or files are damaged.
    FileNotFoundError
        If the data are not there, saying where they should be and how to get them.
    """
    config.check()
    if split not in (TRAIN, HELD_OUT):
        raise ValueError(f"open_set: split={split!r} must be {TRAIN!r} or {HELD_OUT!r}")
    training = split == TRAIN
    opened = _open(config, training)
    n = len(opened)
    if training or not 0 < config.eval_images < n:
        return opened
    # Not the first ones, which may all be of one class or one photograph.
    return _Some(opened, np.arange(config.eval_images) * n // config.eval_images)


def _open(config: DataConfig, training: bool) -> ImageSet:
    match config:
        case PhotosConfig():
            from sparsefast.data.sets.photos import open_photos

            return open_photos(config, training)
        case CIFAR10Config():
            from sparsefast.data.sets.cifar10 import open_cifar10

            return open_cifar10(config, training)
        case CelebAConfig():
            from sparsefast.data.sets.celeba import open_celeba

            return open_celeba(config, training)
        case ImagenetteConfig():
            from sparsefast.data.sets.imagenette import open_imagenette

            return open_imagenette(config, training)
        case FolderConfig():
            from sparsefast.data.sets.folder import open_folder

            return open_folder(config, training)
        case SyntheticConfig():
            from sparsefast.data.sets.synthetic import Synthetic

            return Synthetic(config, training)
    raise TypeError(f"open_set: config of type {type(config).__name__} must be one of sparsefast.data.config.CONFIGS")


class _Some:
    """A part of the images of a set."""

    def __init__(self, images: ImageSet, chosen: np.ndarray) -> None:
        self.images, self.chosen = images, chosen

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.images.image_shape

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        return self.images.batch(self.chosen[indices], seeds)
