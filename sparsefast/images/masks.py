"""Masks: which pixels of a picture are known, True, and which are to be filled in."""

from __future__ import annotations

import math

import numpy as np

from sparsefast.images.pairs import pair

KINDS = ("random", "grid", "center", "corner", "block", "line")
CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")

Seed = int | np.random.Generator | None


def make_mask(kind: str, shape: tuple[int, int], keep: float, seed: Seed = None) -> np.ndarray:
    """The mask of a kind that keeps about this fraction of the pixels (a random one: exactly).

    Parameters
    ----------
    kind : {"random", "grid", "center", "corner", "block", "line"}
        The grid has the stride whose share is nearest; the corner is the top left one; the lines are rows.
    shape : (H, W)
    keep : float, 0 to 1
    seed : int, numpy.random.Generator or None
        For random pixels, the place of the block and the choice of lines.

    Returns
    -------
    array of shape (H, W), bool
        True where the pixel is known.

    Raises
    ------
    ValueError
        If the kind is another, or keep is not a fraction.
    """
    if kind == "random":
        return random_mask(shape, keep, seed)
    if kind == "grid":
        return grid_mask(shape, grid_stride(keep))
    if kind == "center":
        return center_mask(shape, keep)
    if kind == "corner":
        return corner_mask(shape, keep)
    if kind == "block":
        return block_mask(shape, keep, seed)
    if kind == "line":
        return line_mask(shape, keep, seed)
    raise ValueError(f"make_mask: kind={kind!r} must be one of {', '.join(KINDS)}")


def random_mask(shape: tuple[int, int], keep: float, seed: Seed = None) -> np.ndarray:
    """Exactly round(keep * H * W) pixels are known, each set of that many as likely as any other; see `make_mask`."""
    _check("random_mask", shape, keep)
    n_pixels = math.prod(shape)
    mask = np.zeros(n_pixels, bool)
    mask[np.random.default_rng(seed).choice(n_pixels, round(keep * n_pixels), replace=False, shuffle=False)] = True
    return mask.reshape(shape)


def grid_mask(shape: tuple[int, int], stride: int | tuple[int, int], offset: int | tuple[int, int] = 0) -> np.ndarray:
    """Every stride-th pixel of every stride-th row is known, from `offset` on; both are (rows, columns) or one int.

    Raises
    ------
    ValueError
        If a stride is below 1, or an offset is not one of 0 to stride - 1.
    """
    _check("grid_mask", shape)
    strides = pair(stride)
    offsets = pair(offset)
    if min(strides) < 1:
        raise ValueError(f"grid_mask: stride={stride} must be at least 1")
    if not all(0 <= start < step for start, step in zip(offsets, strides, strict=True)):
        raise ValueError(f"grid_mask: offset={offset} must be at least 0 and below stride={stride}")
    mask = np.zeros(shape, bool)
    mask[offsets[0] :: strides[0], offsets[1] :: strides[1]] = True
    return mask


def grid_stride(keep: float) -> int:
    """The stride of the grid whose share of the pixels, 1 / stride², is nearest to a fraction above 0."""
    if not 0 < keep <= 1:
        raise ValueError(f"grid_stride: keep={keep} must be above 0 and at most 1")
    below = math.floor(keep**-0.5)
    return min((max(below, 1), below + 1), key=lambda stride: abs(stride**-2 - keep))


def center_mask(shape: tuple[int, int], keep: float) -> np.ndarray:
    """A rectangle in the middle is known, of the picture's proportions and this fraction of its pixels."""
    height, width = _rectangle("center_mask", shape, keep)
    return _filled(shape, (shape[0] - height) // 2, (shape[1] - width) // 2, height, width)


def corner_mask(shape: tuple[int, int], keep: float, corner: str = "top-left") -> np.ndarray:
    """A rectangle in a corner is known: "top-left", "top-right", "bottom-left" or "bottom-right"."""
    height, width = _rectangle("corner_mask", shape, keep)
    if corner not in CORNERS:
        raise ValueError(f"corner_mask: corner={corner!r} must be one of {', '.join(CORNERS)}")
    top = 0 if corner.startswith("top") else shape[0] - height
    left = 0 if corner.endswith("left") else shape[1] - width
    return _filled(shape, top, left, height, width)


def block_mask(shape: tuple[int, int], keep: float, seed: Seed = None) -> np.ndarray:
    """A rectangle is known, of the picture's proportions, at a random place; see `make_mask`."""
    height, width = _rectangle("block_mask", shape, keep)
    rng = np.random.default_rng(seed)
    top, left = (int(rng.integers(n - m + 1)) for n, m in zip(shape, (height, width), strict=True))
    return _filled(shape, top, left, height, width)


def line_mask(shape: tuple[int, int], keep: float, seed: Seed = None, *, axis: int = 0) -> np.ndarray:
    """Whole rows (axis 0) or columns (axis 1) are known, round(keep * their number) of them, chosen at random."""
    _check("line_mask", shape, keep)
    if axis not in (0, 1):
        raise ValueError(f"line_mask: axis={axis} must be 0 (rows) or 1 (columns)")
    lines = random_mask((shape[axis], 1), keep, seed)
    return np.tile(lines, (1, shape[1])) if axis == 0 else np.tile(lines.T, (shape[0], 1))


def _check(who: str, shape: tuple[int, int], keep: float = 1.0) -> None:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"{who}: shape={tuple(shape)} must be (height, width), both at least 1")
    if not 0 <= keep <= 1:
        raise ValueError(f"{who}: keep={keep} must be 0 to 1")


def _rectangle(who: str, shape: tuple[int, int], keep: float) -> tuple[int, int]:
    """Height and width, in the proportions of the shape, that hold the number of pixels nearest to the fraction."""
    _check(who, shape, keep)
    n_pixels = keep * math.prod(shape)
    middle = round(shape[0] * math.sqrt(keep))
    # A row more or less often comes closer to the number, and changes the proportions by no more than rounding does.
    heights = [h for h in (middle, middle - 1, middle + 1) if 1 <= h <= shape[0]]
    sizes = [(h, min(shape[1], round(n_pixels / h))) for h in heights]
    return min(sizes, key=lambda size: abs(math.prod(size) - n_pixels))


def _filled(shape: tuple[int, int], top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask
