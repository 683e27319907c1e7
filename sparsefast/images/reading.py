"""Pictures from files, upright, with every bit that the file holds."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from sparsefast.images import limits, png16, ppm16, tiff
from sparsefast.images.picture import Picture, from_samples, turned

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

ORIENTATION = 0x0112
EXIF_PREFIX = b"Exif\0\0"
# How much of a file is searched for the marker that tells the bits of a sample.
_HEADER_BYTES = 1 << 20
# Where formats that Pillow does not open without pixels have their width and height.
_SIZES = {png16.SIGNATURE: slice(16, 24), b"GIF8": slice(6, 10), b"BM": slice(18, 26)}
# What Pillow decodes by running Ghostscript on it, or opens whatever is inside of, such as the former: a file that only
# looks like a photograph must not start another program.
_UNSAFE = ("EPS", "IPTC")
# Modes whose numbers become others when they are converted to RGB: a colour profile of theirs would be wrong there.
_OTHER_COLOURS = ("CMYK", "YCbCr", "LAB", "HSV")


def read(path: str | os.PathLike[str]) -> Picture:
    """Read a picture of any format that Pillow decodes itself: upright, 8 or 16 bits, grey or RGB, with its alpha.

    Palettes, CMYK, Lab and other colours become RGB (a colour profile that is not one of RGB is dropped); 1-bit
    pictures become 8-bit ones; a transparent colour becomes an alpha channel; alpha that was multiplied into the
    pixels is divided out. 32-bit integers that all lie in 0 to 65535 are read as 16-bit ones, floating numbers that all
    lie in 0 to 1 as float32. Of files with several frames or pages the first is read, and `notes` says so. PNG and
    Netpbm files of 16 bits are read here, and TIFFs of more than 8 bits in colour by tifffile, since Pillow would cut
    them to 8.

    Parameters
    ----------
    path : path of a file, whose format is told by its content, whatever its name

    Raises
    ------
    ValueError
        If it is not a picture, damaged, larger than the limit (`SPARSEFAST_MAX_PIXELS`), or of more bits than can be
        read; naming the file.
    OSError
        If the file cannot be opened.
    ImportError
        If it needs tifffile, which is not installed.
    """
    from PIL import Image

    # What goes wrong in opening is told apart from what goes wrong in reading.
    try:
        opened = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise type(error)(f"{path or 'an empty name'}: {error.strerror}") from None
    with opened as file, limits.pillow_guarded():
        try:
            return _read(file if file.seekable() else io.BytesIO(file.read()))
        except _NoPicture as error:
            raise ValueError(f"{path} {error}") from None
        except Image.DecompressionBombError:
            raise ValueError(f"{path} cannot be read as a picture: it is far {limits.too_large()}") from None
        except ImportError as error:
            raise ImportError(f"{path}: {error}") from None
        except Exception as error:  # Pillow raises many types for a damaged file
            # The number of bytes that were not processed counts only those in a buffer of Pillow's.
            text = re.sub(r" \(\d+ bytes not processed\)$", "", " ".join(str(error).split()))
            # Others are slips of a decoder that met what it did not expect: "index 0 out of range" tells nobody much.
            if not isinstance(error, (OSError, ValueError, SyntaxError, MemoryError)):
                text = f"it is damaged ({type(error).__name__}: {text})"
            raise ValueError(f"{path} cannot be read as a picture: {text or type(error).__name__}") from None


class _NoPicture(Exception):
    """A file of no format that is read; the end of a sentence that begins with its name."""


def _read(file: BinaryIO) -> Picture:
    from PIL import Image, UnidentifiedImageError

    file.seek(0)
    try:
        # Pillow keeps what it was given open, and closes what it opened itself.
        opened = Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(_HEADER_BYTES)
        if head[:4] in tiff.MAGIC:
            return tiff.read(file)
        raise _NoPicture(_why_not(head)) from None
    form = opened.format
    if form in _UNSAFE:
        raise _NoPicture(f"is of the format {form}, which is not read; convert it to PNG")
    limits.check_size(*opened.size)
    frames = getattr(opened, "n_frames", 1)
    # The layers of a PSD are parts of its one picture.
    notes = (f"the first of {frames} frames",) if frames > 1 and form != "PSD" else ()
    profile = opened.info.get("icc_profile")
    if form == "PNG" and png16.is_png16(file):
        found = png16.read(file)
        orientation, exif = _exif(found.exif)
        samples = np.ascontiguousarray(turned(found.samples, orientation))
        return from_samples(samples, icc_profile=profile, exif=exif, format=form, notes=notes)
    if form == "PPM" and opened.mode == "RGB" and _netpbm_maximum(opened) > 255:
        return from_samples(ppm16.read(file), format=form)
    if form == "TIFF" and max(_bits(opened)) > 8 and _tag(opened, 277, 1) > 1:
        return tiff.read(file)
    _check_depth(file, form, opened.mode)
    return _from_pillow(opened, notes)


def _why_not(head: bytes) -> str:
    """What is wrong with a file that begins like this and that Pillow does not know."""
    if not head:
        return "is empty, and no picture"
    for magic, size in _SIZES.items():
        if head.startswith(magic) and len(head) >= size.stop:
            # Both numbers have the same width; a zero is one in any byte order.
            middle = (size.start + size.stop) // 2
            if 0 in (sum(head[size.start : middle]), sum(head[middle : size.stop])):
                return "has a width or height of 0: there are no pixels"
    return "is not a picture that Pillow can read"


def _from_pillow(image: ImageFile, notes: tuple[str, ...]) -> Picture:
    """The picture of an opened file that Pillow reads in full."""
    from PIL import ImageOps

    image.load()
    profile, form = image.info.get("icc_profile"), image.format
    # Pillow turns these over for 8 bits alone.
    dark_is_high = _tag(image, 262) == tiff.MIN_IS_WHITE
    twelve_bits = form == "TIFF" and _bits(image) == (12,)
    exif = None
    if form != "TIFF":  # whose EXIF data are its tags, and which Pillow has turned already
        try:
            ImageOps.exif_transpose(image, in_place=True)
            exif = image.info.get("exif")
        except Exception:  # a damaged block, of which Pillow may stumble over anything
            notes = (*notes, "its EXIF data are damaged and left out")
    if image.mode.startswith("I;16"):
        samples = np.array(image).astype(np.uint16)
        if twelve_bits:
            samples = (samples << 4 | samples >> 8).astype(np.uint16)
        if dark_is_high:
            samples = (65535 - samples).astype(np.uint16)
    elif image.mode in ("I", "F"):
        samples = tiff.in_range(np.array(image))
    else:
        if image.mode in _OTHER_COLOURS:
            profile = None
        samples = np.array(image.convert(_plain_mode(image.mode, "transparency" in image.info)))
    if exif:
        # Some formats keep it without the prefix, which others need.
        exif = EXIF_PREFIX + exif.removeprefix(EXIF_PREFIX)
    return from_samples(samples, icc_profile=profile or None, exif=exif or None, format=form, notes=notes)


def _plain_mode(mode: str, transparent: bool) -> str:
    """The one of L, LA, RGB and RGBA that holds what a mode does."""
    alpha = transparent or mode in ("LA", "La", "PA", "RGBA", "RGBa")
    return ("L" if mode in ("1", "L", "LA", "La") else "RGB") + ("A" if alpha else "")


def _exif(block: bytes | None) -> tuple[int, bytes | None]:
    """The orientation that an EXIF block tells, and the block without it."""
    from PIL import Image

    if block is None:
        return 1, None
    exif = Image.Exif()
    try:
        exif.load(EXIF_PREFIX + block)
        orientation = int(exif.pop(ORIENTATION, 1))
        return orientation, exif.tobytes()
    except Exception:  # a damaged block, of which Pillow may stumble over anything
        return 1, None


def _bits(image: ImageFile) -> tuple[int, ...]:
    return tuple(_tag(image, 258, (1,)))


def _tag(image: ImageFile, code: int, default: Any = None) -> Any:
    """The value of a tag of a TIFF."""
    return getattr(image, "tag_v2", {}).get(code, default)


def _netpbm_maximum(image: ImageFile) -> int:
    """The largest value of a sample, which the decoder is told unless it is 255."""
    arguments = image.tile[0][3] if image.tile else None
    return arguments[1] if isinstance(arguments, tuple) and isinstance(arguments[1], int) else 255


def _check_depth(file: BinaryIO, form: str | None, mode: str) -> None:
    """Raise ValueError if samples have more bits than Pillow hands out in this mode."""
    if mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"):
        return
    file.seek(0)
    head = file.read(_HEADER_BYTES)
    bits = 8
    if form == "JPEG2000" and (at := head.find(b"\xff\x4f\xff\x51")) >= 0:
        components = int.from_bytes(head[at + 40 : at + 42])
        bits = max((1 + (b & 127) for b in head[at + 42 : at + 42 + 3 * components : 3]), default=8)
    elif form == "AVIF" and (at := head.find(b"av1C")) >= 0:
        flags = head[at + 6]
        bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    elif form == "SGI":
        bits = 8 * head[3]
    if bits > 8:
        raise ValueError(f"it has {bits} bits a sample, of which Pillow reads 8; convert it to PNG or TIFF of 16 bits")
