"""What the kernels in CUDA share, behind the interface of all backends.

Nothing here waits for the device: dictionaries are packed there, outputs and workspaces come from the allocator of the
arrays' library, and everything is queued on the current stream, so that calls can be captured in a CUDA graph.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsefast import _native
from sparsefast.kernels.cuda.memory import Packed, allocate, describe, queue_of

if _native.module is None and _native.emulated is None:
    raise ImportError(_native.why_not)


class Layout(NamedTuple):
    """A dictionary packed on its device."""

    dictionary: Any
    """What the extension knows of it."""
    packed: Packed


def extension_of(x: Any) -> Any:
    """The native module whose device an array lies on."""
    return _native.emulated if isinstance(x, np.ndarray) else _native.module


def prepare_gram(dictionary: Any, gram: Any, n_threads: int) -> Layout:
    """Pack a dictionary (n_atoms, n_features), with its Gram matrix (n_atoms, n_atoms) or None; copies both."""
    return _prepare(dictionary, gram, with_gram=True)


def prepare_atoms(dictionary: Any, gram: Any, n_threads: int) -> Layout:
    """Pack a dictionary (n_atoms, n_features) alone; `gram` is not needed."""
    return _prepare(dictionary, None, with_gram=False)


def _prepare(dictionary: Any, gram: Any, *, with_gram: bool) -> Layout:
    address, dtype, shape, strides = describe(dictionary)
    native = extension_of(dictionary).CudaDictionary(*shape, dtype, with_gram, gram is not None)
    buffer = allocate(dictionary, native.bytes)
    native.pack(
        (address, dtype, shape, strides),
        None if gram is None else describe(gram),
        buffer.description,
        *queue_of(dictionary),
    )
    return Layout(native, Packed(dictionary, buffer))


def code(
    coder: str,
    signals: Any,
    layout: Layout,
    n_nonzero: int,
    tol: Any,
    outputs: tuple[Any, ...],
    *,
    mask: Any = None,
    positive: bool = False,
) -> None:
    """Run a coder on signals (N, n_features); outputs are values and indices (N, n_nonzero), counts and status (N,)."""
    extension = extension_of(signals)
    device, stream = queue_of(signals)
    n_bytes = extension.cuda_workspace_bytes(coder, layout.dictionary, signals.shape[0], n_nonzero, device)
    workspace = allocate(signals, n_bytes)
    extension.cuda_code(
        coder,
        describe(signals),
        layout.dictionary,
        layout.packed.on_stream_of(signals),
        n_nonzero,
        describe(tol) if getattr(tol, "shape", ()) else tol,
        *map(describe, outputs),
        workspace.description,
        device,
        stream,
        mask=None if mask is None else describe(mask),
        positive=positive,
    )
