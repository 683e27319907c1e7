"""Arrays in device memory as the extension takes them: described by numbers, since it knows no library of arrays.

PyTorch tensors and CuPy arrays lie on a GPU, and work is queued on the stream that is current in their library; NumPy
arrays belong to the emulated device, which has no streams.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, NamedTuple

import numpy as np

Description = tuple[int, str, tuple[int, ...], tuple[int, ...]]
"""Address, dtype, shape, and strides in elements."""

ALIGNMENT = 64
"""Of packed layouts and workspaces, in bytes."""


class Buffer(NamedTuple):
    """Bytes of the same device; `owner` keeps them alive."""

    owner: Any
    description: Description


def describe(x: Any) -> Description:
    """An array as the extension takes it."""
    if isinstance(x, np.ndarray):
        size = x.itemsize
        return x.ctypes.data, x.dtype.name, x.shape, tuple(s // size for s in x.strides)
    if _is_tensor(x):
        return x.data_ptr(), str(x.dtype).removeprefix("torch."), tuple(x.shape), x.stride()
    size = x.dtype.itemsize
    return x.data.ptr, x.dtype.name, x.shape, tuple(s // size for s in x.strides)


def queue_of(x: Any) -> tuple[int, int]:
    """The device of an array, and the address of the stream that is current there."""
    if isinstance(x, np.ndarray):
        return 0, 0
    if _is_tensor(x):
        return x.get_device(), sys.modules["torch"].cuda.current_stream(x.device).cuda_stream
    import cupy

    with x.device:
        return x.device.id, cupy.cuda.get_current_stream().ptr


class Packed:
    """A buffer that is written once, on the stream that is current then, and read on any: others wait for it on the
    device, and its memory is not given away before they are done."""

    def __init__(self, like: Any, buffer: Buffer) -> None:
        self.buffer = buffer
        self._device, self._stream = queue_of(like)
        self._written: Any = None
        if isinstance(like, np.ndarray):
            return
        if _is_tensor(like):
            self._written = sys.modules["torch"].cuda.Event()
            self._written.record(sys.modules["torch"].cuda.current_stream(like.device))
        else:
            import cupy

            with like.device:
                self._written = cupy.cuda.Event(disable_timing=True)
                self._written.record()

    def on_stream_of(self, x: Any) -> Description:
        """The buffer for work that is queued on the current stream of `x`, which may be an array of another library."""
        _, stream = queue_of(x)
        if stream != self._stream:
            self._follow(x, stream)
        return self.buffer.description

    def _follow(self, x: Any, stream: int) -> None:
        torch = importlib.import_module("torch")
        with torch.cuda.device(self._device):
            here = torch.cuda.ExternalStream(stream)
            # While a graph is captured nothing outside of it may be waited for; capture begins with a synchronisation.
            if torch.cuda.is_current_stream_capturing():
                return
            if isinstance(self._written, torch.cuda.Event):
                here.wait_event(self._written)
                self.buffer.owner.record_stream(here)
            else:
                import cupy

                cupy.cuda.ExternalStream(stream).wait_event(self._written)


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def allocate(like: Any, n_bytes: int) -> Buffer:
    """Bytes on the device of `like`, from the allocator of its library, aligned for the extension."""
    if isinstance(like, np.ndarray):
        owner = np.empty(n_bytes + ALIGNMENT, np.uint8)
        skip = -owner.ctypes.data % ALIGNMENT
        return Buffer(owner, (owner.ctypes.data + skip, "uint8", (n_bytes,), (1,)))
    if _is_tensor(like):
        torch = sys.modules["torch"]
        owner = torch.empty(n_bytes, dtype=torch.uint8, device=like.device)
    else:
        import cupy

        with like.device:
            owner = cupy.empty(n_bytes, np.uint8)
    return Buffer(owner, describe(owner))
