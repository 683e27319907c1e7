"""PNG files of 16 bits a sample, of which Pillow reads and writes the upper 8 bits unless they are grey.

Source: PNG specification (third edition), https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Samples of a pixel by colour type, and back.
SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
COLOUR_TYPE = {samples: colour_type for colour_type, samples in SAMPLES.items()}
# The passes that a picture comes in, by its interlace method, each of the pixels [first row::step, first column::step].
PASSES = {
    0: ((0, 1, 0, 1),),
    1: ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)),
}
# Bytes filtered at a time: five candidates of a band stay in the cache.
BAND = 1 << 19
# Of zlib: the lower bytes of a photograph are noise, of which more effort finds no more than 2 %, at twice the time.
LEVEL = 3


class Png16(NamedTuple):
    """What a 16-bit PNG holds: samples (H, W, 1 to 4) uint16, as they are stored, and its EXIF block."""

    samples: np.ndarray
    exif: bytes | None


def is_png16(file: BinaryIO) -> bool:
    """Whether a file is a PNG of 16 bits a sample."""
    file.seek(0)
    head = file.read(26)
    return head[:8] == SIGNATURE and head[12:16] == b"IHDR" and head[24:25] == b"\x10"


def read(file: BinaryIO) -> Png16:
    """Read a PNG of 16 bits a sample; a transparent colour becomes an alpha channel.

    Raises
    ------
    ValueError
        If it is damaged or truncated.
    """
    width = height = colour_type = interlace = 0
    data: list[bytes] = []
    transparent = exif = None
    for name, body in _chunks(file):
        if name == b"IHDR":
            width, height, _, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", body)
            if colour_type not in SAMPLES:
                raise ValueError(f"damaged PNG: 16 bits do not go with colour type {colour_type}")
            if interlace not in PASSES:
                raise ValueError(f"damaged PNG: there is no interlace method {interlace}")
        elif name == b"tRNS":
            transparent = np.frombuffer(body, ">u2")
        elif name == b"IDAT":
            data.append(body)
        elif name == b"eXIf":
            exif = body
    n_samples = SAMPLES[colour_type]
    samples = _unpacked(data, (height, width, n_samples), PASSES[interlace])
    if transparent is not None and len(transparent) == n_samples and n_samples in (1, 3):
        opaque = (samples != transparent).any(axis=2)
        samples = np.dstack([samples, np.where(opaque, 65535, 0).astype(np.uint16)])
    return Png16(samples, exif)


def write(file: BinaryIO, samples: np.ndarray, icc_profile: bytes | None = None, exif: bytes | None = None) -> None:
    """Write samples (H, W) or (H, W, 2, 3 or 4), uint16: grey, grey and alpha, RGB, or RGB and alpha."""
    samples = np.atleast_3d(samples)
    height, width, n_samples = samples.shape
    file.write(SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPE[n_samples], 0, 0, 0))
    if icc_profile is not None:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if exif is not None:
        _write_chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    compressor = zlib.compressobj(LEVEL)
    band = max(1, BAND // (2 * n_samples * width))
    above = np.zeros((1, 2 * n_samples * width), np.uint8)
    for top in range(0, height, band):
        rows = samples[top : top + band].astype(">u2").reshape(-1, n_samples * width).view(np.uint8)
        if body := compressor.compress(_filtered(rows, above, 2 * n_samples)):
            _write_chunk(file, b"IDAT", body)
        above = rows[-1:]
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _filtered(rows: np.ndarray, above: np.ndarray, step: int) -> bytes:
    """Rows (h, n) with, in front of each, the filter that makes the sum of its magnitudes least; above is (1, n)."""
    up = np.vstack([above, rows[:-1]])
    left, corner = (np.pad(a, ((0, 0), (step, 0)))[:, : rows.shape[1]] for a in (rows, up))
    a, b, c = (neighbour.astype(np.int16) for neighbour in (left, up, corner))
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    mean = ((a + b) >> 1).astype(np.uint8)
    candidates = np.stack([rows, rows - left, rows - up, rows - mean, rows - paeth])
    # Differences are signed: 255 is -1.
    best = np.abs(candidates.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    return np.column_stack([best.astype(np.uint8), candidates[best, np.arange(len(rows))]]).tobytes()


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    size = file.seek(0, io.SEEK_END)
    at = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        file.seek(at)
        head = file.read(8)
        # The length is checked before it is read: a damaged one may ask for gigabytes.
        if len(head) < 8 or at + 12 + int.from_bytes(head[:4]) > size:
            raise ValueError("the PNG is truncated")
        length, name = int.from_bytes(head[:4]), head[4:]
        body = file.read(length)
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(file.read(4)):
            raise ValueError(f"damaged PNG: the checksum of its {name.decode('latin-1')!r} chunk is wrong")
        yield name, body
        at += 12 + length


def _unpacked(
    data: list[bytes], shape: tuple[int, int, int], passes: Sequence[tuple[int, int, int, int]]
) -> np.ndarray:
    """The samples (H, W, n) of compressed rows."""
    height, width, n_samples = shape
    places = [(slice(y, height, dy), slice(x, width, dx)) for y, dy, x, dx in passes if y < height and x < width]
    sizes = [(len(range(height)[rows]), 1 + 2 * n_samples * len(range(width)[columns])) for rows, columns in places]
    inflated = _inflate(data, sum(n_rows * n_bytes for n_rows, n_bytes in sizes))
    samples = np.empty(shape, np.uint16)
    at = 0
    for place, (n_rows, n_bytes) in zip(places, sizes, strict=True):
        rows = np.frombuffer(inflated, np.uint8, n_rows * n_bytes, at).reshape(n_rows, n_bytes)
        bad = _compiled_unfilter()(rows, 2 * n_samples)
        if bad >= 0:
            raise ValueError(f"damaged PNG: row {bad} names filter {rows[bad, 0]}")
        samples[place] = np.ascontiguousarray(rows[:, 1:]).view(">u2").reshape(n_rows, -1, n_samples)
        at += rows.size
    return samples


def _inflate(data: list[bytes], size: int) -> bytearray:
    """The `size` bytes that the data decompress to; what would come after them is left alone."""
    inflated = bytearray()
    decompressor = zlib.decompressobj()
    try:
        for body in data:
            if len(inflated) < size:
                inflated += decompressor.decompress(body, size - len(inflated))
    except zlib.error as error:
        raise ValueError(f"damaged PNG: {error}") from None
    if len(inflated) < size:
        raise ValueError(f"the PNG is truncated: {len(inflated)} of {size} bytes of pixels")
    return inflated


def _write_chunk(file: BinaryIO, name: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name))))


@functools.cache
def _compiled_unfilter() -> Callable[[np.ndarray, int], int]:
    from numba import njit

    from sparsefast.images.png_unfilter import unfilter

    compiled: Any
    try:
        compiled = njit("int64(uint8[:, ::1], int64)", nogil=True, cache=True)(unfilter)
    except RuntimeError:  # Numba found no directory to keep compiled code in
        compiled = njit("int64(uint8[:, ::1], int64)", nogil=True)(unfilter)
    return compiled
