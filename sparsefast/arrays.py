"""The arrays that go in and come out: NumPy, PyTorch and CuPy, told apart without importing any that the caller has
not.

A kind views an array as NumPy without a copy and allocates outputs of the same kind. CuPy arrays and CUDA tensors are
recognised, so that the dispatch can say why no backend takes them.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Protocol

import numpy as np

from sparsefast import _native

Array = Any
"""A NumPy, PyTorch or CuPy array; a type checker cannot know more without importing all three."""

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_NATIVE_NAMES = {_FLOAT32: "float32", _FLOAT64: "float64"}
_NATIVE_DTYPES: dict[str, np.dtype[Any]] = {"float32": _FLOAT32, "float64": _FLOAT64}
_INT32, _INT64, _UINT8 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)


# From this size on, outputs take memory that earlier outputs have left: fresh pages can cost more than the kernel.
_LARGE = 1 << 16
_empty_large: Any = getattr(_native.module, "empty", np.empty)


def _codes(n: int, n_nonzero: int, dtype: str, index: np.dtype[Any]) -> tuple[np.ndarray, ...]:
    empty = _empty_large if n * n_nonzero >= _LARGE // 4 else np.empty
    return (
        empty((n, n_nonzero), _NATIVE_DTYPES[dtype]),
        empty((n, n_nonzero), index),
        empty((n,), _INT32),
        empty((n,), _UINT8),
    )


def release_memory() -> int:
    """Give the memory that freed outputs have left back to the system.

    Outputs of 64 KiB and more take blocks that earlier outputs have left, at most 256 MiB of them, because fresh pages
    can cost more than a kernel. Arrays that are in use are not touched. Without the native module nothing is kept.

    Returns
    -------
    int
        How many bytes that was.
    """
    return int(_native.module.release_memory()) if _native.module is not None else 0


class Kind(Protocol):
    """What an op needs to know of a library of arrays."""

    words: str
    """For messages, with its article."""

    def device(self, x: Array) -> str:
        """The device in full, such as "cpu" or "cuda:1"."""

    def dtype(self, x: Array) -> str:
        """The name of its dtype; not a plain name where the bytes are swapped."""

    def view(self, x: Array) -> np.ndarray:
        """The same memory as a NumPy array that kernels can read, for arrays on the CPU; a copy only where it cannot
        be."""

    def raw_view(self, x: Array) -> np.ndarray:
        """The same memory as a NumPy array object of its own, aligned or not."""

    def memory(self, x: Array) -> object:
        """Changes when `x` is given other memory, or another shape, strides or dtype in place; cheap."""

    def wrap(self, x: np.ndarray) -> Array:
        """The other way round: the same memory as an array of this kind."""

    def refuse_gradient(self, x: Array, what: str) -> None:
        """Raise if the caller expects to differentiate through `x`."""

    def codes(self, n: int, n_nonzero: int, dtype: str) -> tuple[tuple[Array, ...], tuple[np.ndarray, ...]]:
        """Uninitialised (values, indices, counts, status) of this kind, and the same memory as NumPy arrays."""


class _NumPy:
    words = "a NumPy array"

    def device(self, x: Array) -> str:
        return "cpu"

    def dtype(self, x: Array) -> str:
        return _NATIVE_NAMES.get(x.dtype) or str(x.dtype)

    def view(self, x: Array) -> np.ndarray:
        # Fields of packed records may lie at addresses that a kernel cannot read from.
        return x if x.flags.aligned else x.copy()

    def raw_view(self, x: Array) -> np.ndarray:
        return x[...]

    def memory(self, x: Array) -> object:
        return None  # the view that was taken stays as it is, whatever is assigned to the array's shape

    def wrap(self, x: np.ndarray) -> Array:
        return x

    def refuse_gradient(self, x: Array, what: str) -> None:
        return None

    def codes(self, n: int, n_nonzero: int, dtype: str) -> tuple[tuple[Array, ...], tuple[np.ndarray, ...]]:
        out = _codes(n, n_nonzero, dtype, _INT32)
        return out, out


class _Torch:
    words = "a PyTorch tensor"

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self._names = {torch.float32: "float32", torch.float64: "float64"}
        self._cpu = torch.device("cpu")

    def device(self, x: Array) -> str:
        device = x.device
        return "cpu" if device == self._cpu else str(device)

    def dtype(self, x: Array) -> str:
        if x.layout is not self.torch.strided:
            return f"{x.layout} {x.dtype}"
        return self._names.get(x.dtype) or str(x.dtype).removeprefix("torch.")

    def view(self, x: Array) -> np.ndarray:
        try:
            return x.numpy()
        except RuntimeError:
            # It requires grad, which `refuse_gradient` has found harmless, or has its sign bit pending.
            return x.detach().resolve_neg().numpy()

    def raw_view(self, x: Array) -> np.ndarray:
        return self.view(x)

    def memory(self, x: Array) -> object:
        return x.data_ptr(), x.shape, x.stride(), x.dtype

    def wrap(self, x: np.ndarray) -> Array:
        return self.torch.from_numpy(x)

    def refuse_gradient(self, x: Array, what: str) -> None:
        if x.requires_grad and self.torch.is_grad_enabled():
            raise NotImplementedError(
                f"{what} requires grad, and there is no gradient yet; "
                f"call it under torch.no_grad(), or pass {what.rpartition(' ')[2]}.detach()"
            )

    def codes(self, n: int, n_nonzero: int, dtype: str) -> tuple[tuple[Array, ...], tuple[np.ndarray, ...]]:
        # Made by NumPy and lent to PyTorch: half a microsecond each, where torch.empty and numpy() take two. The
        # indices are int64, because that is what PyTorch's own indexing takes.
        views = _codes(n, n_nonzero, dtype, _INT64)
        lend = self.torch.from_numpy
        return (lend(views[0]), lend(views[1]), lend(views[2]), lend(views[3])), views


class _CuPy:
    words = "a CuPy array"

    def device(self, x: Array) -> str:
        return f"cuda:{x.device.id}"

    def dtype(self, x: Array) -> str:
        return str(x.dtype)

    def view(self, x: Array) -> np.ndarray:
        raise NotImplementedError("a CuPy array has no memory on the CPU")

    def raw_view(self, x: Array) -> np.ndarray:
        raise NotImplementedError("a CuPy array has no memory on the CPU")

    def memory(self, x: Array) -> object:
        return x.data.ptr

    def wrap(self, x: np.ndarray) -> Array:
        raise NotImplementedError("a CuPy array has no memory on the CPU")

    def refuse_gradient(self, x: Array, what: str) -> None:
        return None

    def codes(self, n: int, n_nonzero: int, dtype: str) -> tuple[tuple[Array, ...], tuple[np.ndarray, ...]]:
        raise NotImplementedError("a CuPy array has no memory on the CPU")


NUMPY = _NumPy()
_CUPY = _CuPy()
_torch_kind: _Torch | None = None
_lock = threading.Lock()
_kinds: dict[type, Kind] = {np.ndarray: NUMPY}


def torch_ready() -> _Torch:
    """The PyTorch kind; the first call makes SparseCode known to PyTorch's trees and to
    torch.load(weights_only=True)."""
    global _torch_kind
    if _torch_kind is None:
        import torch

        from sparsefast.sparse_code import register_with_torch

        with _lock:
            register_with_torch(torch)
        _torch_kind = _Torch(torch)
    return _torch_kind


def kind_of(x: object, what: str) -> Kind:
    """The kind of an array.

    Parameters
    ----------
    x : object
    what : str
        The op and the argument, for the message: "omp: signals".

    Raises
    ------
    TypeError
        If it is not an array, or one whose extra meaning (a mask) would be lost.
    """
    kind = _kinds.get(type(x))
    return kind if kind is not None else _kind_of_new_type(x, what)


def _kind_of_new_type(x: object, what: str) -> Kind:
    kind: Kind | None = None
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what} is a NumPy masked array, whose mask would be ignored; pass a plain array")
    if isinstance(x, np.ndarray):
        kind = NUMPY
    elif (tensor := getattr(sys.modules.get("torch"), "Tensor", None)) is not None and isinstance(x, tensor):
        kind = torch_ready()
    elif any(t.__module__.partition(".")[0] == "cupy" and t.__name__ == "ndarray" for t in type(x).__mro__):
        kind = _CUPY
    if kind is None:
        raise TypeError(f"{what} is a {_type_name(x)}; it must be a NumPy array, a PyTorch tensor or a CuPy array")
    _kinds[type(x)] = kind
    return kind


def _type_name(x: object) -> str:
    t = type(x)
    return t.__name__ if t.__module__ == "builtins" else f"{t.__module__}.{t.__qualname__}"


def describe(x: Array, kind: Kind, what: str, dtypes: tuple[str, ...]) -> tuple[str, str]:
    """The device in full and the dtype of an array.

    Raises
    ------
    TypeError
        If its dtype is not among `dtypes`, with the dtype and what is allowed.
    """
    dtype = kind.dtype(x)
    if dtype not in dtypes:
        raise TypeError(f"{what} has dtype {dtype}; it must be {' or '.join(dtypes)}")
    return kind.device(x), dtype


def require_same(op: str, first: str, a: tuple[Kind, str, str], second: str, b: tuple[Kind, str, str]) -> None:
    """Raise unless two arrays, each given as (kind, device, dtype), are of one kind, on one device, and of one dtype.

    Raises
    ------
    TypeError, ValueError
        With both arguments in the message.
    """
    if a[0] is not b[0]:
        raise TypeError(f"{op}: {first} is {a[0].words} and {second} {b[0].words}; pass both as one kind")
    require_same_memory(op, first, a[1:], second, b[1:])


def require_same_memory(op: str, first: str, a: tuple[str, str], second: str, b: tuple[str, str]) -> None:
    """As `require_same`, for (device, dtype) alone."""
    if a[0] != b[0]:
        raise ValueError(f"{op}: {first} is on {a[0]} and {second} on {b[0]}; move one of them")
    if a[1] != b[1]:
        raise TypeError(f"{op}: {first} is {a[1]} and {second} {b[1]}; convert one of them")


def index(value: object, what: str) -> int:
    """`value` as an int, if it is an integer: bools and floats are not.

    Raises
    ------
    TypeError
        With the value and its type.
    """
    if type(value) is int:
        return value
    if not isinstance(value, (bool, np.bool_)) and hasattr(value, "__index__"):
        try:
            return value.__index__()
        except TypeError:  # arrays have the method, and refuse unless they hold one integer
            pass
    raise TypeError(f"{what}={value!r} is a {_type_name(value)}; it must be an integer")
