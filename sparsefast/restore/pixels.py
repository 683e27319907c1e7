"""Pictures as the methods of this room take them, (C, H, W) float32 in an orthonormal colour space, and back."""

from __future__ import annotations

import numpy as np

# Lightness, red less blue, and green less magenta. Orthonormal, so that white noise stays white and of its deviation.
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def check_image(who: str, image: np.ndarray) -> None:
    """Raise unless `image` is a picture that can be restored.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what it was and what it must be.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{who}: image is a {type(image).__name__}; it must be a NumPy array")
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise TypeError(f"{who}: image has dtype {image.dtype}; it must be uint8, uint16, float32 or float64")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"{who}: image has shape {image.shape}; it must be (H, W), grey, or (H, W, 3), colours")
    if image.size == 0:
        raise ValueError(f"{who}: image has shape {image.shape}; it must hold at least one pixel")


def check_finite(who: str, image: np.ndarray, where: np.ndarray | None = None) -> None:
    """Raise ValueError if a pixel, or one of those that the mask `where` of shape (H, W) names, is not finite."""
    if image.dtype.kind != "f":
        return
    bad = ~np.isfinite(image if image.ndim == 2 else image.sum(axis=2, dtype=np.float64))
    if where is not None:
        bad &= where
    if bad.any():
        y, x = np.argwhere(bad)[0]
        raise ValueError(
            f"{who}: image has {int(bad.sum())} pixels with values that are not finite, the first at row {y}, column "
            f"{x}; all must be numbers"
        )


def white(image: np.ndarray) -> float:
    """The value of white: 255 for uint8, 65535 for uint16, 1 for floating pixels."""
    return float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0


def to_planes(image: np.ndarray, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3), divided by `scale`, a number or one for each channel, as planes (1 or 3, H, W)."""
    x = (image / np.asarray(scale, np.float64)).astype(np.float32, copy=False)
    return x[None] if x.ndim == 2 else mixed(np.moveaxis(x, 2, 0))


def mixed(channels: np.ndarray) -> np.ndarray:
    """RGB (3, ...) float32 in the colour space of the planes; grey (1, ...) as it is."""
    if len(channels) == 1:
        return channels
    return np.ascontiguousarray(np.einsum("dc,c...->d...", _OPPONENT.astype(np.float32), channels))


def to_pixels(planes: np.ndarray, like: np.ndarray, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """What `to_planes` was given, of the shape and dtype of `like`; integers are rounded and held to their range."""
    mixed = planes[0] if like.ndim == 2 else np.einsum("dc,dhw->hwc", _OPPONENT, planes)
    x = mixed * np.asarray(scale, np.float64)
    if like.dtype.kind == "u":
        x = np.rint(np.clip(x, 0, white(like), out=x), out=x)
    return x.astype(like.dtype)


def padded(planes: np.ndarray, least: int) -> np.ndarray:
    """Planes of at least `least` rows and columns, mirrored below and to the right where there were fewer."""
    height, width = planes.shape[1:]
    if min(height, width) >= least:
        return planes
    return np.pad(planes, ((0, 0), (0, max(0, least - height)), (0, max(0, least - width))), mode="symmetric")
