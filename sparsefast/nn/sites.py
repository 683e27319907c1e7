"""The sites of a latent image: non-overlapping patches of p x p, which a bottleneck codes as one signal each.

    (B, C, H, W)  <->  (B, H', W', C * p * p)        H' = ceil(H / p), W' = ceil(W / p)

Features stand as torch.nn.functional.unfold has them: channel, row, column. Where p does not divide H or W, the last
patches are filled up with zeros, and what was filled up is cut off again on the way back. A patch of one pixel is a
view.
"""

from __future__ import annotations

from torch import Tensor

import sparsefast


def sites_of(latent: Tensor, patch_size: int) -> Tensor:
    """The signals (B, H', W', C * p * p) of a latent (B, C, H, W) of any floating dtype; differentiable."""
    if patch_size == 1:
        return latent.permute(0, 2, 3, 1)
    height, width = grid_of(latent.shape[-2], latent.shape[-1], patch_size)
    rows = sparsefast.unfold(latent, patch_size, patch_size, border="pad", layout="signals")
    return rows.reshape(latent.shape[0], height, width, -1)


def latent_of(sites: Tensor, size: tuple[int, int], patch_size: int) -> Tensor:
    """The latent (B, C, H, W) of signals (B, H', W', C * p * p), with size (H, W): the inverse of `sites_of`."""
    if patch_size == 1:
        return sites.permute(0, 3, 1, 2)
    rows = sites.reshape(sites.shape[0], -1, sites.shape[-1])
    return sparsefast.fold(rows, size, patch_size, patch_size, border="pad", layout="signals", normalize=False)


def grid_of(height: int, width: int, patch_size: int) -> tuple[int, int]:
    """How many sites a latent of this size has, down and across."""
    return -(-height // patch_size), -(-width // patch_size)
