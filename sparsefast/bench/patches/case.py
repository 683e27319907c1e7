"""Which patches are measured, and the images that they are cut from: crops of photographs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.data import SEED, photographs

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Patches of one size, on a grid or at corners of their own, of a batch of images."""

    name: str
    patch: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    border: str = "drop"
    scattered: int = 0
    """How many patches at corners drawn at random, the same of all images; with 0 they lie on a grid."""
    n_images: int = 16
    channels: int = 3
    size: tuple[int, int] = (256, 256)

    @property
    def n_features(self) -> int:
        return self.channels * self.patch[0] * self.patch[1]

    @property
    def n_patches(self) -> int:
        return len(self.corners)

    @property
    def of_torch(self) -> bool:
        """Whether `F.unfold` has these patches: a grid whose last row and column stay uncovered."""
        return self.border == "drop" and not self.scattered

    @functools.cached_property
    def corners(self) -> Array:
        """First row and column of each patch, (L, 2) int64, in the order in which patches are numbered."""
        if self.scattered:
            room = np.subtract(self.size, self.patch) + 1
            return np.random.default_rng(SEED).integers(0, room, size=(self.scattered, 2))
        axes = [_starts(*axis, self.border) for axis in zip(self.size, self.patch, self.stride, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)

    @property
    def centers(self) -> Array | None:
        """What `centers=` is given, (L, 2) float64: a patch of two pixels has its center between them; None on a
        grid."""
        return self.corners + (np.array(self.patch) - 1) / 2 if self.scattered else None

    def bytes(self, itemsize: int) -> int:
        """Bytes that must move for an image: itself and its patches, one read and the other written."""
        return (self.channels * self.size[0] * self.size[1] + self.n_features * self.n_patches) * itemsize

    def words(self) -> str:
        """The sizes, for a table."""
        ph, pw = self.patch
        where = f"at {self.scattered} random places" if self.scattered else f"stride {self.stride[0]}"
        border = "" if self.scattered else f', border "{self.border}", {self.n_patches} of an image'
        return f"{self.channels} x {self.size[0]} x {self.size[1]}, patches {ph} x {pw}, {where}{border}"


def _starts(size: int, patch: int, stride: int, border: str) -> Array:
    """The first pixel of each patch of an axis."""
    fitting = np.arange(0, size - patch + 1, stride, dtype=np.int64)
    left = size - patch - fitting[-1]
    if border == "drop" or left == 0:
        return fitting
    return np.append(fitting, fitting[-1] + (left if border == "clamp_last" else stride))


CASES = (
    Case("p8-s1", (8, 8), (1, 1)),
    Case("p8-s4", (8, 8), (4, 4)),
    Case("p7-s5", (7, 7), (5, 5)),
    Case("p7-s5-clamp", (7, 7), (5, 5), border="clamp_last"),
    Case("p8-at", (8, 8), scattered=4096),
)
TINY = (
    Case("tiny", (3, 4), (2, 3), n_images=3, channels=2, size=(13, 19)),
    Case("tiny-s1", (3, 4), (1, 1), n_images=3, channels=2, size=(13, 19)),
    Case("tiny-clamp", (3, 4), (2, 3), border="clamp_last", n_images=3, channels=2, size=(14, 18)),
    Case("tiny-at", (3, 4), scattered=20, n_images=3, channels=2, size=(13, 19)),
)
"""For tests: they say nothing about speed."""


def named(name: str) -> Case | None:
    """The case of that name, if there is one."""
    return next((case for case in (*CASES, *TINY) if case.name == name), None)


def images(case: Case, n_images: int, dtype: str = "float32") -> Array:
    """Crops of the photographs that scikit-learn carries, (n_images, C, H, W) in [0, 1]; the same every time."""
    rng = np.random.default_rng(SEED)
    pictures = _pictures()
    out = np.empty((n_images, case.channels, *case.size), dtype)
    for k in range(n_images):
        picture = pictures[k % len(pictures)]
        y, x = rng.integers(0, np.subtract(picture.shape[:2], case.size) + 1)
        crop = picture[y : y + case.size[0], x : x + case.size[1], : case.channels]
        out[k] = crop.transpose(2, 0, 1)
    return out


@functools.cache
def _pictures() -> list[Array]:
    return photographs()
