"""What every contender is given: images, patches to fold, a window, and memory for outputs; on the host or a device."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.data import SEED
from sparsefast.bench.patches import case as cases
from sparsefast.bench.patches.case import Case

Array = NDArray[Any]


@dataclass(frozen=True)
class Given:
    """A batch of a case in one layout. Arrays are made when they are first asked for, and shared by all."""

    case: Case
    layout: str
    n_images: int
    dtype: str = "float32"
    device: str | None = None
    """Of PyTorch, for tensors there; None for NumPy arrays."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of all patches."""
        features, patches = self.case.n_features, self.case.n_patches
        return (self.n_images, *((features, patches) if self.layout == "columns" else (patches, features)))

    @functools.cached_property
    def images(self) -> Any:
        """(B, C, H, W)"""
        return self._there(cases.images(self.case, self.n_images, self.dtype))

    @functools.cached_property
    def out(self) -> Any:
        """Memory for patches, the same for every contender."""
        return self._empty()

    @functools.cached_property
    def patches(self) -> Any:
        """The patches of the images, each brighter or darker by up to 10%, and each of its pixels too.

        As they are cut, patches agree about every pixel: whoever sums the wrong ones, or too few, would go unnoticed.
        """
        rng = np.random.default_rng(SEED)
        of_patch = self._there(rng.uniform(0.9, 1.1, self.case.n_patches).astype(self.dtype))
        of_pixel = rng.uniform(0.9, 1.1, self.case.n_features).reshape(self.case.channels, *self.case.patch)
        out = self._empty()
        parts = windows(out, self.case, self.layout)
        padded = padded_images(self.images, self.case)
        y, x = (self._there(axis) for axis in self.case.corners.T.copy())
        for ky, kx in np.ndindex(*self.case.patch):
            pixels = padded[:, :, y + ky, x + kx] * of_patch
            for c in range(self.case.channels):
                parts[:, c, ky, kx] = pixels[:, c] * float(of_pixel[c, ky, kx])
        return out

    @functools.cached_property
    def centers(self) -> Any:
        """(L, 2), or None on a grid."""
        return None if self.case.centers is None else self._there(self.case.centers)

    def _there(self, array: Array) -> Any:
        return array if self.device is None else tensor(array).to(self.device)

    def _empty(self) -> Any:
        if self.device is None:
            return np.empty(self.shape, self.dtype)
        torch = importlib.import_module("torch")
        return torch.empty(self.shape, dtype=getattr(torch, self.dtype), device=self.device)


def windows(patches: Any, case: Case, layout: str) -> Any:
    """Patches in either layout as a view (B, C, ph, pw, L)."""
    sizes = (case.channels, *case.patch)
    if layout == "columns":
        return patches.reshape(len(patches), *sizes, -1)
    view = patches.reshape(len(patches), case.n_patches, *sizes)
    return np.moveaxis(view, 1, -1) if isinstance(view, np.ndarray) else view.movedim(1, -1)


def padded_images(images: Any, case: Case) -> Any:
    """Images with zeros where patches reach out of them."""
    more = np.maximum(case.corners.max(axis=0) + case.patch - case.size, 0)
    if not more.any():
        return images
    if isinstance(images, np.ndarray):
        return np.pad(images, [(0, 0), (0, 0), *((0, int(m)) for m in more)])
    return importlib.import_module("torch").nn.functional.pad(images, (0, int(more[1]), 0, int(more[0])))


def tensor(array: Any) -> Any:
    """An array of either kind as a PyTorch tensor, without a copy."""
    return importlib.import_module("torch").from_numpy(array) if isinstance(array, np.ndarray) else array


def on_host(array: Any) -> Array:
    """An array of either kind as a NumPy array."""
    return np.asarray(array.detach().cpu().numpy() if hasattr(array, "detach") else array)
