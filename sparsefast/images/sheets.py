"""Contact sheets: pictures in rows and columns, each with its label underneath."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsefast.images.values import from_float, to_float

GAP = 8
FONT_SIZE = 14
LABEL_HEIGHT = 24


def contact_sheet(
    pictures: Sequence[np.ndarray], labels: Sequence[str] | None = None, *, columns: int | None = None
) -> np.ndarray:
    """Pictures in rows and columns on white, from left to right, then down.

    A column is as wide as its widest picture and a row as high as its highest; a picture stands at the top left of its
    place. A label that is wider than its column is cut short, so as not to run into the next.

    Parameters
    ----------
    pictures : arrays of shape (H, W), (H, W, 1) or (H, W, 3)
        uint8, uint16, bool, or floating from 0 to 1; sizes and types may differ.
    labels : str for each picture, or None
    columns : int or None
        The most pictures in a row; None: all in one row.

    Returns
    -------
    array of shape (H, W, 3), uint8

    Raises
    ------
    ValueError
        If there are no pictures, not as many labels as pictures, columns is below 1 or a shape is another.
    """
    if not len(pictures):
        raise ValueError("contact_sheet: there are no pictures")
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"contact_sheet: {len(labels)} labels do not go with {len(pictures)} pictures")
    if columns is not None and columns < 1:
        raise ValueError(f"contact_sheet: columns={columns} must be at least 1")
    panes = [_rgb(picture) for picture in pictures]
    per_row = min(columns or len(panes), len(panes))
    label_height = 0 if labels is None else LABEL_HEIGHT
    widths = [max(pane.shape[1] for pane in panes[column::per_row]) for column in range(per_row)]
    heights = [
        max(pane.shape[0] for pane in panes[first : first + per_row]) + label_height
        for first in range(0, len(panes), per_row)
    ]
    lefts, tops = _starts(widths), _starts(heights)
    sheet = np.full((tops[-1] - GAP, lefts[-1] - GAP, 3), 255, np.uint8)
    for i, pane in enumerate(panes):
        top, left = tops[i // per_row], lefts[i % per_row]
        height, width = pane.shape[:2]
        sheet[top : top + height, left : left + width] = pane
        if labels is not None:
            strip = _label(labels[i], widths[i % per_row])
            sheet[top + height : top + height + label_height, left : left + strip.shape[1]] = strip
    return sheet


def _rgb(picture: np.ndarray) -> np.ndarray:
    if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,)) or picture.size == 0:
        raise ValueError(f"contact_sheet: a picture of shape {picture.shape} must be (H, W), (H, W, 1) or (H, W, 3)")
    pixels = picture if picture.dtype == np.uint8 else from_float(to_float(picture), np.uint8)
    return np.broadcast_to(np.atleast_3d(pixels), (*pixels.shape[:2], 3))


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each of these begins, with gaps between, and where one more would."""
    return [0, *np.cumsum([size + GAP for size in sizes]).tolist()]


def _label(text: str, width: int) -> np.ndarray:
    """A strip (LABEL_HEIGHT, width, 3) with as much of the text as fits."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(strip)
    try:
        font = ImageFont.load_default(FONT_SIZE)
    except TypeError:  # before Pillow 10.1 it has one size
        font = ImageFont.load_default()
    line = " ".join(text.split())
    shown = line
    while shown and draw.textlength(shown, font=font) > width:
        line = line[:-1]
        shown = line.rstrip() + ".." if line else ""
    draw.text((0, 3), shown, fill="black", font=font)
    return np.asarray(strip)
