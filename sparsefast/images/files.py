"""Pictures from and to files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture, upright, as (height, width, 3) or, if it is grey, (height, width), uint8.

    Transparency is dropped; 16-bit grey is scaled to 8 bits.

    Raises
    ------
    ValueError
        If it is not a picture that Pillow can read, or damaged; naming the file.
    OSError
        If the file cannot be opened.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                return (np.asarray(image).astype(np.uint32) * 255 // 65535).astype(np.uint8)
            grey = image.mode in ("1", "L", "LA")
            return np.array(image.convert("L" if grey else "RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not a picture that Pillow can read") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise type(error)(f"{path}: {error.strerror}") from None
    except Exception as error:  # Pillow raises many types for a damaged file
        raise ValueError(f"{path} cannot be read as a picture: {' '.join(str(error).split())}") from None


def side_by_side(panes: Sequence[np.ndarray], labels: Sequence[str]) -> Image.Image:
    """Panes of shape (height, width, 1 or 3) and values 0 to 1 in a row, each with its label underneath."""
    from PIL import Image, ImageDraw, ImageFont

    gap, text_height = 8, 24
    height, width = panes[0].shape[:2]
    sheet = Image.new("RGB", (len(panes) * (width + gap) - gap, height + text_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for i, (pane, label) in enumerate(zip(panes, labels, strict=True)):
        pixels = np.broadcast_to((pane * 255 + 0.5).astype(np.uint8), (height, width, 3))
        left = i * (width + gap)
        sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)), (left, 0))
        # A label that is too long for its pane would run into the next one.
        if draw.textlength(label, font=font) <= width:
            draw.text((left, height + 3), label, fill="black", font=font)
    return sheet


def check_png_path(path: Path) -> None:
    """Raise ValueError, before any work is done for it, if a PNG cannot be written there."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} must end in .png")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a folder")
    if path.is_dir():
        raise ValueError(f"{path} is a folder")


def write_png(path: Path, image: Image.Image) -> None:
    """Write a PNG whole or not at all: an interrupted or failed write leaves what was there before."""
    check_png_path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("xb") as file:
            image.save(file, format="PNG")
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
