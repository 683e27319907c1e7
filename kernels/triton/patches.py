"""What unfold and fold share in Triton: where patches start, and how wide the integers are that count pixels.

Pixels and patches are counted in 32 bits, unless an axis or a patch is so long that sums of two might not fit; offsets
in memory are 64 bits wide always. Nothing is divided but once a program, for its tile.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from sparsefast.kernels.patch_grid import Axis, Grid


def index_type(size: tuple[int, int], patch: tuple[int, int], n_channels: int) -> Any:
    """The type that pixels are counted in."""
    longest = max(size[0] + patch[0], size[1] + patch[1], n_channels * patch[0] * patch[1])
    return tl.int32 if longest < 2**30 else tl.int64


def axes(grid: Grid) -> tuple[int, int, int, int, int, int]:
    """count, stride and last of both axes. A patch that starts behind the image is empty wherever it starts: with
    strides held to the image's size, no product of them is long."""

    def numbers(axis: Axis) -> tuple[int, int, int]:
        return axis.count, min(axis.stride, axis.size), min(axis.last, axis.size)

    return *numbers(grid.y), *numbers(grid.x)


@triton.jit
def start_of(i, count, stride, last):
    """The first pixel of patch i of an axis, for i from 0 on; behind the last patch, that of the last."""
    return tl.minimum(tl.minimum(i, count - 1) * stride, last)


@triton.jit
def corner_of(corners, patch, live, height, width, ph, pw, INT: tl.constexpr):
    """The first row and column of these patches; where they lie outside of the image, just outside."""
    y = tl.load(corners + 2 * patch, mask=live, other=0)
    x = tl.load(corners + 2 * patch + 1, mask=live, other=0)
    return (
        tl.minimum(tl.maximum(y, -ph), height).to(INT),
        tl.minimum(tl.maximum(x, -pw), width).to(INT),
    )
