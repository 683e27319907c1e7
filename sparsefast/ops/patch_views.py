"""Patches that need no copy: where the array that was asked for is another view of the images."""

from __future__ import annotations

from collections.abc import Sequence

from sparsefast.ops.patch_arguments import Placement

Dimension = tuple[int, int]
"""Length and stride."""


def view_of(
    shape: Sequence[int], strides: Sequence[int], places: Placement
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Shape and strides of the patches of images (..., C, H, W) as a view of them, or None where there is none.

    There is one where the places follow each other evenly and all in the image, and the dimensions that the layout
    joins lie behind each other in memory.
    """
    ay, ax = places.grid
    if places.centers is not None:
        return None
    for a in (ay, ax):
        if (a.count - 1) * a.stride > a.last or (a.count - 1) * a.stride + a.patch > a.size:
            return None
    *batch, channels, _, _ = shape
    *batch_strides, of_channel, of_row, of_column = strides
    c = (channels, of_channel)
    ky, kx = (ay.patch, of_row), (ax.patch, of_column)
    i, j = (ay.count, ay.stride * of_row), (ax.count, ax.stride * of_column)
    if places.layout == "columns":
        groups = [[c, ky, kx], [i, j]]
    elif places.layout == "signals":
        groups = [[i, j], [c, ky, kx]]
    else:
        groups = [[i, j], [c], [ky], [kx]]
    joined = [_joined(group) for group in groups]
    dimensions = [d for d in joined if d is not None]
    if len(dimensions) < len(joined):
        return None
    return (*batch, *(n for n, _ in dimensions)), (*batch_strides, *(s for _, s in dimensions))


def _joined(group: list[Dimension]) -> Dimension | None:
    """Several dimensions as one, if their elements lie evenly apart."""
    length, stride = 1, 0
    for n, step in reversed(group):
        if n == 1:
            continue
        if length == 1:
            length, stride = n, step
        elif step == length * stride:
            length *= n
        else:
            return (0, 0) if any(m == 0 for m, _ in group) else None
    if any(m == 0 for m, _ in group):
        return 0, 0
    return length, stride
