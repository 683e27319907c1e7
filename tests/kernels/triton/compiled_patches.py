"""Cases of compiled.py: calls that between them launch the kernels of unfold and fold in each of their forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from sparsefast.kernels.patch_grid import TileLists, grid
from sparsefast.kernels.triton import fold, unfold

SIZE, PATCH = (64, 64), (8, 8)
GRID = grid(SIZE, PATCH, (4, 4), "clamp_last")

QUICK = ("unfold columns 4 bytes", "unfold rows 4 bytes", "fold float32", "fold_at bfloat16")
"""Cases that launch each kernel once."""


def unfolded(dtype: torch.dtype, rows: bool, at_corners: bool) -> None:
    images = torch.zeros((2, 3, *SIZE), dtype=dtype)
    shape = (2, GRID.n_patches, 192) if rows else (2, 192, GRID.n_patches)
    if at_corners:
        corners = torch.zeros((1, GRID.n_patches, 2), dtype=torch.int64)
        unfold.unfold_at(images, corners, PATCH, rows, torch.zeros(shape, dtype=dtype), 1)
    else:
        unfold.unfold(images, GRID, rows, torch.zeros(shape, dtype=dtype), 1)


def folded(dtype: torch.dtype, n_channels: int, weighted: bool, at_corners: bool, inverse: bool = False) -> None:
    computing = torch.float64 if dtype == torch.float64 else torch.float32
    patches = torch.zeros((2, n_channels * 64, GRID.n_patches), dtype=dtype)
    out = torch.zeros((2, n_channels, *SIZE), dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    window = torch.ones(PATCH, dtype=computing) if weighted or inverse else None
    confidence = torch.ones((2, GRID.n_patches), dtype=computing) if weighted else None
    if at_corners:
        corners = torch.zeros((1, GRID.n_patches, 2), dtype=torch.int64)
        starts = torch.zeros(2 * 64 + 1, dtype=torch.int64)
        lists = TileLists(fold.TILE, starts, starts)  # type: ignore[arg-type]
        fold.fold_at(patches, corners, lists, PATCH, False, name, window, confidence, True, out, 1)
    else:
        scale = torch.ones(SIZE, dtype=computing) if inverse else None
        fold.fold(patches, GRID, False, name, window, confidence, scale, weighted or inverse, out, 1)


def cases() -> dict[str, Callable[[], None]]:
    calls: dict[str, Callable[[], None]] = {}
    for dtype, rows in itertools.product((torch.uint8, torch.int16, torch.int32, torch.int64), (False, True)):
        name = f"unfold {'rows' if rows else 'columns'} {dtype.itemsize} bytes"
        calls[name] = lambda dtype=dtype, rows=rows: unfolded(dtype, rows, False)
    for rows in (False, True):
        calls[f"unfold_at {'rows' if rows else 'columns'}"] = lambda rows=rows: unfolded(torch.int32, rows, True)
    for dtype in (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        name = str(dtype).removeprefix("torch.")
        calls[f"fold {name}"] = lambda dtype=dtype: folded(dtype, 3, True, False)
        calls[f"fold_at {name}"] = lambda dtype=dtype: folded(dtype, 3, True, True)
    calls["fold float32 plain"] = lambda: folded(torch.float32, 1, False, False)
    calls["fold float32 inverse"] = lambda: folded(torch.float32, 3, False, False, inverse=True)
    calls["fold_at float32 plain"] = lambda: folded(torch.float32, 1, False, True)
    return calls
