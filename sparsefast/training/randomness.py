"""Random numbers that belong to a sample: the same whatever the batch, the process and the worker it is in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Odd constants of Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (splitmix64), as
# signed numbers.
_STEP, _MIX_1, _MIX_2 = (x - (1 << 64) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_MASKS = {30: (1 << 34) - 1, 27: (1 << 37) - 1, 31: (1 << 33) - 1}


def bits(seeds: Tensor, stream: int, n: int) -> Tensor:
    """n random 64-bit numbers for each seed: (B,) int64 to (B, n) int64, on the seeds' device.

    Counter-based: number i of seed s and stream t is splitmix64's mixing of (s, t, i), so none depends on another.
    """
    counters = torch.arange(1, n + 1, device=seeds.device, dtype=torch.int64)
    key = _mixed(seeds + _signed(_STEP * (2 * stream + 1)))
    return _mixed(key[:, None] + _STEP * counters)


def _signed(x: int) -> int:
    """A number as 64 bits have it."""
    return (x + (1 << 63)) % (1 << 64) - (1 << 63)


def _mixed(x: Tensor) -> Tensor:
    # The shift of a signed number brings copies of its sign, which the mask takes away.
    x = (x ^ ((x >> 30) & _MASKS[30])) * _MIX_1
    x = (x ^ ((x >> 27) & _MASKS[27])) * _MIX_2
    return x ^ ((x >> 31) & _MASKS[31])


def uniform(seeds: Tensor, stream: int, shape: Sequence[int]) -> Tensor:
    """Uniform in [0, 1): (B,) int64 to (B, *shape) float64."""
    n = int(torch.Size(shape).numel())
    return ((bits(seeds, stream, n) >> 11) & ((1 << 53) - 1)).double().mul_(2.0**-53).reshape(-1, *shape)


def normal(seeds: Tensor, stream: int, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal: (B,) int64 to (B, *shape) of the dtype, computed in float64 by Box and Muller's transform.

    Parameters
    ----------
    seeds : Tensor of shape (B,), int64
        One for each sample, as in batch["seed"].
    stream : int
        At least 0: numbers of different streams are independent.
    """
    n = int(torch.Size(shape).numel())
    half = (n + 1) // 2
    u = uniform(seeds, stream, (2, half))
    radius = (-2 * torch.log1p(-u[:, 0])).sqrt_()
    angle = 2 * torch.pi * u[:, 1]
    both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return both[:, :n].reshape(-1, *shape).to(dtype)
