"""The weights of pixels in a fold: windows, how much weight each pixel of an image gets, and its inverse, which is
kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from sparsefast.kernels.patch_grid import Grid
from sparsefast.ops.patch_arguments import Pair, check_pair, check_word

WINDOWS = ("uniform", "gaussian", "kaiser")


class _Kept:
    """Maps that were used last, up to a number of bytes in all."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.lock = threading.Lock()
        self.held: dict[int, Any] = {}
        self.clear()

    def clear(self) -> int:
        with self.lock:
            freed: int = getattr(self, "bytes", 0)
            self.maps: OrderedDict[Any, Any] = OrderedDict()
            self.bytes = 0
            return freed

    def get(self, key: Any, make: Any) -> Any:
        with self.lock:
            if key in self.maps:
                self.maps.move_to_end(key)
                return self.maps[key][0]
        made, n_bytes = make()
        with self.lock:
            if key not in self.maps and n_bytes <= self.most_bytes // 2:
                self.maps[key] = made, n_bytes
                self.bytes += n_bytes
                while self.bytes > self.most_bytes:
                    _, (_, gone) = self.maps.popitem(last=False)
                    self.bytes -= gone
        return made

    def lend(self, x: Any, kind: Any) -> Any:
        """An array of a GPU for work that is about to be queued: held for good where its end cannot be known."""
        if not kind.in_use(x):
            self.held[id(x)] = x
        return x


kept = _Kept(128 << 20)


def patch_window(name: str, patch_size: int | Pair, *, sigma: float | None = None, beta: float = 2.0) -> np.ndarray:
    """Weights of the pixels of a patch, the largest in the middle: for the `weights` of `fold`.

    Parameters
    ----------
    name : {"uniform", "gaussian", "kaiser"}
        Ones; exp(-((i - c)^2 / s_y^2 + (j - d)^2 / s_x^2) / 2) around the middle (c, d); or the product of Kaiser
        windows along both axes, as BM3D has it (Dabov et al. 2007).
    patch_size : int or (int, int)
        Height and width, in pixels.
    sigma : float, optional
        Of "gaussian", in pixels along both axes; a quarter of the patch size along each where it is not given.
    beta : float
        The shape of "kaiser": 0 is uniform, more falls off faster.

    Returns
    -------
    array of shape (ph, pw), float64

    Raises
    ------
    ValueError
        If there is no such window, or a number is out of range.
    """
    check_word("patch_window", "name", name, WINDOWS)
    patch = check_pair("patch_window", "patch_size", patch_size)
    if sigma is not None and not 0 < sigma < np.inf:
        raise ValueError(f"patch_window: sigma={sigma!r}; it must be above 0")
    if not 0 <= beta <= 700:
        raise ValueError(f"patch_window: beta={beta!r}; it must be 0 to 700")
    along = []
    for n in patch:
        if name == "kaiser":
            along.append(np.kaiser(n, beta))
        elif name == "gaussian":
            offsets = np.arange(n) - (n - 1) / 2
            along.append(np.exp(-0.5 * (offsets / (n / 4 if sigma is None else sigma)) ** 2))
        else:
            along.append(np.ones(n))
    return np.multiply.outer(*along)


def named_window(name: str, patch: Pair, wide: bool) -> np.ndarray | None:
    """A window by its name, kept for the next call, in float32, or float64 where `wide`; None where all are one."""
    if name == "uniform":
        return None

    def make() -> tuple[np.ndarray, int]:
        window = patch_window(name, patch).astype(np.float64 if wide else np.float32)
        return window, window.nbytes

    made: np.ndarray = kept.get((name, patch, wide), make)
    return made


def on_device(window: np.ndarray, kind: Any, where: str) -> Any:
    """A window as kernels take it on this device, kept for the next call."""
    if where == "cpu":
        return window
    key = window.tobytes(), window.shape, window.dtype, kind.library.__name__, where
    return kept.lend(kept.get(key, lambda: (kind.from_numpy(window), window.nbytes)), kind)


def coverage(grid: Grid, window: np.ndarray | None) -> np.ndarray:
    """The weight that each pixel gets from the patches of a grid: (H, W), float64."""
    if window is None:
        return np.multiply.outer(*(_counts(axis) for axis in grid))
    total = np.zeros(grid.image)
    starts = [axis.starts() for axis in grid]
    for i, row in enumerate(np.asarray(window, np.float64)):
        for j, weight in enumerate(row):
            # No two patches have the same pixel at one place in them.
            ys, xs = (start[start < axis.size - at] + at for start, axis, at in zip(starts, grid, (i, j), strict=True))
            total[np.ix_(ys, xs)] += weight
    return total


def _counts(axis: Any) -> np.ndarray:
    change = np.zeros(axis.size + 1)
    starts = axis.starts()
    np.add.at(change, np.minimum(starts, axis.size), 1)
    np.add.at(change, np.minimum(starts + axis.patch, axis.size), -1)
    return np.cumsum(change[:-1])


def inverse_coverage(grid: Grid, window: np.ndarray | None, kind: Any, wide: bool, where: str) -> Any:
    """1 / coverage, 0 where that is 0: (H, W) in float32, or float64 where `wide`, as kernels take it on this device;
    None where all are one. Kept for the next call: nobody may write to it."""
    key = grid, None if window is None else window.tobytes(), kind.library.__name__, wide, where

    def make() -> tuple[Any, int]:
        total = coverage(grid, window)
        if (total == 1).all():
            return None, 64
        inverse = np.divide(1, total, out=np.zeros_like(total), where=total != 0)
        inverse = np.ascontiguousarray(inverse, np.float64 if wide else np.float32)
        return kind.from_numpy(inverse), inverse.nbytes

    inverse = kept.get(key, make)
    return inverse if inverse is None or where == "cpu" else kept.lend(inverse, kind)
