"""The kinds of arrays: NumPy, PyTorch and CuPy. A kind views an array as NumPy without a copy and allocates outputs of
the same kind.

Arrays on a GPU are taken over by the kinds of sparsefast.device_kinds, once the dispatch has found a backend for them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sparsefast.device_kinds import CuPyDeviceKind, TorchDeviceKind
from sparsefast.dispatch import COMPUTED_IN
from sparsefast.outputs import INT32, INT64, empty, empty_codes, empty_nearest

Array = Any
"""A NumPy, PyTorch or CuPy array; a type checker cannot know more without importing all three."""

_NAMES = {np.dtype(name): name for name in ("float32", "float64", "float16")}
_FLOAT16 = np.dtype(np.float16)
_BITS: dict[int, Any] = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}


def widen(bits: np.ndarray, dtype: str) -> np.ndarray:
    """A `raw_view` as numbers that kernels read: of 16-bit numbers an exact copy in float32, of others the same."""
    if dtype == "bfloat16":  # the upper half of a float32
        return (bits.astype(np.int32) << 16).view(np.float32)
    return bits.astype(np.float32) if dtype == "float16" else bits


Outputs = tuple[tuple[Array, ...], tuple[np.ndarray, ...]]
"""Arrays of a kind, and the same memory as NumPy arrays."""


class Kind(Protocol):
    """What an op needs to know of a library of arrays."""

    words: str
    """For messages, with its article."""

    dtypes: tuple[str, ...]
    """The names of the dtypes that signals and dictionaries may have."""

    def device(self, x: Array) -> str:
        """The device in full, such as "cpu" or "cuda:1"."""

    def dtype(self, x: Array) -> str:
        """The name of its dtype; not a plain name where the bytes are swapped."""

    def view(self, x: Array, dtype: str) -> np.ndarray:
        """The same memory as a NumPy array that kernels can read, for arrays on the CPU; a copy only where it cannot
        be, and one in float32 where `dtype`, its own, has 16 bits."""

    def narrowed(self, x: Array, dtype: str) -> Array:
        """A copy in 16-bit numbers of a float32 array of this kind; what is too large becomes infinite."""

    def raw_view(self, x: Array) -> np.ndarray:
        """The same memory as a NumPy array object of its own, aligned or not; bfloat16, which NumPy lacks, as
        int16."""

    library: Any
    """The module whose functions take what `view` returns: numpy, or for arrays on a GPU their own."""

    def on(self, x: Array) -> Any:
        """The kind for where `x` lies: this one on the CPU, else one of sparsefast.device_kinds."""

    def copied(self, x: Array) -> Array:
        """A C-contiguous copy of a `raw_view`."""

    def memory(self, x: Array) -> object:
        """Changes when `x` is given other memory, or another shape, strides or dtype in place; cheap."""

    def wrap(self, x: np.ndarray) -> Array:
        """The other way round: the same memory as an array of this kind."""

    def codes(self, n: int, n_nonzero: int, dtype: str) -> Outputs:
        """Uninitialised (values, indices, counts, status) for the dtype of the signals; values float32 for 16 bits."""

    def nearest(self, n: int, dtype: str) -> Outputs:
        """Uninitialised (indices, distances) for the dtype of the signals; distances float32 for 16 bits."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
        """Uninitialised and C-contiguous, as an array of this kind and as `elements` of it."""

    def elements(self, x: Array) -> Array:
        """The same memory as an array that kernels take, of any dtype: on the CPU a NumPy array, bfloat16 as int16;
        a copy only where elements are not aligned."""

    def bits(self, x: Array) -> Array:
        """`elements`, given as such, as integers of the same size, uint8 where that is one byte."""

    def computing(self, x: Array, wide: bool) -> Array:
        """Weights of any real dtype as `elements` in float32, or float64 where `wide`; C-contiguous."""

    def contiguous(self, x: Array) -> Array:
        """`elements` that are C-contiguous: the same ones, or a copy."""

    def is_contiguous(self, x: Array) -> bool:
        """Whether `elements` are C-contiguous."""

    def from_numpy(self, x: np.ndarray) -> Array:
        """A NumPy array as `elements`."""

    def strides(self, x: Array) -> tuple[int, ...]:
        """In elements."""

    def address(self, x: Array) -> int:
        """Of the first element."""

    def itemsize(self, x: Array) -> int:
        """Bytes of an element."""

    def writeable(self, x: Array) -> bool:
        """Whether a result may be written to it, and nobody would miss the record of that."""

    def as_strided(self, x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        """Another view from the same first element, strides in elements; read-only where the kind knows that."""


class _OnHost:
    """What kinds on the CPU share, whose `elements` are NumPy arrays."""

    library: Any = np

    def bits(self, x: Array) -> Array:
        return x.view(_BITS[x.itemsize])

    def computing(self: Any, x: Array, wide: bool) -> Array:
        return np.ascontiguousarray(self.view(x, self.dtype(x)), np.float64 if wide else np.float32)

    def contiguous(self, x: Array) -> Array:
        return np.ascontiguousarray(x)

    def is_contiguous(self, x: Array) -> bool:
        return bool(x.flags.c_contiguous)

    def from_numpy(self, x: np.ndarray) -> Array:
        return x


class NumPyKind(_OnHost):
    """NumPy arrays."""

    words = "a NumPy array"
    dtypes: tuple[str, ...] = ("float32", "float64", "float16")
    library: Any = np

    def on(self, x: Array) -> NumPyKind:
        return self

    def copied(self, x: Array) -> Array:
        return np.array(x, order="C")

    def device(self, x: Array) -> str:
        return "cpu"

    def dtype(self, x: Array) -> str:
        return _NAMES.get(x.dtype) or str(x.dtype)

    def view(self, x: Array, dtype: str) -> np.ndarray:
        if dtype == "float16":
            return x.astype(np.float32)
        # Fields of packed records may lie at addresses that a kernel cannot read from.
        return x if x.flags.aligned else x.copy()

    def narrowed(self, x: Array, dtype: str) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            return x.astype(_FLOAT16)

    def raw_view(self, x: Array) -> np.ndarray:
        return x[...]

    def memory(self, x: Array) -> object:
        return None  # the view that was taken stays as it is, whatever is assigned to the array's shape

    def wrap(self, x: np.ndarray) -> Array:
        return x

    def codes(self, n: int, n_nonzero: int, dtype: str) -> Outputs:
        out = empty_codes(n, n_nonzero, dtype, INT32)
        return out, out

    def nearest(self, n: int, dtype: str) -> Outputs:
        out = empty_nearest(n, dtype, INT32)
        return out, out

    def empty(self, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
        out = empty(shape, dtype)
        return out, out

    def elements(self, x: Array) -> Array:
        return x if x.flags.aligned else x.copy()

    def strides(self, x: Array) -> tuple[int, ...]:
        return tuple(s // x.itemsize for s in x.strides)

    def address(self, x: Array) -> int:
        return int(x.ctypes.data)

    def itemsize(self, x: Array) -> int:
        return int(x.itemsize)

    def writeable(self, x: Array) -> bool:
        return bool(x.flags.writeable and x.flags.aligned)

    def as_strided(self, x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        steps = tuple(s * x.itemsize for s in strides)
        return np.lib.stride_tricks.as_strided(x, shape, steps, writeable=False)


class TorchKind(_OnHost):
    """PyTorch tensors."""

    words = "a PyTorch tensor"
    dtypes: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")
    library: Any = np

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self._elsewhere: dict[Any, TorchDeviceKind] = {}
        self._devices: dict[Any, str] = {}
        self._names = {getattr(torch, name): name for name in self.dtypes}

    def on(self, x: Array) -> TorchKind | TorchDeviceKind:
        if x.is_cpu:
            return self
        kind = self._elsewhere.get(x.device)
        if kind is None:
            kind = self._elsewhere[x.device] = TorchDeviceKind(self.torch, x.device)
        return kind

    def copied(self, x: Array) -> Array:
        return np.array(x, order="C")

    def device(self, x: Array) -> str:
        if x.is_cpu:
            return "cpu"
        device = x.device
        name = self._devices.get(device)
        if name is None:
            name = self._devices[device] = str(device)
        return name

    def dtype(self, x: Array) -> str:
        if x.layout is not self.torch.strided:
            return f"{x.layout} {x.dtype}"
        return self._names.get(x.dtype) or str(x.dtype).removeprefix("torch.")

    def view(self, x: Array, dtype: str) -> np.ndarray:
        if dtype in COMPUTED_IN:
            x = x.to(self.torch.float32)
        try:
            array = x.numpy()
        except RuntimeError:  # it requires grad, or has its sign bit pending
            array = x.detach().resolve_neg().numpy()
        return array if array.flags.aligned else array.copy()

    def narrowed(self, x: Array, dtype: str) -> Array:
        return x.to(getattr(self.torch, dtype))

    def raw_view(self, x: Array) -> np.ndarray:
        if x.requires_grad or x.is_neg():
            x = x.detach().resolve_neg()
        return x.view(self.torch.int16).numpy() if x.dtype == self.torch.bfloat16 else x.numpy()

    def memory(self, x: Array) -> object:
        where = x.data_ptr(), x.shape, x.stride(), x.dtype
        # On a GPU a comparison would wait for it; PyTorch counts the changes that it makes.
        return where if x.is_cpu else (*where, 0 if x.is_inference() else x._version)

    def wrap(self, x: np.ndarray) -> Array:
        return self.torch.from_numpy(x)

    def codes(self, n: int, n_nonzero: int, dtype: str) -> Outputs:
        # Made by NumPy and lent to PyTorch: half a microsecond each, where torch.empty and numpy() take two. The
        # indices are int64, because that is what PyTorch's own indexing takes.
        views = empty_codes(n, n_nonzero, dtype, INT64)
        lend = self.torch.from_numpy
        return (lend(views[0]), lend(views[1]), lend(views[2]), lend(views[3])), views

    def nearest(self, n: int, dtype: str) -> Outputs:
        views = empty_nearest(n, dtype, INT64)
        return (self.wrap(views[0]), self.wrap(views[1])), views

    def empty(self, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
        out = empty(shape, dtype)
        lent = self.torch.from_numpy(out)
        return lent.view(self.torch.bfloat16) if dtype == "bfloat16" else lent, out

    def elements(self, x: Array) -> Array:
        raw = self.raw_view(x)
        return raw if raw.flags.aligned else raw.copy()

    def strides(self, x: Array) -> tuple[int, ...]:
        return tuple(x.stride())

    def address(self, x: Array) -> int:
        return int(x.data_ptr())

    def itemsize(self, x: Array) -> int:
        return int(x.element_size())

    def writeable(self, x: Array) -> bool:
        return not (x.is_neg() or (x.requires_grad and self.torch.is_grad_enabled()))

    def as_strided(self, x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        return x.as_strided(shape, strides)


class InterfaceKind:
    """Arrays that have shape, ndim and __cuda_array_interface__, of a library that is not known here; results are
    PyTorch tensors."""

    words = "an array with __cuda_array_interface__"
    dtypes: tuple[str, ...] = ("float32", "float64", "float16")
    library: Any = np

    def __init__(self, torch: TorchKind) -> None:
        self._torch = torch

    def device(self, x: Array) -> str:
        return self._torch.device(self._tensor(x))

    def dtype(self, x: Array) -> str:
        name = np.dtype(x.__cuda_array_interface__["typestr"])
        return _NAMES.get(name) or str(name)

    def on(self, x: Array) -> Any:
        return self._torch.on(self._tensor(x))

    def memory(self, x: Array) -> object:
        interface = x.__cuda_array_interface__
        return interface["data"][0], interface["shape"], interface.get("strides"), interface["typestr"]

    def _tensor(self, x: Array) -> Array:
        return self._torch.torch.as_tensor(x, device="cuda")

    def _not_here(self, *arguments: Any) -> Any:
        raise NotImplementedError("it has no memory on the CPU")

    view = narrowed = raw_view = copied = wrap = codes = nearest = _not_here
    computing = contiguous = is_contiguous = from_numpy = _not_here
    empty = elements = bits = strides = address = itemsize = writeable = as_strided = _not_here


class CuPyKind:
    """CuPy arrays."""

    words = "a CuPy array"
    dtypes: tuple[str, ...] = ("float32", "float64", "float16")

    library: Any = np

    def on(self, x: Array) -> CuPyDeviceKind:
        import cupy

        return CuPyDeviceKind(cupy, x.device)

    def device(self, x: Array) -> str:
        return f"cuda:{x.device.id}"

    def dtype(self, x: Array) -> str:
        return str(x.dtype)

    def memory(self, x: Array) -> object:
        return x.data.ptr, x.shape, x.strides, x.dtype

    def _not_here(self, *arguments: Any) -> Any:
        raise NotImplementedError("a CuPy array has no memory on the CPU")

    view = narrowed = raw_view = copied = wrap = codes = nearest = _not_here
    computing = contiguous = is_contiguous = from_numpy = _not_here
    empty = elements = bits = strides = address = itemsize = writeable = as_strided = _not_here
