"""Photographs, in and out: files, noise, masks, tiles, metrics and sheets. `photos` holds some to try things on."""

from sparsefast.images.masks import (
    block_mask,
    center_mask,
    corner_mask,
    grid_mask,
    line_mask,
    make_mask,
    random_mask,
)
from sparsefast.images.metrics import mse, psnr, ssim
from sparsefast.images.noise import add_noise, estimate_noise
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.sheets import contact_sheet
from sparsefast.images.tiling import Tile, apply_tiled, tiles
from sparsefast.images.values import from_float, to_float
from sparsefast.images.writing import check_not_input, check_target, write

__all__ = [
    "Picture",
    "Tile",
    "add_noise",
    "apply_tiled",
    "block_mask",
    "center_mask",
    "check_not_input",
    "check_target",
    "contact_sheet",
    "corner_mask",
    "estimate_noise",
    "from_float",
    "grid_mask",
    "line_mask",
    "make_mask",
    "mse",
    "psnr",
    "random_mask",
    "read",
    "ssim",
    "tiles",
    "to_float",
    "write",
]
