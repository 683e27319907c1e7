"""The arrays that go in: what kind they are, told without importing any library that the caller has not, and whether
they go together."""

from __future__ import annotations

import sys
import threading

import numpy as np

from sparsefast.kinds import Array as Array
from sparsefast.kinds import CuPyKind, InterfaceKind, NumPyKind, TorchKind
from sparsefast.kinds import Kind as Kind

NUMPY = NumPyKind()
CUPY = CuPyKind()
_interface_kind: InterfaceKind | None = None
_torch_kind: TorchKind | None = None
_lock = threading.Lock()
KINDS: dict[type, Kind] = {np.ndarray: NUMPY}
"""The types met so far; `kind_of` adds to them."""


def torch_ready() -> TorchKind:
    """The PyTorch kind; the first call makes SparseCode known to PyTorch's trees and to
    torch.load(weights_only=True)."""
    global _torch_kind
    if _torch_kind is None:
        import torch

        from sparsefast.sparse_code import register_with_torch

        with _lock:
            register_with_torch(torch)
        _torch_kind = TorchKind(torch)
    return _torch_kind


def _interface_ready() -> InterfaceKind:
    global _interface_kind
    if _interface_kind is None:
        _interface_kind = InterfaceKind(torch_ready())
    return _interface_kind


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
    kind = KINDS.get(type(x))
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
        kind = CUPY
    elif hasattr(x, "__cuda_array_interface__") and hasattr(x, "shape") and hasattr(x, "ndim"):
        kind = _interface_ready()
    if kind is None:
        raise TypeError(f"{what} is a {_type_name(x)}; it must be a NumPy array, a PyTorch tensor or a CuPy array")
    KINDS[type(x)] = kind
    return kind


def _type_name(x: object) -> str:
    t = type(x)
    return t.__name__ if t.__module__ == "builtins" else f"{t.__module__}.{t.__qualname__}"


def describe(x: Array, kind: Kind, what: str) -> tuple[str, str]:
    """The device in full and the dtype of an array of real numbers.

    Raises
    ------
    TypeError
        If its dtype is none that signals may have, with the dtype and what is allowed.
    """
    dtype = kind.dtype(x)
    if dtype not in kind.dtypes:
        raise TypeError(f"{what} has dtype {dtype}; it must be {', '.join(kind.dtypes[:-1])} or {kind.dtypes[-1]}")
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
