"""Pieces of real photographs, and what a poor reconstruction makes of them."""

import numpy as np
import torch

from sparsefast.images.photos import photos


def pieces(n: int, size: int = 48, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(n, 3, size, size) in [0, 1], from several photographs."""
    colour = [photos()[name] for name in ("china", "flower", "chelsea", "coffee")]
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        photo = colour[i % len(colour)]
        y, x = (int(rng.integers(0, full - size)) for full in photo.shape[:2])
        found.append(photo[y : y + size, x : x + size].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(found)).to(dtype) / 255


def spoiled(images: torch.Tensor, sigma: float, seed: int = 0) -> torch.Tensor:
    """With Gaussian noise of deviation sigma, in [0, 1]."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=images.dtype)
    return (images + sigma * noise).clamp(0, 1)
