"""Where the patches of an image lie: on a grid, one of two axes at a time, or at corners of their own.

Patch i of an axis covers the pixels start(i) to start(i) + patch - 1 with start(i) = min(i * stride, last), and patches
are numbered row by row: l = i_y * count_x + i_x. What lies outside of the image counts as zero and is written nowhere.

    border         count                              last               so that
    "drop"         floor((size - patch) / stride) + 1  size - patch       pixels behind the last patch belong to none
    "clamp_last"   ceil((size - patch) / stride) + 1   size - patch       the last patch ends where the image does
    "pad"          ceil((size - patch) / stride) + 1   no bound           the last patch reaches out of the image
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BORDERS = ("clamp_last", "pad", "drop")


class Axis(NamedTuple):
    """One axis of a grid, in pixels."""

    size: int
    patch: int
    stride: int
    count: int  # type: ignore[assignment]  # a tuple has a method of this name, which nobody needs here
    """How many patches."""
    last: int
    """No patch starts behind this pixel."""

    def starts(self) -> np.ndarray:
        """The first pixel of each patch, (count,) int64."""
        return np.minimum(np.arange(self.count, dtype=np.int64) * self.stride, self.last)


class Grid(NamedTuple):
    """Patches on a grid."""

    y: Axis
    x: Axis

    @property
    def n_patches(self) -> int:
        return self.y.count * self.x.count

    @property
    def patch(self) -> tuple[int, int]:
        return self.y.patch, self.x.patch

    @property
    def image(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    def corners(self) -> np.ndarray:
        """The first row and column of each patch, (n_patches, 2) int64."""
        y, x = np.meshgrid(self.y.starts(), self.x.starts(), indexing="ij")
        return np.stack([y.ravel(), x.ravel()], axis=1)


class TileLists(NamedTuple):
    """Which of patches at corners of their own touch which tile of the output."""

    tile: tuple[int, int]
    """Height and width of a tile, in pixels; tiles at the end of an axis are cut off."""
    starts: np.ndarray
    """(B * n_tiles + 1,) int64: the patches of tile t of image b are starts[b * n_tiles + t] to the next; tiles are
    numbered row by row."""
    patches: np.ndarray
    """int64: which patches of the image, in increasing order for each tile."""


def axis(size: int, patch: int, stride: int, border: str) -> Axis:
    """The patches of one axis; size and patch are checked before."""
    room = size - patch
    if border == "drop":
        return Axis(size, patch, stride, room // stride + 1, room)
    count = max(0, -(-room // stride)) + 1
    return Axis(size, patch, stride, count, room if border == "clamp_last" else (count - 1) * stride)


def grid(size: tuple[int, int], patch: tuple[int, int], stride: tuple[int, int], border: str) -> Grid:
    """The grid of an image of this size."""
    return Grid(axis(size[0], patch[0], stride[0], border), axis(size[1], patch[1], stride[1], border))


def sizes_alone(image: tuple[int, ...], patch: tuple[int, int]) -> Grid:
    """A grid that says how large images and patches are, for patches that do not lie on one."""
    return Grid(*(Axis(size, extent, 1, 1, 0) for size, extent in zip(image, patch, strict=True)))
