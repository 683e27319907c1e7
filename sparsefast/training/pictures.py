"""Grids of pictures."""

from __future__ import annotations

import io

import numpy as np
from torch import Tensor

from sparsefast.data.values import to_uint8
from sparsefast.images import contact_sheet

# Pictures with fewer pixels a side are enlarged by whole numbers to about this.
_SIDE = 128


def picture_grid(rows: dict[str, Tensor]) -> np.ndarray:
    """Rows of pictures under each other, each with its label: {label: (B, C, H, W) in [-1, 1]} to (H, W, 3) uint8."""
    pictures, labels = [], []
    for label, images in rows.items():
        pixels = to_uint8(images.detach().float().cpu()).permute(0, 2, 3, 1).numpy()
        times = max(1, _SIDE // pixels.shape[1])
        pictures += list(pixels.repeat(times, axis=1).repeat(times, axis=2))
        labels += [label] + [""] * (len(pixels) - 1)
    return contact_sheet(pictures, labels, columns=max(len(images) for images in rows.values()))


def png(pixels: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
