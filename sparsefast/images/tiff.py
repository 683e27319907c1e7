"""TIFF files that Pillow does not read whole: several samples a pixel, of more than 8 bits or floating.

They go through tifffile, which scikit-image brings; it is imported when such a file is met.
Source: TIFF revision 6.0, with Adobe's supplements.
"""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from sparsefast.images import limits
from sparsefast.images.picture import Picture, from_samples, turned

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ICC_PROFILE, ORIENTATION = 34675, 274
MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2
PREMULTIPLIED, ALPHA = 1, 2


def read(file: BinaryIO) -> Picture:
    """Read the first picture of a TIFF.

    Raises
    ------
    ImportError
        If tifffile is not installed.
    ValueError
        If it is neither grey nor RGB, or compressed in a way that tifffile does not know.
    """
    tifffile = _tifffile("reads")
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        limits.check_size(page.imagewidth, page.imagelength)
        if page.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
            raise ValueError("it is a TIFF of many bits that is neither grey nor RGB")
        samples, extra = _decoded(page), tuple(page.extrasamples)
        if page.axes == "SYX":
            samples = np.moveaxis(samples, 0, 2)
        elif page.axes not in ("YX", "YXS"):
            raise ValueError(f"it is a TIFF with the axes {page.axes}, and no plain picture")
        tags = {code: page.tags[code].value for code in (ICC_PROFILE, ORIENTATION) if code in page.tags}
        frames = len(tiff.pages)
    samples = np.atleast_3d(samples)
    n_colours = 3 if page.photometric == RGB else 1
    notes = [] if frames == 1 else [f"the first of {frames} frames"]
    has_alpha = bool(extra) and extra[0] in (PREMULTIPLIED, ALPHA)
    if samples.shape[2] > n_colours + has_alpha:
        notes.append(f"the first {n_colours + has_alpha} of {samples.shape[2]} channels")
    samples = in_range(samples[:, :, : n_colours + has_alpha])
    if page.photometric == MIN_IS_WHITE:
        white = 1 if samples.dtype == np.float32 else np.iinfo(samples.dtype).max
        samples = np.concatenate([white - samples[:, :, :1], samples[:, :, 1:]], axis=2)
    if has_alpha and extra[0] == PREMULTIPLIED:
        samples = _unmultiplied(samples)
    return from_samples(
        np.ascontiguousarray(turned(samples, int(tags.get(ORIENTATION, 1)))),
        icc_profile=tags.get(ICC_PROFILE),
        format="TIFF",
        notes=tuple(notes),
    )


def write(file: BinaryIO, picture: Picture) -> None:
    """Write any picture as an uncompressed TIFF.

    Raises
    ------
    ImportError
        If tifffile is not installed.
    """
    options: dict[str, Any] = dict(photometric="rgb" if picture.pixels.ndim == 3 else "minisblack", metadata=None)
    if picture.alpha is not None:
        options.update(extrasamples=["unassalpha"], planarconfig="contig")
    if picture.icc_profile is not None:
        options["iccprofile"] = picture.icc_profile
    _tifffile("writes").imwrite(file, picture.samples(), **options)


def in_range(samples: np.ndarray) -> np.ndarray:
    """Samples of any number type as those of a picture, without loss.

    uint8 and uint16 stay; other integers that all lie in 0 to 65535 become uint16, of the same values; floating ones
    that all lie in 0 to 1 become float32.

    Raises
    ------
    ValueError
        If others are among them: what white is can then not be known.
    """
    if samples.dtype in (np.uint8, np.uint16):
        return samples.astype(samples.dtype.newbyteorder("="), copy=False)
    low, high = samples.min(), samples.max()
    if np.issubdtype(samples.dtype, np.integer) and low >= 0 and high <= 65535:
        return samples.astype(np.uint16)
    if np.issubdtype(samples.dtype, np.floating) and low >= 0 and high <= 1:
        return samples.astype(np.float32)
    allowed = "0 to 1" if np.issubdtype(samples.dtype, np.floating) else "0 to 65535"
    raise ValueError(f"its {samples.dtype} samples run from {low:g} to {high:g}; only {allowed} is read; scale them")


def _decoded(page: Any) -> np.ndarray:
    try:
        return np.asarray(page.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise ValueError(
            f"its {page.compression.name} compression takes the package imagecodecs, which is not installed; "
            "pip install imagecodecs, or save it as a PNG or without compression"
        ) from None


def _unmultiplied(samples: np.ndarray) -> np.ndarray:
    colour, alpha = samples[:, :, :-1].astype(np.float64), samples[:, :, -1:].astype(np.float64)
    white = 1 if samples.dtype == np.float32 else np.iinfo(samples.dtype).max
    colour = np.divide(colour * white, alpha, out=np.zeros_like(colour), where=alpha > 0).clip(0, white)
    if samples.dtype != np.float32:
        colour = np.rint(colour)
    return np.concatenate([colour.astype(samples.dtype), samples[:, :, -1:]], axis=2)


def _tifffile(does: str) -> ModuleType:
    try:
        import tifffile
    except ImportError:
        raise ImportError(
            f"tifffile {does} TIFFs of more than 8 bits in colour or with alpha, and is not installed: "
            "pip install tifffile"
        ) from None
    # It logs what it finds wrong in a file, which would reach the terminal; what stops it, it raises.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return tifffile
