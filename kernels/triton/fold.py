"""Images from overlapping patches, weighted, in Triton.

    out(c, y, x) = s(y, x) sum over l of w(y - y_l, x - x_l) f_l p_l(c, y - y_l, x - x_l)

patches  (B, C * ph * pw, L), or (B, L, C * ph * pw): dense; out  (B, C, H, W): dense; s as in the reference

Gathers: a program owns a tile of pixels, each a lane, in up to four channels, and sums in registers what covers them.
On a grid, the first patch that covers a pixel is found by one division for its row and one for its column. Of patches
at corners, a program walks the list of those that touch its tile. Sums run in increasing l and in float32, float64
where the patches are; a pixel's sum is that of its image alone.

Source: col2im of convolution, written as a gather; the weighted mean is equation 12 of Dabov et al. 2007.
"""
# Triton gives these functions their types.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from sparsefast.kernels.patch_grid import Grid, TileLists
from sparsefast.kernels.triton.layout import on, power_of_two_at_least
from sparsefast.kernels.triton.patches import axes, corner_of, index_type, start_of

__all__ = ["TILE", "fold", "fold_at"]

TILE = (8, 8)
"""Pixels that a program owns where patches lie at corners: as few as fill a warp, since most patches cover only a part
of a tile that they touch."""

PIXELS = 128
"""Pixels that a program owns on a grid, where the image has as many."""
CHANNELS = 4
"""Channels that a program sums at once: they share the places and the weights."""

# All that changes from call to call: one compiled kernel does for all images of a dtype.
VARYING = [
    "n_patches", "step_k", "step_l", "n_channels", "height", "width", "ph", "pw", "tiles", "tiles_x", "blocks",
]  # fmt: skip
ON_GRID = ["count_y", "step_y", "last_y", "most_y", "count_x", "step_x", "last_x", "most_x"]


def fold(
    patches: torch.Tensor,
    grid: Grid,
    rows: bool,
    dtype: str,
    window: torch.Tensor | None,
    confidence: torch.Tensor | None,
    inverse: torch.Tensor | None,
    normalize: bool,
    out: torch.Tensor,
    n_threads: int,
) -> None:
    """Sum patches (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw), into out (B, C, H, W), both of `dtype`."""
    height, width = out.shape[2:]
    if out.numel() == 0:
        return
    count_y, step_y, last_y, count_x, step_x, last_x = axes(grid)
    # Of patches `stride` apart, so many cover a pixel; and the last one, where it is moved into the image.
    most_y, most_x = (
        min(axis.count, triton.cdiv(axis.patch, axis.stride) + int(axis.last < (axis.count - 1) * axis.stride))
        for axis in grid
    )
    BX = min(32, PIXELS, power_of_two_at_least(width))
    BY = min(PIXELS // BX, power_of_two_at_least(height))
    programs, *tiles = tiling(out, BY, BX)
    with on(out):
        fold_kernel[(programs,)](
            *sources(patches, out, grid.patch, rows), *tiles, window, confidence, inverse, plain(out),
            count_y, step_y, last_y, most_y, count_x, step_x, last_x, most_x,
            **options(out, grid.patch, normalize), BY=BY, BX=BX, num_warps=4,
        )  # fmt: skip


def fold_at(
    patches: torch.Tensor,
    corners: torch.Tensor,
    tiles: TileLists,
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    window: torch.Tensor | None,
    confidence: torch.Tensor | None,
    normalize: bool,
    out: torch.Tensor,
    n_threads: int,
) -> None:
    """Sum patches at corners (B or 1, L, 2), as `fold` does; `tiles` are lists for TILE, on the device."""
    if out.numel() == 0:
        return
    programs, *n_tiles = tiling(out, *TILE)
    with on(out):
        fold_at_kernel[(programs,)](
            *sources(patches, out, patch, rows), *n_tiles, window, confidence, plain(out),
            corners, 0 if len(corners) == 1 else 2 * corners.shape[1], tiles.starts, tiles.patches,
            **options(out, patch, normalize), BY=TILE[0], BX=TILE[1], num_warps=2,
        )  # fmt: skip


def sources(patches: torch.Tensor, out: torch.Tensor, patch: tuple[int, int], rows: bool) -> tuple[Any, ...]:
    """The patches and where their numbers lie: how far apart positions are and how far patches; and all sizes."""
    n_patches, n_positions = (patches.shape[1], patches.shape[2]) if rows else (patches.shape[2], patches.shape[1])
    step_k, step_l = (1, n_positions) if rows else (n_patches, 1)
    return plain(patches), n_patches, step_k, step_l, *out.shape[1:], *patch


def tiling(out: torch.Tensor, BY: int, BX: int) -> tuple[int, int, int, int]:
    """How many programs; of an image, tiles, tiles side by side, and blocks of channels."""
    n_images, n_channels, height, width = out.shape
    tiles_x = triton.cdiv(width, BX)
    tiles = triton.cdiv(height, BY) * tiles_x
    blocks = triton.cdiv(n_channels, CHANNELS)
    return n_images * blocks * tiles, tiles, tiles_x, blocks


def plain(a: torch.Tensor) -> torch.Tensor:
    """bfloat16 as its bits: not every GPU converts it."""
    return a.view(torch.int16) if a.dtype == torch.bfloat16 else a


def options(out: torch.Tensor, patch: tuple[int, int], normalize: bool) -> dict[str, Any]:
    n_channels, height, width = out.shape[1:]
    return dict(
        NORMALIZE=bool(normalize),
        BFLOAT16=out.dtype == torch.bfloat16,
        T=tl.float64 if out.dtype == torch.float64 else tl.float32,
        INT=index_type((height, width), patch, n_channels),
        BC=min(CHANNELS, power_of_two_at_least(n_channels)),
    )


@triton.jit(do_not_specialize=VARYING + ON_GRID)
def fold_kernel(
    patches, n_patches, step_k, step_l, n_channels, height, width, ph, pw, tiles, tiles_x, blocks,
    window, confidence, inverse, out,
    count_y, step_y, last_y, most_y, count_x, step_x, last_x, most_x,
    NORMALIZE: tl.constexpr, BFLOAT16: tl.constexpr, T: tl.constexpr, INT: tl.constexpr,
    BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr,
):  # fmt: skip
    """BY x BX pixels in BC channels of one image, of patches on a grid."""
    b, _, c, left, y, x = place_of(n_channels, tiles, tiles_x, blocks, INT, BC, BY, BX)
    per_channel = tl.cast(step_k, tl.int64) * ph * pw
    at_b = patches + (b * n_channels * ph * pw * n_patches + c * per_channel)
    # The first patches that cover a row, or a column.
    first_y = tl.maximum(y - ph + step_y, 0) // step_y
    first_x = tl.maximum(x - pw + step_x, 0) // step_x

    weight = tl.zeros((BY * BX,), T)
    sum_0, sum_1, sum_2, sum_3 = weight, weight, weight, weight
    for n_y in range(most_y):
        l_y = first_y + n_y
        i = y - start_of(l_y, count_y, step_y, last_y)
        in_y = (y < height) & (x < width) & (l_y < count_y) & (i >= 0) & (i < ph)
        before = l_y.to(tl.int64) * count_x
        at_y = at_b + (i.to(tl.int64) * pw * step_k + before * step_l)
        # Four patches at a time: their loads overlap, and the additions stay in order.
        for n_x in tl.range(0, most_x, loop_unroll_factor=4):
            l_x = first_x + n_x
            j = x - start_of(l_x, count_x, step_x, last_x)
            covered = in_y & (l_x < count_x) & (j >= 0) & (j < pw)
            w = covered.to(T)
            if window is not None:
                w = tl.load(window + (i * pw + j), mask=covered, other=0)
            if confidence is not None:
                w *= tl.load(confidence + (b * n_patches + before + l_x), mask=covered, other=0)
            at = at_y + (j.to(tl.int64) * step_k + l_x.to(tl.int64) * step_l)
            sum_0, sum_1, sum_2, sum_3 = added(
                sum_0, sum_1, sum_2, sum_3, w, at, covered, per_channel, left, BC, BFLOAT16
            )
            weight += w

    if inverse is not None:
        weight = tl.load(inverse + (y.to(tl.int64) * width + x), mask=(y < height) & (x < width), other=0)
    store(
        out, sum_0, sum_1, sum_2, sum_3, weight, b, c, left, y, x, n_channels, height, width,
        inverse is not None, NORMALIZE, BC, BFLOAT16,
    )  # fmt: skip


@triton.jit(do_not_specialize=[*VARYING, "corners_b"])
def fold_at_kernel(
    patches, n_patches, step_k, step_l, n_channels, height, width, ph, pw, tiles, tiles_x, blocks,
    window, confidence, out, corners, corners_b, starts, lists,
    NORMALIZE: tl.constexpr, BFLOAT16: tl.constexpr, T: tl.constexpr, INT: tl.constexpr,
    BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr,
):  # fmt: skip
    """BY x BX pixels in BC channels of one image, of patches at corners."""
    b, tile, c, left, y, x = place_of(n_channels, tiles, tiles_x, blocks, INT, BC, BY, BX)
    per_channel = tl.cast(step_k, tl.int64) * ph * pw
    at_b = patches + (b * n_channels * ph * pw * n_patches + c * per_channel)
    slot = starts + (b * tiles + tile)

    weight = tl.zeros((BY * BX,), T)
    sum_0, sum_1, sum_2, sum_3 = weight, weight, weight, weight
    for n in tl.range(tl.load(slot), tl.load(slot + 1), loop_unroll_factor=4):
        patch = tl.load(lists + n)
        y_l, x_l = corner_of(corners + b * corners_b, patch, True, height, width, ph, pw, INT)
        i = y - y_l
        j = x - x_l
        covered = (y < height) & (x < width) & (i >= 0) & (i < ph) & (j >= 0) & (j < pw)
        w = covered.to(T)
        if window is not None:
            w = tl.load(window + (i * pw + j), mask=covered, other=0)
        if confidence is not None:
            # Where the patch is not, its confidence must not count, even if it is infinite or NaN.
            w = tl.where(covered, w * tl.load(confidence + (b * n_patches + patch)), 0)
        at = at_b + ((i.to(tl.int64) * pw + j) * step_k + patch * step_l)
        sum_0, sum_1, sum_2, sum_3 = added(sum_0, sum_1, sum_2, sum_3, w, at, covered, per_channel, left, BC, BFLOAT16)
        weight += w

    store(
        out, sum_0, sum_1, sum_2, sum_3, weight, b, c, left, y, x, n_channels, height, width,
        False, NORMALIZE, BC, BFLOAT16,
    )  # fmt: skip


@triton.jit
def place_of(
    n_channels, tiles, tiles_x, blocks, INT: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr
):  # fmt: skip
    """What this program owns: of an image and a tile of it, the first channel and how many are left from there on, and
    the row and column of each lane."""
    tile = tl.program_id(0) % tiles
    rest = tl.program_id(0) // tiles
    lane = tl.arange(0, BY * BX)
    y = (tile // tiles_x).to(INT) * BY + lane // BX
    x = (tile % tiles_x).to(INT) * BX + lane % BX
    c = (rest % blocks).to(tl.int64) * BC
    # For each lane, since masks of lanes and of scalars do not mix under the interpreter.
    left = n_channels - c + tl.zeros_like(y)
    return (rest // blocks).to(tl.int64), tile, c, left, y, x


@triton.jit
def added(
    sum_0, sum_1, sum_2, sum_3, w, at, covered, per_channel, left, BC: tl.constexpr, BFLOAT16: tl.constexpr
):  # fmt: skip
    """The sums of up to four channels with one number more for each pixel that a patch covers. `at` is where those of
    the first channel are, and `left` how many there are."""
    sum_0 += w * number_at(at, covered, w.dtype, BFLOAT16)
    if BC > 1:
        sum_1 += w * number_at(at + per_channel, covered & (left > 1), w.dtype, BFLOAT16)
    if BC > 2:
        sum_2 += w * number_at(at + 2 * per_channel, covered & (left > 2), w.dtype, BFLOAT16)
    if BC > 3:
        sum_3 += w * number_at(at + 3 * per_channel, covered & (left > 3), w.dtype, BFLOAT16)
    return sum_0, sum_1, sum_2, sum_3


@triton.jit
def number_at(at, mask, T: tl.constexpr, BFLOAT16: tl.constexpr):
    raw = tl.load(at, mask=mask, other=0)
    if BFLOAT16:
        return (raw.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        return raw.to(T)


@triton.jit
def store(
    out, sum_0, sum_1, sum_2, sum_3, weight, b, c, left, y, x, n_channels, height, width,
    INVERSE: tl.constexpr, NORMALIZE: tl.constexpr, BC: tl.constexpr, BFLOAT16: tl.constexpr,
):  # fmt: skip
    """Scale the sums of the channels that there are, round and write them; `weight` is to divide by or, with INVERSE,
    to multiply with."""
    inside = (y < height) & (x < width)
    plane = tl.cast(height, tl.int64) * width
    to = out + ((b * n_channels + c) * plane + y.to(tl.int64) * width + x)
    store_numbers(to, scaled(sum_0, weight, INVERSE, NORMALIZE), inside, BFLOAT16)
    if BC > 1:
        store_numbers(to + plane, scaled(sum_1, weight, INVERSE, NORMALIZE), inside & (left > 1), BFLOAT16)
    if BC > 2:
        store_numbers(to + 2 * plane, scaled(sum_2, weight, INVERSE, NORMALIZE), inside & (left > 2), BFLOAT16)
    if BC > 3:
        store_numbers(to + 3 * plane, scaled(sum_3, weight, INVERSE, NORMALIZE), inside & (left > 3), BFLOAT16)


@triton.jit
def scaled(total, weight, INVERSE: tl.constexpr, NORMALIZE: tl.constexpr):
    if INVERSE:
        return total * weight
    elif NORMALIZE:
        return mean_of(total, weight)
    else:
        return total


@triton.jit
def mean_of(total, weight):
    """The sums divided by their weights, rounded correctly: the division of float32 is an approximation."""
    divisor = tl.where(weight == 0, 1, weight)
    mean = tl.div_rn(total, divisor) if total.dtype == tl.float32 else total / divisor
    return tl.where(weight == 0, 0, mean)


@triton.jit
def store_numbers(to, x, mask, BFLOAT16: tl.constexpr):
    """Write numbers rounded to nearest, ties to even."""
    E: tl.constexpr = to.dtype.element_ty
    if BFLOAT16:
        bits = x.to(tl.int32, bitcast=True)
        # In 64 bits, since those of NaN may overflow.
        rounded = (bits.to(tl.int64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
        tl.store(to, tl.where(x == x, rounded, 0x7FC0).to(tl.int16), mask=mask)
    elif E == tl.uint8:  # noqa: SIM300
        # Next to 2**23 there are no fractions, and the last bits are the number. NaN is not above 0.
        held = tl.minimum(tl.where(x > 0, x, 0), 255) + 8388608.0
        tl.store(to, (held.to(tl.int32, bitcast=True) & 255).to(tl.uint8), mask=mask)
    else:
        tl.store(to, x.to(E), mask=mask)
