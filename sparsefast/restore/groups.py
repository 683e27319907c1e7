"""Groups of similar patches, and patches that are coded sparsely as a group.

A group is a patch of a sparse grid and those that resemble it most among its neighbours. Along a group an orthonormal
Haar transform keeps white noise white, and gathers what the patches have in common in one signal, whose share of noise
is small; the others hold little besides noise. Each is then coded in the dictionary.

A tile of the grid is worked on at a time, which bounds the memory; the sums run over the whole picture.

Sources: K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, Image denoising by sparse 3-D transform-domain collaborative
filtering, IEEE Trans. Image Processing 16, 2007 (grouping, the transform along a group, two steps); J. Mairal, F. Bach,
J. Ponce, G. Sapiro, A. Zisserman, Non-local sparse models for image restoration, ICCV 2009 (learnt dictionaries).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sparsefast.images.tiling import tiles
from sparsefast.ops.fold import fold
from sparsefast.ops.omp import omp
from sparsefast.ops.unfold import unfold
from sparsefast.prepared import PreparedDictionary
from sparsefast.restore.learning import MAX_ATOMS

# Groups, along each axis, that are in memory at once.
_TILE = 32


class Grouping(NamedTuple):
    """How groups are made."""

    patch_size: int
    size: int = 16
    """Patches of a group: a power of two."""
    stride: int = 3
    """Pixels between the first patches of groups."""
    radius: int = 12
    """How far away from that patch, along each axis, the others are looked for."""


Coder = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Signals of the groups of the picture and of its guide, (n, n_features) each, to approximations of the former."""


def filter_groups(
    planes: np.ndarray,
    guide: np.ndarray,
    grouping: Grouping,
    coder: Coder,
    progress: Callable[[float], None],
) -> np.ndarray:
    """The mean of what the approximated groups say of each pixel.

    Parameters
    ----------
    planes : array of shape (C, H, W), float32
        At least patch_size + 3 rows and columns, in which a group of 16 fits.
    guide : array of shape (C, H, W), float32
        An estimate of the picture, in which similar patches are looked for.
    grouping : Grouping
    coder : Coder
    progress : callable
        Called with the share of the groups that are done.

    Returns
    -------
    array of shape (C, H, W), float32
    """
    n_channels, height, width = planes.shape
    p, halo = grouping.patch_size, grouping.radius
    rows, columns = (_grid(n - p + 1, grouping.stride) for n in (height, width))
    along = haar(grouping.size)
    total = np.zeros_like(planes)
    weight = np.zeros((1, height, width), np.float32)
    parts = list(tiles((len(rows), len(columns)), _TILE, 0))
    for done, part in enumerate(parts, 1):
        grid = rows[part.core[0]], columns[part.core[1]]
        top, left = (max(0, int(places[0]) - halo) for places in grid)
        bottom = min(height, int(grid[0][-1]) + halo + p)
        right = min(width, int(grid[1][-1]) + halo + p)
        here = slice(top, bottom), slice(left, right)
        near, shape = guide[:, *here], (bottom - top, right - left)
        members = similar_patches(near, (grid[0] - top, grid[1] - left), grouping)

        noisy, clean = (_transformed(x, p, members, along) for x in (planes[:, *here], near))
        patches = (along.T @ coder(noisy, clean).reshape(grouping.size, -1)).reshape(noisy.shape)
        summed, counted = _added(patches, members, shape, p, n_channels)
        total[:, *here] += summed
        weight[:, *here] += counted
        progress(done / len(parts))
    return total / weight


def sparse_coder(dictionary: PreparedDictionary, tol: float) -> Coder:
    """Approximate each signal by as few atoms as leave a residual of norm `tol`; the guide only made the groups."""
    most = min(MAX_ATOMS, dictionary.shape[0])

    def code(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
        return omp(noisy, dictionary, most, tol=tol).decode(dictionary)

    return code


def similar_patches(guide: np.ndarray, grid: tuple[np.ndarray, np.ndarray], grouping: Grouping) -> np.ndarray:
    """For each patch of a grid those that are nearest to it, itself among them.

    Parameters
    ----------
    guide : array of shape (C, h, w), float32
    grid : (rows, columns)
        Where its patches begin, increasing.
    grouping : Grouping

    Returns
    -------
    array of shape (size, n_groups), int64
        Numbers of patches as `unfold` counts those of the guide, by increasing ||p - q||², the sum over all channels.
    """
    p, radius = grouping.patch_size, grouping.radius
    height, width = guide.shape[1:]
    rows, columns = grid
    offsets = [(dy, dx) for dy in range(-radius, radius + 1) for dx in range(-radius, radius + 1)]
    distances = np.full((len(offsets), len(rows), len(columns)), np.inf, np.float32)
    for row, (dy, dx) in zip(distances, offsets, strict=True):
        # The patches whose neighbour at this offset lies within the guide.
        i = slice(*np.searchsorted(rows, [-dy, height - p - dy + 1]))
        j = slice(*np.searchsorted(columns, [-dx, width - p - dx + 1]))
        if i.start >= i.stop or j.start >= j.stop:
            continue
        y, x = rows[i], columns[j]
        one = guide[:, y[0] : y[-1] + p, x[0] : x[-1] + p]
        other = guide[:, y[0] + dy : y[-1] + p + dy, x[0] + dx : x[-1] + p + dx]
        square = ((one - other) ** 2).sum(axis=0)
        strips = _windowed(square, y - y[0], p)
        row[i, j] = _windowed(np.ascontiguousarray(strips.T), x - x[0], p).T
    # Before all others that are equal to it, of which flat pictures have many: each patch of the grid has to be in a
    # group, so that every pixel is.
    distances[len(offsets) // 2] = -1
    flat = distances.reshape(len(offsets), -1)
    nearest = np.argpartition(flat, grouping.size - 1, axis=0)[: grouping.size]
    order = np.argsort(np.take_along_axis(flat, nearest, axis=0), axis=0, kind="stable")
    shifts = np.array([dy * (width - p + 1) + dx for dy, dx in offsets])
    first = (rows[:, None] * (width - p + 1) + columns).reshape(-1)
    return first + shifts[np.take_along_axis(nearest, order, axis=0)]


def haar(size: int) -> np.ndarray:
    """The orthonormal Haar transform of `size` numbers, a power of two: (size, size) float32."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.concatenate([np.kron(matrix, [1, 1]), np.kron(np.eye(len(matrix)), [1, -1])]) / np.sqrt(2)
    return matrix.astype(np.float32)


def _grid(n: int, stride: int) -> np.ndarray:
    """Every stride-th of n places, and the last."""
    return np.unique(np.append(np.arange(0, n, stride), n - 1))


def _windowed(x: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Sums of `length` rows of x, from each of `starts` on."""
    total = x[starts]
    for i in range(1, length):
        total += x[starts + i]
    return total


def _transformed(planes: np.ndarray, patch_size: int, members: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The signals of groups: (size * n_groups, n_features)."""
    patches = unfold(planes, patch_size, layout="signals")
    signals = patches[members.reshape(-1)]
    return (along @ signals.reshape(len(members), -1)).reshape(signals.shape)


def _added(
    patches: np.ndarray, members: np.ndarray, shape: tuple[int, int], p: int, n_channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the patches where they belong in planes of this shape, (C, h, w), and how many cover each pixel."""
    width = shape[1] - p + 1
    corners = np.stack(np.divmod(members.reshape(-1), width), axis=1)
    total = fold(patches, shape, p, layout="signals", centers=corners + (p - 1) / 2, normalize=False)
    uses = np.bincount(members.reshape(-1), minlength=(shape[0] - p + 1) * width).astype(np.float32)
    ones = np.ones((len(uses), p * p), np.float32)
    return total, fold(ones, shape, p, layout="signals", confidence=uses, normalize=False)
