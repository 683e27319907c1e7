"""Netpbm files of 16 bits a sample, of which Pillow reads the upper 8 where they are coloured, and writes none.

Source: https://netpbm.sourceforge.net/doc/ppm.html. The bytes of a sample are big-endian.
"""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

# Magic number, width, height and largest value, with comments between them, and one space after them.
_HEADER = re.compile(rb"P6" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" + rb"\s")
# Enough for a header and its comments.
_HEADER_BYTES = 1 << 16


def read(file: BinaryIO) -> np.ndarray:
    """Samples (H, W, 3), uint16, of a binary PPM of more than 8 bits; its largest value becomes 65535.

    Raises
    ------
    ValueError
        If it is a plain-text file, or truncated.
    """
    file.seek(0)
    header = _HEADER.match(file.read(_HEADER_BYTES))
    if header is None:
        raise ValueError("of coloured Netpbm files of more than 8 bits only binary ones (P6) are read")
    width, height, largest = (int(word) for word in header.groups())
    file.seek(header.end())
    n_bytes = 6 * height * width
    data = file.read(n_bytes)
    if len(data) < n_bytes:
        raise ValueError(f"the file is truncated: {len(data)} of {n_bytes} bytes of pixels")
    samples = np.frombuffer(data, ">u2").reshape(height, width, 3)
    if largest == 65535:
        return samples.astype(np.uint16)
    return ((samples.astype(np.uint32) * 65535 + largest // 2) // largest).clip(0, 65535).astype(np.uint16)


def write(file: BinaryIO, samples: np.ndarray) -> None:
    """Write samples (H, W) or (H, W, 3), uint16, as a binary PGM or PPM."""
    height, width = samples.shape[:2]
    file.write(b"P%d\n%d %d\n65535\n" % (5 if samples.ndim == 2 else 6, width, height))
    file.write(samples.astype(">u2").tobytes())
