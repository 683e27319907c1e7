"""Losses that compare images at several resolutions: by their spectra, and by their edges.

Both see the luma of the images and of their halves: level l + 1 is level l with each 2 x 2 pixels averaged, a last odd
row or column left out. Level 0 is the image itself. A level that would have fewer than two pixels a side is left out,
and those after it; a loss is the mean over the levels that are there.

Both compute in float32, or float64 where the images are, whatever autocast says: a sum over an image has no place in 16
bits.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

LEVELS = 3
# Of R, G and B: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)
# Keeps the slope of the gradient's magnitude finite where an image is flat.
_FLAT = 1e-6
_SMALLEST = 2


def mr_dct_loss(images: Tensor, reconstructions: Tensor, levels: int = LEVELS) -> Tensor:
    """How far the spectra are apart, level by level.

        mean over levels and coefficients of | |C_h x_l C_w^T| - |C_h y_l C_w^T| |,
        C_n[k, i] = sqrt((2 - [k = 0]) / n) cos(pi k (2 i + 1) / (2 n))

    with x_l and y_l the lumas at level l, h x w. Magnitudes alone are compared: a texture has to be there, not in
    phase.

    Parameters
    ----------
    images, reconstructions : tensor of shape (B, C, H, W)
        Of any floating dtype. With C = 3 the luma is 0.299 R + 0.587 G + 0.114 B, else the mean of the channels.
    levels : int
        At least 1.

    Returns
    -------
    tensor (), the mean over the images; differentiable in both.

    Raises
    ------
    ValueError, TypeError
        If they are no images of one shape and device, or levels is below 1.

    Source: N. Ahmed, T. Natarajan, K. R. Rao, "Discrete cosine transform", IEEE Trans. Computers C-23, 1974
    (orthonormal DCT-II).
    """
    total, count = _zero(images), 0
    with torch.autocast(images.device.type, enabled=False):
        for x, y in _levels("mr_dct_loss", images, reconstructions, levels):
            down, across = (_dct_matrix(n, x.dtype, x.device) for n in x.shape[-2:])
            spectra = down @ torch.stack([x, y]) @ across.T
            total = total + (spectra[0].abs() - spectra[1].abs()).abs().mean()
            count += 1
    return total / count


def mr_gradient_loss(images: Tensor, reconstructions: Tensor, levels: int = LEVELS) -> Tensor:
    """How far the strengths of the edges are apart, level by level.

        mean over levels and pixels of | g(x_l) - g(y_l) |,   g(x) = sqrt((S * x)^2 + (S^T * x)^2 + 1e-6)

    with S the Sobel kernel [1 2 1]^T [-1 0 1], unscaled, over images continued by their borders.

    Parameters, result and errors are those of `mr_dct_loss`.

    Source: I. Sobel, G. Feldman, "A 3x3 isotropic gradient operator for image processing", Stanford Artificial
    Intelligence Project, 1968.
    """
    total, count = _zero(images), 0
    with torch.autocast(images.device.type, enabled=False):
        for x, y in _levels("mr_gradient_loss", images, reconstructions, levels):
            total = total + (_magnitude(x) - _magnitude(y)).abs().mean()
            count += 1
    return total / count


def _levels(owner: str, images: Tensor, reconstructions: Tensor, levels: int) -> list[tuple[Tensor, Tensor]]:
    """The lumas (B, h, w) of both, the largest first."""
    for name, x in (("images", images), ("reconstructions", reconstructions)):
        if not x.is_floating_point():
            raise TypeError(f"{owner}: {name} is {x.dtype}; it must be floating")
        if x.ndim != 4 or x.numel() == 0:
            raise ValueError(f"{owner}: {name} has shape {tuple(x.shape)}; it must be (B, C, H, W), each at least 1")
    if images.shape != reconstructions.shape or images.device != reconstructions.device:
        raise ValueError(
            f"{owner}: reconstructions {tuple(reconstructions.shape)} on {reconstructions.device} must be as images, "
            f"{tuple(images.shape)} on {images.device}"
        )
    if levels < 1:
        raise ValueError(f"{owner}: levels={levels} must be at least 1")
    x, y = _luma(images), _luma(reconstructions)
    dtype = torch.promote_types(x.dtype, y.dtype)
    x, y = x.to(dtype), y.to(dtype)
    found = [(x, y)]
    while len(found) < levels and min(x.shape[-2:]) >= 2 * _SMALLEST:
        x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        found.append((x, y))
    return found


def _luma(images: Tensor) -> Tensor:
    x = images if images.dtype == torch.float64 else images.float()
    if x.shape[1] != 3:
        return x.mean(dim=1)
    red, green, blue = _LUMA
    return red * x[:, 0] + green * x[:, 1] + blue * x[:, 2]


def _magnitude(x: Tensor) -> Tensor:
    """The Sobel magnitude of images (B, h, w), of the same shape."""
    # By shifts: twice as fast as a convolution here, and the gradient of torch's padding adds up in no fixed order on a
    # GPU.
    x = torch.cat([x[:, :1], x, x[:, -1:]], dim=1)
    x = torch.cat([x[..., :1], x, x[..., -1:]], dim=2)
    down = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    slopes = (down[..., 2:] - down[..., :-2], across[:, 2:] - across[:, :-2])
    return (slopes[0].square() + slopes[1].square() + _FLAT).sqrt()


@functools.lru_cache(maxsize=64)
def _dct_matrix(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """C (n, n) of the orthonormal DCT-II, rounded from float64. It is kept: a run has images of a few sizes."""
    # Not of the block in which it is first asked for: what inference makes cannot take part in training.
    with torch.inference_mode(False):
        i = torch.arange(n, dtype=torch.float64)
        matrix = math.sqrt(2 / n) * torch.cos(math.pi / (2 * n) * i[:, None] * (2 * i + 1))
        matrix[0] /= math.sqrt(2)
        return matrix.to(device, dtype)


def _zero(images: Tensor) -> Tensor:
    return torch.zeros(
        (), dtype=torch.float64 if images.dtype == torch.float64 else torch.float32, device=images.device
    )
