"""Images, the places of patches in them, and patches by plain NumPy: what the tests of unfold and fold share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from tests.data import photograph

BACKENDS = sparsefast.backends("unfold", "cpu")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_layout = pytest.mark.parametrize("layout", ["columns", "patches", "signals"])
every_border = pytest.mark.parametrize("border", ["clamp_last", "pad", "drop"])
DTYPES = ("uint8", "float16", "bfloat16", "float32", "float64")


def picture(dtype: str = "float32", size: tuple[int, int] = (21, 34), n_images: int = 2) -> torch.Tensor:
    """Parts of a photograph, (B, 3, H, W); 0 to 255."""
    parts = [photograph()[100 * i : 100 * i + size[0], 200 : 200 + size[1]] for i in range(n_images)]
    return torch.from_numpy(np.rint(255 * np.stack(parts)).transpose(0, 3, 1, 2).copy()).to(getattr(torch, dtype))


def starts(size: int, patch: int, stride: int, border: str) -> list[int]:
    """Where the patches of an axis begin, counted one by one."""
    found = [0]
    while found[-1] + stride + patch <= size:
        found.append(found[-1] + stride)
    if border != "drop" and found[-1] + patch < size:
        found.append(found[-1] + stride if border == "pad" else size - patch)
    return found


def plain_patches(images: Any, patch: tuple[int, int], stride: tuple[int, int], border: str) -> np.ndarray:
    """The patches of images (B, C, H, W), one by one: (B, L, C, ph, pw)."""
    height, width = images.shape[2:]
    padded = np.pad(np.asarray(images), ((0, 0), (0, 0), (0, patch[0] + stride[0]), (0, patch[1] + stride[1])))
    return np.stack(
        [
            padded[:, :, y : y + patch[0], x : x + patch[1]]
            for y in starts(height, patch[0], stride[0], border)
            for x in starts(width, patch[1], stride[1], border)
        ],
        axis=1,
    )


def laid_out(patches: Any, layout: str) -> Any:
    """(B, L, C, ph, pw) in another layout."""
    if layout == "patches":
        return patches
    joined = patches.reshape(*patches.shape[:2], -1)
    return joined if layout == "signals" else joined.swapaxes(1, 2)
