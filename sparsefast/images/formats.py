"""The formats that pictures are written in: their suffixes, and what each can hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sparsefast.images.picture import Picture


class Format(NamedTuple):
    """A format as pictures are written in it.

    `modes` are Pillow's that it can hold of 8 bits; a mode that is missing becomes the next one in `_WIDER`, of the
    same values. `deep` are those that it can hold of 16 bits, `floating` of float32. `options` go to Pillow.
    """

    name: str
    suffixes: tuple[str, ...]
    modes: tuple[str, ...]
    deep: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()
    profile: bool = False
    exif: bool = False
    lossy: bool = False
    options: Mapping[str, Any] = MappingProxyType({})


_ALL = ("L", "LA", "RGB", "RGBA")
# A grey picture as a coloured one loses nothing; alpha has to stay.
_WIDER = {"L": ("L", "RGB"), "LA": ("LA", "RGBA"), "RGB": ("RGB",), "RGBA": ("RGBA",)}

# Near the best that a lossy format does: what is restored should not be blurred on its way out.
_HIGH_QUALITY = {"quality": 95, "subsampling": "4:4:4"}

FORMATS = (
    Format("PNG", (".png",), _ALL, deep=_ALL, profile=True, exif=True),
    Format("TIFF", (".tif", ".tiff"), _ALL, deep=_ALL, floating=_ALL, profile=True),
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        ("L", "RGB"),
        profile=True,
        exif=True,
        lossy=True,
        options=_HIGH_QUALITY,
    ),
    # `exact` keeps the colours of pixels that are wholly transparent.
    Format("WEBP", (".webp",), ("RGB", "RGBA"), profile=True, exif=True, options={"lossless": True, "exact": True}),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx"), _ALL),
    Format("AVIF", (".avif",), ("RGB", "RGBA"), profile=True, exif=True, lossy=True, options=_HIGH_QUALITY),
    Format("PPM", (".ppm", ".pgm", ".pnm"), ("L", "RGB"), deep=("L", "RGB")),
    Format("BMP", (".bmp", ".dib"), ("L", "RGB")),
    Format("TGA", (".tga",), _ALL),
    Format("GIF", (".gif",), ("L",)),
    Format("PCX", (".pcx",), ("L", "RGB")),
    Format("SGI", (".sgi", ".rgb", ".rgba", ".bw"), ("L", "RGB", "RGBA")),
    Format("QOI", (".qoi",), ("RGB", "RGBA")),
)
_BY_SUFFIX = {suffix: form for form in FORMATS for suffix in form.suffixes}


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that the suffix of a path names, in small or capital letters.

    Raises
    ------
    ValueError
        If it names none that is written, listing those.
    """
    form = _BY_SUFFIX.get(Path(path).suffix.lower())
    if form is None:
        raise ValueError(f"{path or 'an empty name'} must end in one of {', '.join(_BY_SUFFIX)}, which name the format")
    return form


def mode_in(form: Format, picture: Picture) -> str:
    """The mode in which a format holds a picture without loss of alpha, colour or bits.

    Raises
    ------
    ValueError
        If it cannot, saying what it cannot hold and which format can.
    """
    mode = ("L" if picture.pixels.ndim == 2 else "RGB") + ("" if picture.alpha is None else "A")
    modes = {8: form.modes, 16: form.deep, 32: form.floating}[picture.bits]
    if not modes:
        instead = "TIFF (.tif)" if picture.bits == 32 else "PNG (.png)"
        raise ValueError(f"{form.name} is not written with {picture.bits} bits a sample; write a {instead}")
    for wider in _WIDER[mode]:
        if wider in modes:
            return wider
    lacks = "an alpha channel" if picture.alpha is not None else "all the colours of a photograph"
    raise ValueError(f"{form.name} cannot hold {lacks}; write a PNG (.png)")
