"""The memory of outputs: that of NumPy where they are small, and blocks that earlier outputs have left where large."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from sparsefast import _native
from sparsefast.dispatch import COMPUTED_IN

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
_UINT8 = np.dtype(np.uint8)
_DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(np.float32) for name in ("float32", *COMPUTED_IN)}
_DTYPES["float64"] = np.dtype(np.float64)

_ELEMENTS: dict[str, np.dtype[Any]] = {
    name: np.dtype(name) for name in ("uint8", "int64", "float16", "float32", "float64")
} | {"bfloat16": np.dtype(np.int16)}

# From this size on, outputs take memory that earlier outputs have left: fresh pages can cost more than the kernel.
_LARGE = 1 << 16
_empty: Any = np.empty
_empty_large: Any = getattr(_native.module, "empty", _empty)


def empty_codes(n: int, n_nonzero: int, dtype: str, index: np.dtype[Any]) -> tuple[np.ndarray, ...]:
    """Uninitialised values (n, n_nonzero), of the dtype in which `dtype` is computed, indices (n, n_nonzero), counts
    (n,) and status (n,)."""
    empty = _empty_large if n * n_nonzero >= _LARGE // 4 else _empty
    return (
        empty((n, n_nonzero), _DTYPES[dtype]),
        empty((n, n_nonzero), index),
        empty((n,), INT32),
        empty((n,), _UINT8),
    )


def empty_nearest(n: int, dtype: str, index: np.dtype[Any]) -> tuple[np.ndarray, ...]:
    """Uninitialised indices (n,), and distances (n,), of the dtype in which `dtype` is computed."""
    empty = _empty_large if n >= _LARGE // 4 else _empty
    return empty((n,), index), empty((n,), _DTYPES[dtype])


def empty(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Uninitialised and C-contiguous; bfloat16, which NumPy lacks, as int16."""
    kind = _ELEMENTS[dtype]
    return _empty_large(shape, kind) if math.prod(shape) * kind.itemsize >= _LARGE else _empty(shape, kind)


def release_memory() -> int:
    """Give the memory that freed outputs have left back to the system, and forget what `fold` knows of coverage.

    With the native module outputs of 64 KiB and more take blocks that earlier outputs have left, at most 256 MiB of
    them, because fresh pages can cost more than a kernel. Of the inverse coverage of images at most 128 MiB are kept.
    Arrays that are in use are not touched.

    Returns
    -------
    int
        How many bytes that was.
    """
    weights = sys.modules.get("sparsefast.ops.patch_weights")
    maps = int(weights.kept.clear()) if weights is not None else 0
    return maps + (int(_native.module.release_memory()) if _native.module is not None else 0)
