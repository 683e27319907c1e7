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


_NAMES: dict[Any, str] = {}
"""Of the dtypes of tensors met so far."""


def describe(x: Any) -> Description:
    """An array as the extension takes it."""
    # A small call waits for the host: its arrays are mostly tensors, so they come first.
    if _is_tensor(x):
        dtype = x.dtype
        return x.data_ptr(), _NAMES.get(dtype) or _name(dtype), x.shape, x.stride()
    size = x.itemsize
    address = x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr
    return address, x.dtype.name, x.shape, tuple(s // size for s in x.strides)


def _name(dtype: Any) -> str:
    name = _NAMES[dtype] = str(dtype).removeprefix("torch.")
    return name


def queue_of(x: Any) -> tuple[int, int]:
    """The device of an array, and the address of the stream that is current there."""
    if _is_tensor(x):
        device = x.get_device()
        return device, _stream_of_torch(device)
    if isinstance(x, np.ndarray):
        return 0, 0
    import cupy

    with x.device:
        return x.device.id, cupy.cuda.get_current_stream().ptr


def _stream_of_torch(device: int) -> int:
    torch = sys.modules["torch"]
    # What PyTorch's own compiler calls: an address, where the public function makes an object for a tenth of a call.
    raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    return int(torch.cuda.current_stream(device).cuda_stream if raw is None else raw(device))


class Packed:
    """A buffer that is written once, on the stream that is current then, and read on any: others wait for it on the
    device, and its memory is not given away before they are done.

    `queue` is that of `like`, an array of the library that the buffer comes from. What is not `kept` is read on the
    same stream alone, by the call that packed it.
    """

    __slots__ = ("_device", "_stream", "_written", "buffer")

    def __init__(self, like: Any, buffer: Buffer, queue: tuple[int, int], *, kept: bool) -> None:
        self.buffer = buffer
        self._device, self._stream = queue
        self._written: Any = None
        if not kept or isinstance(like, np.ndarray):
            return
        if _is_tensor(like):
            self._written = sys.modules["torch"].cuda.Event()
            self._written.record(sys.modules["torch"].cuda.current_stream(like.device))
        else:
            import cupy

            with like.device:
                self._written = cupy.cuda.Event(disable_timing=True)
                self._written.record()

    def on_stream(self, stream: int) -> Description:
        """The buffer for work that is queued on a stream of the same device, which may be another library's."""
        if stream != self._stream:
            self._follow(stream)
        return self.buffer.description

    def _follow(self, stream: int) -> None:
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
    if type(x) in _TENSORS:
        return True
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return False
    _TENSORS.add(type(x))
    return True


_TENSORS: set[type] = set()
"""The types of tensors met so far."""

_NOTHING = Buffer(None, (0, "uint8", (0,), (1,)))


def allocate(like: Any, n_bytes: int) -> Buffer:
    """Bytes on the device of `like`, from the allocator of its library, aligned for the extension."""
    if n_bytes == 0:
        return _NOTHING
    if _is_tensor(like):
        torch = sys.modules["torch"]
        owner = torch.empty(n_bytes, dtype=torch.uint8, device=like.device)
        return Buffer(owner, (owner.data_ptr(), "uint8", (n_bytes,), (1,)))
    if isinstance(like, np.ndarray):
        owner = np.empty(n_bytes + ALIGNMENT, np.uint8)
        address = owner.ctypes.data
        return Buffer(owner, (address + -address % ALIGNMENT, "uint8", (n_bytes,), (1,)))
    import cupy

    with like.device:
        owner = cupy.empty(n_bytes, np.uint8)
    return Buffer(owner, (owner.data.ptr, "uint8", (n_bytes,), (1,)))
