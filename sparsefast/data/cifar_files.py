"""The files of CIFAR-10 as its authors publish them (A. Krizhevsky, Learning multiple layers of features from tiny
images, 2009): pickled batches and binary ones. A pickle can run any program when it is loaded; here it cannot."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
N_CLASSES = 10
# Twice what a batch of 10000 images has.
MOST_BYTES = 64_000_000


def read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A batch of records of 3073 bytes, a label and the red, green and blue pixels of an image, row by row.

    Returns
    -------
    images (n, 3, 32, 32), uint8, and labels (n,), int64

    Raises
    ------
    ValueError
        If it is damaged, naming the file.
    """
    records = np.frombuffer(_bytes_of(path), np.uint8)
    if not records.size or records.size % (1 + PIXELS):
        raise ValueError(
            f"{path} has {records.size} bytes, not a multiple of {1 + PIXELS}: it is no batch, or truncated"
        )
    records = records.reshape(-1, 1 + PIXELS)
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE), _checked(records[:, 0].astype(np.int64), path)


def read_pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A batch as a pickled dict of "data" (n, 3072), uint8, and "labels", a list of n integers, and others.

    Written by Python 2 or 3 and any NumPy; as `read_binary` else. Nothing but dicts, lists, strings, numbers and arrays
    of bytes is made of it: whatever else it asks for is refused before it is looked up.
    """
    data = _bytes_of(path)
    try:
        batch = _Unpickler(data).load()
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None
    except Exception as error:  # pickle raises many types for damaged data
        raise ValueError(f"{path} is no batch of CIFAR-10, or damaged: {' '.join(str(error).split())}") from None
    if not isinstance(batch, dict):
        raise ValueError(f"{path} is no batch of CIFAR-10: it holds a {type(batch).__name__} instead of a dict")
    images, labels = (batch.get(key.encode(), batch.get(key)) for key in ("data", "labels"))
    pixels = images.to_array() if isinstance(images, _Array) else None
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != PIXELS or not len(pixels):
        shape = "missing" if pixels is None else f"of shape {pixels.shape}"
        raise ValueError(f"{path} is no batch of CIFAR-10: its data are {shape}, not (n, {PIXELS}) of uint8")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < N_CLASSES for label in labels):
        raise ValueError(
            f"{path} is no batch of CIFAR-10: its labels are no list of integers from 0 to {N_CLASSES - 1}"
        )
    if len(labels) != len(pixels):
        raise ValueError(f"{path} is no batch of CIFAR-10: it has {len(labels)} labels for {len(pixels)} images")
    return pixels.reshape(-1, *SHAPE), np.array(labels, np.int64)


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes: a batch of CIFAR-10 has half of {MOST_BYTES:,}")
    return path.read_bytes()


def _checked(labels: np.ndarray, path: Path) -> np.ndarray:
    if labels.max() >= N_CLASSES:
        raise ValueError(f"{path} is no batch of CIFAR-10: it has a label {labels.max()}, over {N_CLASSES - 1}")
    return labels


class _Refused(Exception):
    """What a pickle asks for and does not get; the end of a sentence that begins with the file."""


class _Dtype:
    """Stands in for numpy.dtype: keeps what it was made with."""

    def __init__(self, name: Any = None, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which single bytes do not have."""


class _Array:
    """Stands in for numpy.ndarray, so that no code of NumPy's is given what the file holds before it is checked."""

    def __init__(self, *arguments: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def to_array(self) -> np.ndarray | None:
        """The array, if it is one of bytes."""
        match self.state:
            case (_, tuple(shape), _Dtype(name="u1" | b"u1" | "uint8"), order, bytes(data) | bytearray(data)):
                if all(type(n) is int and n >= 0 for n in shape) and np.prod(shape, dtype=object) == len(data):
                    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if order else "C")
        return None


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    """Stands in for numpy's function of this purpose, which protocol 5 calls."""
    found = _Array()
    found.state = (1, shape, dtype, order == "F", data)
    return found


def _encoded(text: Any, encoding: Any = None) -> bytes:
    """Stands in for _codecs.encode, by which Python 3 writes bytes in protocol 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"asks for _codecs.encode to {encoding!r}, which no batch of CIFAR-10 does: it is refused")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encoded,
    # NumPy 2 renamed its core.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        # Strings of Python 2 are bytes.
        super().__init__(io.BytesIO(data), encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(
                f"asks for {module}.{name}, which no batch of CIFAR-10 holds: it is refused, and nothing run"
            )
        return _ALLOWED[module, name]
