"""A picture in memory: its pixels, and what is needed to write it back as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

# The largest value of a pixel of each type.
FULL_SCALE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Picture:
    r"""A picture, upright: the first row is the top.

    Parameters
    ----------
    pixels : array of shape (H, W) (grey) or (H, W, 3) (RGB)
        uint8 (0 to 255), uint16 (0 to 65535) or float32 (0 to 1); H and W are at least 1.
    alpha : array of shape (H, W) or None
        Opacity, of the dtype of the pixels, which are not multiplied with it; None: opaque.
    icc_profile : bytes or None
        The colour profile that gives the pixels their meaning.
    exif : bytes or None
        The camera's data, from b"Exif\0\0" on, without an orientation: the pixels are upright already.
    format : str or None
        Pillow's name of the format of the file that it comes from, such as "PNG".
    notes : tuple of str
        What the file holds and the picture does not, such as more frames.

    Raises
    ------
    TypeError, ValueError
        If dtype or shape is none of these; naming it.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    format: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels, alpha = self.pixels, self.alpha
        if not isinstance(pixels, np.ndarray) or pixels.dtype not in FULL_SCALE:
            raise TypeError(f"Picture: pixels of {_kind(pixels)} must be an array of uint8, uint16 or float32")
        if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
            raise ValueError(f"Picture: pixels of shape {pixels.shape} must be (H, W) or (H, W, 3)")
        if pixels.size == 0:
            raise ValueError(f"Picture: pixels of shape {pixels.shape} hold no pixel")
        if alpha is None:
            return
        if not isinstance(alpha, np.ndarray) or alpha.dtype != pixels.dtype:
            raise TypeError(f"Picture: alpha of {_kind(alpha)} must have the dtype of the pixels, {pixels.dtype}")
        if alpha.shape != pixels.shape[:2]:
            raise ValueError(f"Picture: alpha of shape {alpha.shape} must be {pixels.shape[:2]}, as the pixels are")

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def full_scale(self) -> int:
        """What white is: 255, 65535 or, for float32, 1."""
        return FULL_SCALE[self.pixels.dtype]

    @property
    def bits(self) -> int:
        """Bits of a sample: 8, 16 or 32."""
        return 8 * self.pixels.dtype.itemsize

    def with_pixels(self, pixels: np.ndarray) -> Picture:
        """The same picture with other pixels of the same height, width and dtype; grey may become RGB."""
        return dataclasses.replace(self, pixels=pixels)

    def samples(self) -> np.ndarray:
        """Pixels and alpha in one array, as most formats hold them: (H, W) or (H, W, 2, 3 or 4)."""
        if self.alpha is None:
            return self.pixels
        return np.dstack([self.pixels, self.alpha])

    def __str__(self) -> str:
        colour = "RGB" if self.pixels.ndim == 3 else "grey"
        return (
            f"{self.width} x {self.height}, {self.bits}-bit {colour}{' with alpha' if self.alpha is not None else ''}"
        )

    def __repr__(self) -> str:
        return f"Picture({self})"


def from_samples(samples: np.ndarray, **more: Any) -> Picture:
    """The picture of samples of shape (H, W) or (H, W, 1 to 4): grey, grey and alpha, RGB, or RGB and alpha."""
    if samples.ndim == 2:
        return Picture(samples, **more)
    alpha = None
    if samples.shape[2] in (2, 4):
        samples, alpha = samples[:, :, :-1], np.ascontiguousarray(samples[:, :, -1])
    pixels = samples[:, :, 0] if samples.shape[2] == 1 else samples
    return Picture(np.ascontiguousarray(pixels), alpha, **more)


def turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Samples (H, W, ...) of a file with this EXIF orientation, upright; a value that is none of 1 to 8 counts as 1."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def _kind(value: object) -> str:
    return f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
