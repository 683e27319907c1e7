"""How the kernels are compiled, and a cache of compiled code that no change in their sources escapes.

Numba keeps compiled code on disk in files named after the outermost function, and compiles anew when the file in which
that function stands has changed; of the other files that it calls into, and of constants from elsewhere, it knows
nothing. Here each outermost function has a digest of all of these in its name: code from other sources is never found,
wherever the change is. What was compiled from earlier sources stays in `__pycache__` until that is removed.

Every file with compiled code is called *_serial.py: no threads, no Python objects, and the GIL released.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

from sparsefast.kernels import status

# Sums keep their order (no reassoc) and NaN its meaning (no nnan); contract allows the fused multiply-add. Inlined, the
# helpers pass arrays without counting references, which costs a third of the time where signals are short; but Numba
# sees that it may do so only in helpers of few loops.
compiled: Any = functools.partial(njit, nogil=True, error_model="numpy", forceinline=True, fastmath={"contract", "nsz"})

WORD = types.intp
WIDE = types.float64
INPUT_MASK = types.Array(types.boolean, 2, "A", readonly=True)


def real_type(dtype: np.dtype) -> Any:
    """Numba's type of an entry of the signals."""
    return from_dtype(dtype)


def bits_type(dtype: np.dtype) -> Any:
    """Numba's type of an integer as wide as an entry of the signals."""
    return from_dtype(np.dtype(f"i{dtype.itemsize}"))


def input_type(dtype: np.dtype) -> Any:
    """Numba's type of signals (N, F) of any strides."""
    return types.Array(from_dtype(dtype), 2, "A", readonly=True)


def output_types(dtype: np.dtype, index_dtype: np.dtype) -> list[Any]:
    """Numba's types of values, indices, counts and status."""
    return [from_dtype(dtype)[:, :], from_dtype(index_dtype)[:, :], types.int32[:], types.uint8[:]]


def compile_range(function: Callable[..., None], arguments: list[Any]) -> Callable[..., None]:
    """Compile a function of a *_serial file for these types, or read it from the cache."""
    function.__qualname__ = f"{function.__name__}_{digest()}"
    signature = types.void(*arguments)
    try:
        return compiled(signature, cache=True)(function)
    except RuntimeError:  # Numba found no directory to keep compiled code in
        return compiled(signature)(function)


@functools.cache
def digest() -> str:
    """A digest of the files that compiled code is made from."""
    found = hashlib.sha256()
    for path in sources():
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def sources() -> list[Path]:
    """The files that compiled code is made from: functions, constants, and the options above."""
    return [*sorted(Path(__file__).parent.glob("*_serial.py")), Path(__file__), Path(status.__file__)]
