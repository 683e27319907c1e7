"""Images as models have them, [-1, 1], and as everything else has, [0, 1] or 8 bits."""

from __future__ import annotations

import torch


def to_model(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images on the scale of models, from -1 (black) to 1 (white); `to_uint8` gives back the same 8 bits.

    Parameters
    ----------
    images : tensor of any shape
        uint8 (0 to 255), or floating on the scale from 0 to 1, which must not hold 8-bit values.
    dtype : torch.dtype
        float32, float64, or float16, which holds 8 bits too.

    Returns
    -------
    tensor of the same shape, of that dtype, on the same device
        x / 127.5 - 1, or 2 x - 1.

    Raises
    ------
    TypeError
        If the images are of another dtype.
    """
    if images.dtype == torch.uint8:
        return images.to(dtype) / 127.5 - 1
    if images.is_floating_point():
        return images.to(dtype) * 2 - 1
    raise TypeError(f"to_model: images of dtype {images.dtype} must be uint8 (0 to 255) or floating (0 to 1)")


def to_unit(x: torch.Tensor) -> torch.Tensor:
    """Images of models, floating, on the scale from 0 to 1, to which they are held: the same shape and dtype."""
    return ((_floating(x, "to_unit") + 1) / 2).clamp(0, 1)


def to_uint8(x: torch.Tensor) -> torch.Tensor:
    """Images of models, floating, rounded to 8 bits; what lies outside of -1 to 1 is held to it, and NaN becomes 0.

    float16 and bfloat16 are rounded from float32. The same shape, uint8.
    """
    wide = _floating(x, "to_uint8").to(torch.promote_types(x.dtype, torch.float32))
    return ((wide + 1) * 127.5).nan_to_num(0).clamp(0, 255).round().to(torch.uint8)


def _floating(x: torch.Tensor, name: str) -> torch.Tensor:
    if not x.is_floating_point():
        raise TypeError(f"{name}: x of dtype {x.dtype} must be floating, from -1 to 1")
    return x
