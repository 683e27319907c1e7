"""What can be set of each data set: one class for each choice of the group `data`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

START_METHODS = ("fork", "spawn")
KINDS = ("dead-leaves", "gaussian-field", "texture")
IMAGENETTE_VARIANTS = ("imagenette2", "imagenette2-320", "imagenette2-160")
CELEBA_SHORTER_SIDE = 178


@dataclasses.dataclass
class DataConfig:
    """What every data set has."""

    # The choice of the group, which is what the set is called.
    name: str = ""
    # Side of the square images, in pixels; at least 1.
    size: int = 64
    # 3: RGB, where grey pictures have three equal channels; 1: luma (ITU-R BT.601).
    channels: int = 3
    # Images of one training step, over all processes; at least 1, and a multiple of their number.
    batch_size: int = 32
    # Images of one step of evaluation, over all processes; at least 1.
    eval_batch_size: int = 64
    # The most held-out images that are used, evenly spaced over all of them; 0: all.
    eval_images: int = 0
    # Whether half of the training images are mirrored, left and right exchanged.
    flip: bool = True
    # Processes that prepare batches beside each training process; 0: none, it does so itself.
    workers: int = 0
    # How these are started: "fork" (at once, sharing the pictures in memory) or "spawn" (afresh).
    start_method: str = "fork"

    def check(self) -> None:
        """Raise ValueError, naming the key, its value and what is allowed, if a value is not."""
        _one_of(self, "name", [name for name, kind in CONFIGS.items() if type(self) is kind])
        for key in ("size", "batch_size", "eval_batch_size"):
            _at_least(self, key, 1)
        for key in ("eval_images", "workers"):
            _at_least(self, key, 0)
        _one_of(self, "channels", (1, 3))
        _one_of(self, "start_method", START_METHODS)


@dataclasses.dataclass
class PhotosConfig(DataConfig):
    """The photographs that scikit-image and scikit-learn ship: random crops in training, a grid of them held out."""

    name: str = "photos"
    # Crops of one epoch; at least 1.
    epoch_images: int = 8192

    def check(self) -> None:
        super().check()
        _at_least(self, "epoch_images", 1)


@dataclasses.dataclass
class CIFAR10Config(DataConfig):
    """CIFAR-10: 50000 labelled images of 32 x 32 in training, 10000 held out (its test batch)."""

    name: str = "cifar10"
    # Other sizes than 32 are resized to.
    size: int = 32
    # The folder that holds cifar-10-batches-py or cifar-10-batches-bin.
    root: str = "data"
    # Whether it is fetched into `root` (170 MB) where it is missing.
    download: bool = False

    def check(self) -> None:
        super().check()
        _not_empty(self, "root")


@dataclasses.dataclass
class CelebAConfig(DataConfig):
    """CelebA, aligned and cropped (178 x 218): the middle of each face, resized."""

    name: str = "celeba"
    # The folder that holds celeba/img_align_celeba, or img_align_celeba itself.
    root: str = "data"
    # Side of the square that is cut out of the middle before it is resized to `size`, in pixels; 1 to 178.
    crop: int = 140

    def check(self) -> None:
        super().check()
        _not_empty(self, "root")
        if not 1 <= self.crop <= CELEBA_SHORTER_SIDE:
            raise ValueError(
                f"data.crop={self.crop} must be from 1 to {CELEBA_SHORTER_SIDE}, the width of the pictures"
            )


@dataclasses.dataclass
class ImagenetteConfig(DataConfig):
    """Imagenette: ten labelled classes of ImageNet. Resized to `size` by the shorter side, then cropped."""

    name: str = "imagenette2"
    size: int = 128
    # The folder that holds the folder of the variant.
    root: str = "data"
    # Which is read: "imagenette2" (pictures as they were), "imagenette2-320" or "imagenette2-160" (shorter side).
    variant: str = "imagenette2-160"
    # Whether it is fetched into `root` (99 MB for -160, 342 MB for -320, 1.6 GB in full) where it is missing.
    download: bool = False

    def check(self) -> None:
        super().check()
        _not_empty(self, "root")
        _one_of(self, "variant", IMAGENETTE_VARIANTS)


@dataclasses.dataclass
class FolderConfig(DataConfig):
    """Any folder of pictures: random crops in training, the middle of each held-out picture."""

    name: str = "folder"
    # The folder, which is searched with all folders below it; required.
    root: str = ""
    # Crops of one epoch, each of a picture drawn at random; 0: one of each picture.
    epoch_images: int = 0
    # One picture in so many is held out, by a hash of its path below `root`; at least 2.
    holdout: int = 10
    # Decoded pictures that each process keeps, in MB (10^6 bytes); 0: none.
    cache_mb: int = 512

    def check(self) -> None:
        super().check()
        _not_empty(self, "root")
        _at_least(self, "epoch_images", 0)
        _at_least(self, "holdout", 2)
        _at_least(self, "cache_mb", 0)


@dataclasses.dataclass
class SyntheticConfig(DataConfig):
    """Made pictures, new ones in every epoch of training; the held-out ones are the same in every run."""

    name: str = "synthetic"
    # They look the same in a mirror: it would change nothing but the pictures.
    flip: bool = False
    # Images of one epoch; at least 1.
    epoch_images: int = 8192
    # Held-out images; at least 1, as there is no end to them.
    eval_images: int = 512
    # What is made, each as often as it is listed: "dead-leaves", "gaussian-field", "texture".
    kinds: list[str] = dataclasses.field(default_factory=lambda: list(KINDS))
    # Exponent of the power spectrum 1 / f^alpha of Gaussian fields; 0 (white) to 4; photographs have about 2.
    alpha: float = 2.0

    def check(self) -> None:
        super().check()
        _at_least(self, "epoch_images", 1)
        _at_least(self, "eval_images", 1)
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ValueError(f"data.kinds={list(self.kinds)} must be one or more of {', '.join(KINDS)}")
        if not 0 <= self.alpha <= 4:
            raise ValueError(f"data.alpha={self.alpha} must be from 0 to 4")


CONFIGS: dict[str, type[DataConfig]] = {
    "photos": PhotosConfig,
    "cifar10": CIFAR10Config,
    "celeba": CelebAConfig,
    "imagenette2": ImagenetteConfig,
    "folder": FolderConfig,
    "synthetic": SyntheticConfig,
}


def _at_least(config: DataConfig, key: str, least: int) -> None:
    if getattr(config, key) < least:
        raise ValueError(f"data.{key}={getattr(config, key)} must be at least {least}")


def _one_of(config: DataConfig, key: str, allowed: Sequence[int | str]) -> None:
    if getattr(config, key) not in allowed:
        raise ValueError(f"data.{key}={getattr(config, key)!r} must be one of {', '.join(map(str, allowed))}")


def _not_empty(config: DataConfig, key: str) -> None:
    if not getattr(config, key):
        raise ValueError(f"data.{key}='' must be a folder, as data.{key}=pictures")
