"""What the kernels in CUDA share, behind the interface of all backends.

Nothing here waits for the device: dictionaries are packed there, outputs and workspaces come from the allocator of the
arrays' library, and everything is queued on the current stream, so that calls can be captured in a CUDA graph.
"""

from __future__ import annotations

import functools
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
    return _prepare(dictionary, gram, with_gram=True, kept=True)


def prepare_gram_once(dictionary: Any, gram: Any, n_threads: int) -> Layout:
    """The same for one call, on the stream that is current now."""
    return _prepare(dictionary, gram, with_gram=True, kept=False)


def prepare_atoms(dictionary: Any, gram: Any, n_threads: int) -> Layout:
    """Pack a dictionary (n_atoms, n_features) alone; `gram` is not needed."""
    return _prepare(dictionary, None, with_gram=False, kept=True)


def prepare_atoms_once(dictionary: Any, gram: Any, n_threads: int) -> Layout:
    """The same for one call, on the stream that is current now."""
    return _prepare(dictionary, None, with_gram=False, kept=False)


@functools.lru_cache(256)
def _described(
    extension: Any, shape: tuple[int, int], dtype: str, with_gram: bool, gram_given: bool
) -> tuple[Any, int]:
    """What the extension knows of a dictionary of this shape and dtype, whatever it holds, and the bytes it takes."""
    native = extension.CudaDictionary(*shape, dtype, with_gram, gram_given)
    return native, native.bytes


def _prepare(dictionary: Any, gram: Any, *, with_gram: bool, kept: bool) -> Layout:
    described = describe(dictionary)
    native, n_bytes = _described(extension_of(dictionary), described[2], described[1], with_gram, gram is not None)
    buffer, queue = allocate(dictionary, n_bytes), queue_of(dictionary)
    native.pack(described, None if gram is None else describe(gram), buffer.description, *queue)
    return Layout(native, Packed(dictionary, buffer, queue, kept=kept))


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
    device, stream = queue_of(signals)
    values, indices, counts, status = outputs
    extension_of(signals).cuda_code(
        coder,
        describe(signals),
        layout.dictionary,
        layout.packed.on_stream(stream),
        n_nonzero,
        describe(tol) if getattr(tol, "shape", ()) else tol,
        describe(values),
        describe(indices),
        describe(counts),
        describe(status),
        functools.partial(allocate, signals),
        device,
        stream,
        None if mask is None else describe(mask),
        positive,
    )
