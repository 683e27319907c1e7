"""Pictures to files: whole or not at all, and never over the picture they were made from unless that is asked for."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sparsefast.files import replace_file
from sparsefast.images import limits, png16, ppm16, tiff
from sparsefast.images.formats import Format, format_of, mode_in
from sparsefast.images.picture import Picture


def write(
    path: str | os.PathLike[str],
    picture: Picture,
    *,
    source: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> tuple[str, ...]:
    """Write a picture in the format that the suffix names, with its alpha channel, its colour profile and EXIF data.

    An interrupted or failed write leaves what was there before, and no other file. A file that is replaced keeps its
    permissions; where the path is a link, what it points to is replaced.

    JPEG and AVIF are written in high quality, WebP and JPEG 2000 without loss. Formats without room for a colour
    profile or EXIF data leave these out. WebP, AVIF, QOI and GIF are read again as coloured where they were grey.

    Parameters
    ----------
    path : path of the file, in a folder that exists
    picture : Picture
    source : path or None
        The photograph that it was made from, which is not replaced, whatever it is called here, unless `force`.

    Returns
    -------
    tuple of str
        What was left out, such as "BMP is written without a colour profile"; usually empty.

    Raises
    ------
    ValueError
        If the suffix names no format that is written, if the format cannot hold the alpha channel, the bits or the
        size of the picture, if the folder does not exist, or if the path is the source.
    OSError
        If the file cannot be written.
    ImportError
        If it needs tifffile (TIFF of more than 8 bits in colour or with alpha), which is not installed.
    """
    check_target(path)
    if source is not None and not force:
        check_not_input(path, source, unless=" or pass force=True")
    form = format_of(path)
    # Into memory: on a full disk some encoders tell too little of it, and that of JPEG 2000 never returns.
    encoded = io.BytesIO()
    left_out = []
    if picture.icc_profile is not None and not _takes_profile(form, picture, path):
        left_out.append(f"{form.name} is written without a colour profile")
        picture = dataclasses.replace(picture, icc_profile=None)
    _encode(encoded, form, picture, path)
    replace_file(path, encoded.getbuffer())
    if picture.exif is not None and not form.exif:
        left_out.append(f"{form.name} is written without EXIF data")
    return tuple(left_out)


def check_target(path: str | os.PathLike[str], picture: Picture | None = None) -> None:
    """Raise ValueError, before any work is done for it, if the picture could not be written there."""
    form, path = format_of(path), Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a folder")
    if path.is_dir():
        raise ValueError(f"{path} is a folder")
    if path.exists() and not path.is_file():  # a device or a pipe, which a picture would take the place of
        raise ValueError(f"{path} is not a file")
    if picture is not None:
        _check_holds(path, form, picture)


def check_not_input(path: str | os.PathLike[str], source: str | os.PathLike[str], unless: str = "") -> None:
    """Raise ValueError if a path is the photograph that is read, by whatever name or link.

    `unless` ends the message: what the caller can do besides naming another file.
    """
    if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
        raise ValueError(f"{path} is the photograph itself; write to another file{unless}")


def _check_holds(path: str | os.PathLike[str], form: Format, picture: Picture) -> str:
    try:
        return mode_in(form, picture)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _takes_profile(form: Format, picture: Picture, path: str | os.PathLike[str]) -> bool:
    """Whether a format has room for the picture's profile, and that is not one of grey where it is held in colour."""
    grey = (picture.icc_profile or b"")[16:20] == b"GRAY"  # ICC.1:2022, table 17
    return form.profile and not (grey and _check_holds(path, form, picture).startswith("RGB"))


def _encode(file: BinaryIO, form: Format, picture: Picture, path: str | os.PathLike[str]) -> None:
    from PIL import Image

    mode = _check_holds(path, form, picture)
    if form.name == "PPM" and picture.bits == 16:
        return ppm16.write(file, picture.pixels)
    if form.name == "PNG" and picture.bits == 16:
        return png16.write(file, picture.samples(), picture.icc_profile, picture.exif)
    if form.name == "TIFF" and picture.bits > 8 and (picture.pixels.ndim == 3 or picture.alpha is not None):
        return tiff.write(file, picture)
    image = Image.fromarray(np.ascontiguousarray(picture.samples()))
    if picture.bits == 8 and image.mode != mode:
        image = image.convert(mode)
    options = dict(form.options)
    if picture.icc_profile is not None:
        options["icc_profile"] = picture.icc_profile
    if picture.exif is not None and form.exif:
        options["exif"] = picture.exif
    try:
        with limits.pillow_guarded():
            image.save(file, format=form.name, **options)
    except KeyError:
        raise ValueError(f"{path}: this Pillow was built without {form.name}") from None
    except Exception as error:  # Pillow raises many types for what an encoder does not take
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be written as {form.name}: {text}") from error
    return None
