"""Arrays on NVIDIA GPUs: tensors of PyTorch, arrays of CuPy, each for one device, and whatever else has
__cuda_array_interface__, which is taken for a tensor.

Where the kinds of the CPU view an array as NumPy, these hand the array itself to the kernels: the ones that take it are
in sparsefast.kernels.cuda and sparsefast.kernels.triton. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.dispatch import COMPUTED_IN

Array = Any
_BITS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


class TorchDeviceKind:
    """PyTorch tensors on one GPU."""

    words = "a PyTorch tensor"

    def __init__(self, torch: Any, device: Any) -> None:
        self.library = torch
        self._device = device

    def tensor(self, x: Array) -> Array:
        """The same memory as a tensor that nothing is recorded of."""
        if not isinstance(x, self.library.Tensor):
            x = self.library.as_tensor(x, device=self._device)
        return x.detach()

    def view(self, x: Array, dtype: str) -> Array:
        # Mostly there is nothing to take off, and asking is less work than a tensor more.
        if type(x) is not self.library.Tensor or x.requires_grad or x.is_neg():
            x = self.tensor(x).resolve_neg()
        return x.to(self.library.float32) if dtype in COMPUTED_IN else x

    def raw_view(self, x: Array) -> Array:
        return self.tensor(x)

    def copied(self, x: Array) -> Array:
        return self.tensor(x).resolve_neg().clone(memory_format=self.library.contiguous_format)

    def tolerances(self, tol: Array, dtype: str) -> Array:
        return self.tensor(tol).to(self._computed_in(dtype)).reshape(-1).contiguous()

    def is_real(self, x: Array) -> bool:
        x = self.tensor(x)
        return not (x.dtype == self.library.bool or x.is_complex())

    def narrowed(self, x: Array, dtype: str) -> Array:
        return x.to(getattr(self.library, dtype))

    def codes(self, n: int, n_nonzero: int, dtype: str) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        torch, device, empty = self.library, self._device, self.library.empty
        out = (
            # Lengths that are not in a tuple are parsed in three quarters of the time.
            empty(n, n_nonzero, dtype=self._computed_in(dtype), device=device),
            empty(n, n_nonzero, dtype=torch.int64, device=device),
            empty(n, dtype=torch.int32, device=device),
            empty(n, dtype=torch.uint8, device=device),
        )
        return out, out

    def nearest(self, n: int, dtype: str) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        torch, device = self.library, self._device
        out = (
            torch.empty(n, dtype=torch.int64, device=device),
            torch.empty(n, dtype=self._computed_in(dtype), device=device),
        )
        return out, out

    def to_numpy(self, x: Array) -> np.ndarray:
        return x.detach().cpu().numpy()

    def empty(self, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
        out = self._empty(shape, getattr(self.library, dtype))
        return out, out

    def elements(self, x: Array) -> Array:
        return self.tensor(x).resolve_neg()

    def bits(self, x: Array) -> Array:
        return x.view(getattr(self.library, _BITS[x.element_size()]))

    def computing(self, x: Array, wide: bool) -> Array:
        x = self.tensor(x).resolve_neg()
        return x.to(self.library.float64 if wide else self.library.float32).contiguous()

    def contiguous(self, x: Array) -> Array:
        return x.contiguous()

    def is_contiguous(self, x: Array) -> bool:
        return bool(x.is_contiguous())

    def from_numpy(self, x: np.ndarray) -> Array:
        return self.library.from_numpy(x).to(self._device)

    def in_use(self, x: Array) -> bool:
        """Called before work that reads `x` is queued: whoever lets go of it, its memory is given away only after that
        work. False where that cannot be had, as in a graph that is captured: then nobody may let go of it."""
        if not x.is_cuda:
            return True
        cuda = self.library.cuda
        with cuda.device(x.device):
            if cuda.is_current_stream_capturing():
                return False
            x.record_stream(cuda.current_stream())
        return True

    def wrap(self, x: Array) -> Array:
        return x

    def strides(self, x: Array) -> tuple[int, ...]:
        return tuple(self.tensor(x).stride())

    def address(self, x: Array) -> int:
        return int(self.tensor(x).data_ptr())

    def itemsize(self, x: Array) -> int:
        return int(self.tensor(x).element_size())

    def writeable(self, x: Array) -> bool:
        if not isinstance(x, self.library.Tensor):
            return True
        return not (x.is_neg() or (x.requires_grad and self.library.is_grad_enabled()))

    def as_strided(self, x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        x = x if isinstance(x, self.library.Tensor) else self.tensor(x)
        return x.as_strided(shape, strides)

    def _computed_in(self, dtype: str) -> Any:
        return getattr(self.library, COMPUTED_IN.get(dtype, dtype))

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.library.empty(shape, dtype=dtype, device=self._device)


class CuPyDeviceKind:
    """CuPy arrays on one GPU."""

    words = "a CuPy array"

    def __init__(self, cupy: Any, device: Any) -> None:
        self.library = cupy
        self._device = device

    def view(self, x: Array, dtype: str) -> Array:
        if dtype not in COMPUTED_IN:
            return x
        with self._device:
            return x.astype(np.float32)

    def raw_view(self, x: Array) -> Array:
        return x

    def copied(self, x: Array) -> Array:
        with self._device:
            return self.library.array(x, order="C", copy=True)

    def tolerances(self, tol: Array, dtype: str) -> Array:
        with self._device:
            return self.library.ascontiguousarray(tol.reshape(-1), dtype=COMPUTED_IN.get(dtype, dtype))

    def is_real(self, x: Array) -> bool:
        return x.dtype.kind in "fiu"

    def narrowed(self, x: Array, dtype: str) -> Array:
        with self._device:
            return x.astype(dtype)

    def codes(self, n: int, n_nonzero: int, dtype: str) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        with self._device:
            out = (
                self.library.empty((n, n_nonzero), COMPUTED_IN.get(dtype, dtype)),
                self.library.empty((n, n_nonzero), np.int32),
                self.library.empty((n,), np.int32),
                self.library.empty((n,), np.uint8),
            )
        return out, out

    def nearest(self, n: int, dtype: str) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        with self._device:
            out = self.library.empty((n,), np.int32), self.library.empty((n,), COMPUTED_IN.get(dtype, dtype))
        return out, out

    def to_numpy(self, x: Array) -> np.ndarray:
        with self._device:
            return self.library.asnumpy(x)

    def empty(self, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
        with self._device:
            out = self.library.empty(shape, dtype)
        return out, out

    def elements(self, x: Array) -> Array:
        return x

    def bits(self, x: Array) -> Array:
        return x.view(_BITS[x.itemsize])

    def computing(self, x: Array, wide: bool) -> Array:
        with self._device:
            return self.library.ascontiguousarray(x, dtype=np.float64 if wide else np.float32)

    def contiguous(self, x: Array) -> Array:
        with self._device:
            return self.library.ascontiguousarray(x)

    def is_contiguous(self, x: Array) -> bool:
        return bool(x.flags.c_contiguous)

    def from_numpy(self, x: np.ndarray) -> Array:
        with self._device:
            return self.library.asarray(x)

    def in_use(self, x: Array) -> bool:
        # Memory goes back to the stream it came from, so all of it must come from and be read on the same one; graphs
        # are captured on others.
        with self._device:
            return bool(self.library.cuda.get_current_stream().ptr == 0)

    def wrap(self, x: Array) -> Array:
        return x

    def strides(self, x: Array) -> tuple[int, ...]:
        return tuple(s // x.itemsize for s in x.strides)

    def address(self, x: Array) -> int:
        return int(x.data.ptr)

    def itemsize(self, x: Array) -> int:
        return int(x.itemsize)

    def writeable(self, x: Array) -> bool:
        return True

    def as_strided(self, x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        return self.library.lib.stride_tricks.as_strided(x, shape, tuple(s * x.itemsize for s in strides))
