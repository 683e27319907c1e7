"""Arrays in device memory as the extension takes them: described by numbers, since it knows no library of arrays.

PyTorch tensors and CuPy arrays lie on a GPU, and work is queued on the stream that is current in their library; NumPy
arrays belong to the emulated device, which has no streams.
"""

from __future__ import annotations

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
    if (torch := sys.modules.get("torch")) is not None and isinstance(x, torch.Tensor):
        return x.data_ptr(), str(x.dtype).removeprefix("torch."), tuple(x.shape), x.stride()
    size = x.dtype.itemsize
    return x.data.ptr, x.dtype.name, x.shape, tuple(s // size for s in x.strides)


def queue_of(x: Any) -> tuple[int, int]:
    """The device of an array, and the address of the stream that is current there."""
    if isinstance(x, np.ndarray):
        return 0, 0
    if (torch := sys.modules.get("torch")) is not None and isinstance(x, torch.Tensor):
        return x.get_device(), torch.cuda.current_stream(x.device).cuda_stream
    import cupy

    with x.device:
        return x.device.id, cupy.cuda.get_current_stream().ptr


def allocate(like: Any, n_bytes: int) -> Buffer:
    """Bytes on the device of `like`, from the allocator of its library, aligned for the extension."""
    if isinstance(like, np.ndarray):
        owner = np.empty(n_bytes + ALIGNMENT, np.uint8)
        skip = -owner.ctypes.data % ALIGNMENT
        return Buffer(owner, (owner.ctypes.data + skip, "uint8", (n_bytes,), (1,)))
    if (torch := sys.modules.get("torch")) is not None and isinstance(like, torch.Tensor):
        owner = torch.empty(n_bytes, dtype=torch.uint8, device=like.device)
    else:
        import cupy

        with like.device:
            owner = cupy.empty(n_bytes, np.uint8)
    return Buffer(owner, describe(owner))
