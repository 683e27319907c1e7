"""Pictures of any size, a tile at a time: each is given with the pixels around it, so that no seam shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sparsefast.images.pairs import pair


class Tile(NamedTuple):
    """A tile of a picture: pairs of slices, of rows and columns."""

    core: tuple[slice, slice]
    """The pixels that the tile is answerable for; the cores of all tiles cover the picture once."""
    padded: tuple[slice, slice]
    """These and the halo around them, as far as the picture goes."""
    inner: tuple[slice, slice]
    """Where the core lies within the padded tile."""


def tiles(shape: tuple[int, ...], tile: int | tuple[int, int], halo: int | tuple[int, int]) -> Iterator[Tile]:
    """The tiles of a picture, row by row.

    Parameters
    ----------
    shape : (H, W, ...)
    tile : int or (int, int)
        Rows and columns of a core; those at the right and the bottom are what remains.
    halo : int or (int, int)
        Rows and columns around it: the radius of what is done with a tile. At the border of the picture it ends there.

    Raises
    ------
    ValueError
        If the tile is below 1, the halo below 0, or the shape has no height and width.
    """
    sizes = pair(tile)
    halos = pair(halo)
    if min(sizes) < 1:
        raise ValueError(f"tiles: tile={tile} must be at least 1")
    if min(halos) < 0:
        raise ValueError(f"tiles: halo={halo} must be at least 0")
    if len(shape) < 2:
        raise ValueError(f"tiles: shape={tuple(shape)} must be (H, W) or (H, W, C)")
    rows, columns = (list(_spans(*numbers)) for numbers in zip(shape[:2], sizes, halos, strict=True))
    return (Tile(*zip(row, column, strict=True)) for row in rows for column in columns)


def apply_tiled(
    function: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    tile: int | tuple[int, int] = 512,
    halo: int | tuple[int, int] = 16,
) -> np.ndarray:
    """`function(image)` with the memory of a tile: the same, bit for bit, where a pixel of it depends on no pixel of
    the image further away than the halo, and on no more than these pixels.

    Parameters
    ----------
    function : callable
        From an array of shape (h, w) or (h, w, C), a view of the image that it must not change, to an array of shape
        (h, w) or (h, w, any number); each time the same number and dtype.
    image : array of shape (H, W) or (H, W, C)
        At least one pixel.
    tile, halo : int or (int, int)
        As for `tiles`.

    Returns
    -------
    array of shape (H, W) or (H, W, any number), of the function's dtype

    Raises
    ------
    ValueError
        If the image holds no pixel, or the function returns another height, width or number of channels.
    """
    if image.size == 0:
        raise ValueError(f"apply_tiled: image of shape {image.shape} holds no pixel")
    whole: np.ndarray | None = None
    for part in tiles(image.shape, tile, halo):
        given = image[part.padded]
        result = np.asarray(function(given))
        if whole is None:
            whole = np.empty(image.shape[:2] + result.shape[2:], result.dtype)
        if result.shape != given.shape[:2] + whole.shape[2:] or result.dtype != whole.dtype:
            raise ValueError(
                f"apply_tiled: function returned shape {result.shape}, {result.dtype}, for a tile of shape "
                f"{given.shape}; it must be {given.shape[:2] + whole.shape[2:]}, {whole.dtype}"
            )
        whole[part.core] = result[part.inner]
    assert whole is not None
    return whole


def _spans(length: int, size: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    for start in range(0, length, size):
        stop = min(start + size, length)
        first = max(0, start - halo)
        yield slice(start, stop), slice(first, min(length, stop + halo)), slice(start - first, stop - first)
