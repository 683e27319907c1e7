"""Patches that lie on no grid: their corners, and which of them touch which tile of an image.

The lists of a tile are a sort of the patches by tile that keeps their order, so that a kernel sums each pixel in one
order without a scatter. On a GPU they are made there, and nothing waits for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.arrays import Array
from sparsefast.kernels.patch_grid import TileLists
from sparsefast.ops.patch_arguments import Placement


def corners_of(places: Placement, kind: Any) -> Array:
    """The first row and column of each patch, (B or 1, L, 2) int64 and C-contiguous, none further away than needed."""
    library = kind.library
    centers = kind.elements(places.centers)
    if centers.ndim == 2:
        centers = centers[None]
    lows = [-extent for extent in places.patch]
    if library.__name__ == "torch":
        x = centers.to(library.float64)
        columns = []
        for axis, (extent, size) in enumerate(zip(places.patch, places.grid.image, strict=True)):
            start = library.floor(x[..., axis] - ((extent - 1) / 2 - 0.5))
            columns.append(library.nan_to_num(start, nan=lows[axis]).clamp(lows[axis], size).to(library.int64))
        return library.stack(columns, dim=-1)
    x = centers.astype(np.float64)
    out = library.empty(x.shape, np.int64)
    for axis, (extent, size) in enumerate(zip(places.patch, places.grid.image, strict=True)):
        start = library.floor(x[..., axis] - ((extent - 1) / 2 - 0.5))
        start = library.where(library.isnan(start), lows[axis], start)
        out[..., axis] = library.clip(start, lows[axis], size).astype(np.int64)
    return out


def tile_lists(corners: Array, batch: int, places: Placement, tile: tuple[int, int]) -> TileLists:
    """The patches that touch each tile of (batch, H, W), in increasing order; see TileLists."""
    if isinstance(corners, np.ndarray):
        return _lists(corners, batch, places, tile, np)
    import torch

    if isinstance(corners, torch.Tensor):
        return _lists(corners, batch, places, tile, torch)
    return _lists_of_cupy(corners, batch, places, tile)


def _lists_of_cupy(corners: Array, batch: int, places: Placement, tile: tuple[int, int]) -> TileLists:
    """By PyTorch, on the same memory and stream."""
    import cupy
    import torch

    with corners.device:
        stream = cupy.cuda.get_current_stream().ptr
    with torch.cuda.stream(torch.cuda.ExternalStream(stream, device=corners.device.id)):
        return _lists(torch.as_tensor(corners, device=f"cuda:{corners.device.id}"), batch, places, tile, torch)


def _lists(corners: Array, batch: int, places: Placement, tile: tuple[int, int], library: Any) -> TileLists:
    """A key for each tile that a patch may touch, (B, L, rows of tiles, columns of tiles), sorted."""
    counts = [-(-size // extent) for size, extent in zip(places.grid.image, tile, strict=True)]
    keys: Any = 0
    touched: Any = True
    for axis in (0, 1):
        extent, size, patch = tile[axis], places.grid.image[axis], places.patch[axis]
        start = corners[..., axis]
        first = start.clip(0, size - 1) // extent
        last = (start + (patch - 1)).clip(0, size - 1) // extent
        # So many tiles in a row are the most that a patch can touch.
        most = min(counts[axis], (patch + extent - 2) // extent + 1)
        offsets = library.arange(most, **_like(corners, library))
        tiles = first[..., None] + offsets
        seen = (tiles <= last[..., None]) & ((start < size) & (start + patch > 0))[..., None]
        if axis == 0:
            keys, touched = (tiles * counts[1])[..., :, None], seen[..., :, None]
        else:
            keys, touched = keys + tiles[..., None, :], touched & seen[..., None, :]
    n_tiles = batch * counts[0] * counts[1]
    images = library.arange(batch, **_like(corners, library))[:, None, None, None]
    keys = library.where(touched, keys + images * (counts[0] * counts[1]), n_tiles)
    n_patches = keys.shape[1]
    of = library.arange(n_patches, **_like(corners, library))[None, :, None, None]
    of = library.broadcast_to(of, tuple(keys.shape)).reshape(-1)
    return TileLists(tile, *_sorted(keys.reshape(-1), of, n_tiles, library))


def _like(x: Array, library: Any) -> dict[str, Any]:
    return {"dtype": np.int64} if library is np else {"dtype": library.int64, "device": x.device}


def _sorted(keys: Array, of: Array, n_tiles: int, library: Any) -> tuple[Array, Array]:
    """Where the entries of each tile start, (n_tiles + 1,), and all entries by tile; those of no tile are last."""
    if library is np:
        # A conversion to rows counts and places in one pass each, and keeps the order: faster than a sort.
        from scipy.sparse import coo_array

        table = coo_array((of, (keys, np.arange(len(of)))), shape=(n_tiles + 1, max(1, len(of)))).tocsr()
        return table.indptr[:-1].astype(np.int64), table.data
    keys, order = library.sort(keys, stable=True)
    return library.searchsorted(keys, library.arange(n_tiles + 1, device=keys.device)), of[order]
