"""Overlapping patches of images, in Triton.

    patch_l(c, i, j) = x(c, y_l + i, x_l + j)        0 outside of the image

images  (B, C, H, W), any strides; out  (B, C * ph * pw, L) "columns", or (B, L, C * ph * pw) "rows": dense

Neighbouring lanes write neighbouring elements of out. For columns a program owns a block of patches and one row i of
them in one channel, and passes over j: pixels that patches share come from the cache. For rows a program owns a block
of positions (c, i, j), which it takes apart once, and passes over a run of patches. Elements are copied bit for bit.
Lanes are one-dimensional: of two dimensions the compiler could choose the wrong one to lie side by side in a warp.

Source: im2col of convolution, torch.nn.functional.unfold.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sparsefast.kernels.patch_grid import Grid
from sparsefast.kernels.triton.layout import on, power_of_two_at_least
from sparsefast.kernels.triton.patches import axes, corner_of, index_type, start_of

__all__ = ["unfold", "unfold_at"]

LANES = 512
"""Elements that a program copies at a time, four for each thread."""
MOST_POSITIONS = 256
"""Positions that a program owns at most for rows."""
RUN = 16
"""How often it does so at most for rows: positions are taken apart once for all."""

# All that changes from call to call: one compiled kernel does for all images of a dtype.
VARYING = [
    "stride_b", "stride_c", "stride_y", "stride_x", "n_channels", "height", "width", "ph", "pw", "corners_b",
    "count_y", "step_y", "last_y", "count_x", "step_x", "last_x", "n_patches",
]  # fmt: skip


def unfold(images: torch.Tensor, grid: Grid, rows: bool, out: torch.Tensor, n_threads: int) -> None:
    """Copy the patches of images (B, C, H, W) to out: (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw)."""
    _unfold(images, grid, None, grid.patch, rows, out)


def unfold_at(
    images: torch.Tensor, corners: torch.Tensor, patch: tuple[int, int], rows: bool, out: torch.Tensor, n_threads: int
) -> None:
    """Copy the patches at corners (B or 1, L, 2) to out, as `unfold` does."""
    _unfold(images, None, corners, patch, rows, out)


def _unfold(
    images: torch.Tensor,
    grid: Grid | None,
    corners: torch.Tensor | None,
    patch: tuple[int, int],
    rows: bool,
    out: torch.Tensor,
) -> None:
    if out.numel() == 0:
        return
    n_images, n_channels, height, width = images.shape
    n_patches = out.shape[1 if rows else 2]
    common = (
        images, *images.stride(), n_channels, height, width, *patch,
        corners, 0 if corners is None or len(corners) == 1 else 2 * n_patches, *(axes(grid) if grid else (1,) * 6),
        n_patches, out,
    )  # fmt: skip
    options = dict(INT=index_type((height, width), patch, n_channels), num_warps=4)
    # Patches that lie side by side in the image and in out.
    n_rows, row = (grid.y.count, grid.x.count) if grid else (1, n_patches)
    with on(images):
        if rows or n_patches == 1:
            n_positions = n_channels * patch[0] * patch[1]
            BK = fitting(n_positions, min(MOST_POSITIONS, LANES))
            BP = min(LANES // BK, power_of_two_at_least(row))
            n_runs = triton.cdiv(row, BP * RUN)
            blocks = triton.cdiv(n_positions, BK)
            rows_kernel[(n_images * n_rows * n_runs * blocks,)](
                *common, blocks, n_runs, BP * RUN, BP=BP, BK=BK, **options
            )
        else:
            BX = fitting(row, LANES)
            BY = min(LANES // BX, power_of_two_at_least(n_rows))
            # Of few patches, several columns at a time.
            BJ = min(max(1, 128 // (BY * BX)), power_of_two_at_least(patch[1]))
            tiles_x = triton.cdiv(row, BX)
            tiles = triton.cdiv(n_rows, BY) * tiles_x
            programs = n_images * n_channels * patch[0] * tiles
            columns_kernel[(programs,)](*common, tiles, tiles_x, BJ=BJ, BY=BY, BX=BX, **options)


def fitting(n: int, most: int) -> int:
    """A power of two of which few lanes are left over when blocks of it cover n: at least a warp, where n is."""
    sizes = [size for size in (32, 64, 128, 256, 512) if size <= most]
    return min(sizes, key=lambda size: (triton.cdiv(n, size) * size, -size)) if n > 32 else power_of_two_at_least(n)


@triton.jit(do_not_specialize=[*VARYING, "tiles", "tiles_x"])
def columns_kernel(
    images, stride_b, stride_c, stride_y, stride_x, n_channels, height, width, ph, pw,
    corners, corners_b, count_y, step_y, last_y, count_x, step_x, last_x, n_patches, out, tiles, tiles_x,
    INT: tl.constexpr, BJ: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr,
):  # fmt: skip
    """Row i of BY x BX patches, in one channel of one image; of patches at corners, BX side by side."""
    lane = tl.arange(0, BJ * BY * BX)
    tile = tl.program_id(0) % tiles
    row = tl.program_id(0) // tiles
    plane = row // ph
    c = (plane % n_channels).to(tl.int64)
    b = (plane // n_channels).to(tl.int64)
    if corners is None:
        l_y = (tile // tiles_x).to(INT) * BY + lane // BX % BY
        l_x = (tile % tiles_x).to(INT) * BX + lane % BX
        live = (l_y < count_y) & (l_x < count_x)
        patch = l_y.to(tl.int64) * count_x + l_x
        y = start_of(l_y, count_y, step_y, last_y)
        x = start_of(l_x, count_x, step_x, last_x)
    else:
        patch = tile.to(tl.int64) * BX + lane % BX
        live = patch < n_patches
        y, x = corner_of(corners + b * corners_b, patch, live, height, width, ph, pw, INT)
    y += (row % ph).to(INT)
    in_y = (y >= 0) & (y < height)
    at = images + (b * stride_b + c * stride_c + y.to(tl.int64) * stride_y)
    to = out + (row.to(tl.int64) * pw * n_patches + patch)
    for first in range(0, tl.cast(pw, INT), BJ):
        j = first + lane // (BX * BY)
        wanted = live & (j < pw)
        inside = wanted & in_y & (x + j >= 0) & (x + j < width)
        copied = tl.load(at + (x + j).to(tl.int64) * stride_x, mask=inside, other=0)
        tl.store(to + j.to(tl.int64) * n_patches, copied, mask=wanted)


@triton.jit(do_not_specialize=[*VARYING, "blocks", "n_runs", "run"])
def rows_kernel(
    images, stride_b, stride_c, stride_y, stride_x, n_channels, height, width, ph, pw,
    corners, corners_b, count_y, step_y, last_y, count_x, step_x, last_x, n_patches, out, blocks, n_runs, run,
    INT: tl.constexpr, BP: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """BK positions of a run of patches, which lie in one row of the grid, BP at a time."""
    lane = tl.arange(0, BP * BK)
    area = tl.cast(ph, INT) * pw
    n_positions = n_channels * area
    k = (tl.program_id(0) % blocks).to(INT) * BK + lane % BK
    rest = tl.program_id(0) // blocks
    begin = (rest % n_runs).to(tl.int64) * run
    rest = rest // n_runs
    c = (k // area).to(tl.int64)
    i = k % area // pw
    j = k % pw
    if corners is None:
        n = count_x
        l_y = (rest % count_y).to(INT)
        b = (rest // count_y).to(tl.int64)
        before = b * n_patches + l_y.to(tl.int64) * count_x
        row = start_of(l_y, count_y, step_y, last_y)
    else:
        n = n_patches
        b = rest.to(tl.int64)
        before = b * n_patches
    at = images + (b * stride_b + c * stride_c)
    for first in range(begin, tl.minimum(begin + run, n), BP):
        patch = first + lane // BK
        wanted = (patch < n) & (k < n_positions)
        if corners is None:
            y = i + row
            x = j + start_of(patch.to(INT), count_x, step_x, last_x)
        else:
            y_l, x_l = corner_of(corners + b * corners_b, patch, patch < n, height, width, ph, pw, INT)
            y = i + y_l
            x = j + x_l
        inside = wanted & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        copied = tl.load(at + (y.to(tl.int64) * stride_y + x.to(tl.int64) * stride_x), mask=inside, other=0)
        tl.store(out + ((before + patch) * n_positions + k), copied, mask=wanted)
