"""Codes as sequences of whole numbers, which a model of sequences learns: what the bottlenecks check alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def check_tokens(owner: str, tokens: Any, height: int, width: int, each: int) -> Tensor:
    """Tokens (B, height * width * each) of any whole dtype, as int64."""
    what = f"{owner}: decode_from_indices: indices"
    if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.dtype == torch.bool:
        kind = str(tokens.dtype) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"{what} is {kind}; it must be a tensor of whole numbers")
    n = height * width * each
    if min(height, width) < 1 or tokens.ndim != 2 or tokens.shape[1] != n:
        raise ValueError(
            f"{what} has shape {tuple(tokens.shape)}; for H={height} and W={width}, at least 1, it must be (B, {n})"
        )
    return tokens.to(torch.int64)


def check_range(owner: str, tokens: Tensor, what: str, first: int, end: int) -> None:
    """Tokens must be `first` to `end` - 1. Waits for a GPU."""
    if tokens.numel() and not (first <= int(tokens.min()) and int(tokens.max()) < end):
        raise ValueError(
            f"{owner}: decode_from_indices: indices holds {int(tokens.min())} to {int(tokens.max())} where {what} "
            f"stand; they must be {first} to {end - 1}"
        )


def check_image(owner: str, z: Any) -> None:
    """Tokens have a grid: z must be a latent image."""
    if not isinstance(z, Tensor) or z.ndim != 4:
        shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"{owner}: encode_to_indices: z is {shape}; it must be a tensor (B, C, H, W)")
