"""SSIM for the log of training: cheap enough for each step, and the same however a batch is split."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from sparsefast.images.metrics import K1, K2, RADIUS, SIGMA

SIZE = 32


def central_ssim(images: Tensor, reconstructions: Tensor) -> Tensor:
    """`scores.ssim` of the 32 x 32 pixels in the middle of each image, in the dtype of the images.

    All of the images and a part of each, not some of the images: the mean of a global batch is then that of the means
    of its parts. In float32 it differs from the float64 of `scores.ssim` by some 1e-6: for curves, not for tables.

    Parameters
    ----------
    images, reconstructions : tensor of shape (B, C, H, W), float32 or float64, in [0, 1]
        H and W at least 11; a smaller side than 32 is taken whole.

    Returns
    -------
    tensor of shape (B,)

    Source: as `sparsefast.metrics.scores.ssim`.
    """
    window = 2 * RADIUS + 1
    height, width = images.shape[-2:]
    if min(height, width) < window:
        raise ValueError(f"central_ssim: images of {height} x {width} pixels must be at least {window} x {window}")
    top, left = (height - min(SIZE, height)) // 2, (width - min(SIZE, width)) // 2
    x, y = (z[..., top : top + SIZE, left : left + SIZE] for z in (images, reconstructions))
    blurs = [_blur(n, x.dtype, x.device) for n in x.shape[-2:]]
    with torch.autocast(x.device.type, enabled=False):
        # The variances come as their sum alone.
        mean_x, mean_y, squares, product = blurs[0] @ torch.stack([x, y, x * x + y * y, x * y]) @ blurs[1].T
        c1, c2 = K1**2, K2**2
        of_means, means = mean_x * mean_y, mean_x**2 + mean_y**2
        similarity = ((2 * of_means + c1) * (2 * (product - of_means) + c2)) / ((means + c1) * (squares - means + c2))
        return similarity.mean((1, 2, 3))


@functools.lru_cache(maxsize=16)
def _blur(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (n - 10, n) of the Gaussian window's means, where the window fits."""
    with torch.inference_mode(False):
        offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
        rows = torch.zeros(n - 2 * RADIUS, n, dtype=torch.float64)
        for i in range(len(rows)):
            rows[i, i : i + len(weights)] = weights / weights.sum()
        return rows.to(device, dtype)
