"""Random patches of pictures: what a dictionary is learned from."""

from __future__ import annotations

import numpy as np

from sparsefast.images.values import to_float
from sparsefast.ops.unfold import unfold

# Patches whose pixels deviate less from their mean, in grey levels of 256 (root mean square), show noise and no
# structure that an atom could learn.
FLAT = 2.0


def sample_patches(
    pixels: np.ndarray, patch_size: int, n: int, seed: int | np.random.Generator | None = None, flat: float = FLAT
) -> np.ndarray:
    """Random patches of a picture, the mean of each channel taken off.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C)
        uint8, uint16, or floating from 0 to 1.
    patch_size : int
        In pixels.
    n : int
        How many; fewer where the picture has fewer, no patch being taken twice.
    seed : int, numpy.random.Generator or None
    flat : float
        Leave out patches whose pixels deviate less from their means, root mean square in grey levels of 256.

    Returns
    -------
    array of shape (at most n, C * patch_size * patch_size), float32
        As `unfold(..., layout="signals")` has them: channel, row, column; on the scale from 0 to 1.

    Raises
    ------
    ValueError
        If the picture is smaller than a patch, or n or patch_size below 1.
    """
    if patch_size < 1 or n < 1:
        raise ValueError(f"sample_patches: patch_size={patch_size} and n={n} must be at least 1")
    if min(pixels.shape[:2]) < patch_size:
        raise ValueError(
            f"sample_patches: patch_size={patch_size} is larger than the picture, {pixels.shape[1]} x {pixels.shape[0]}"
        )
    n_channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows, columns = (size - patch_size + 1 for size in pixels.shape[:2])
    image = np.ascontiguousarray(np.moveaxis(np.atleast_3d(to_float(pixels)), 2, 0))[None]
    corners = np.random.default_rng(seed).permutation(rows * columns)
    found: list[np.ndarray] = []
    # More than are wanted, as some will be flat; and no more of them at once.
    for at in range(0, len(corners), n):
        block = corners[at : at + n]
        centers = np.stack([block // columns, block % columns], axis=1) + (patch_size - 1) / 2
        patches = unfold(image, patch_size, centers=centers, layout="signals")[0]
        patches = patches.reshape(len(block), n_channels, -1)
        patches = patches - patches.mean(axis=2, keepdims=True)
        patches = patches.reshape(len(block), -1)
        spread = np.sqrt((patches * patches).mean(axis=1))
        found.append(patches[spread * 255 >= flat])
        if sum(map(len, found)) >= n:
            break
    return np.concatenate(found)[:n]
