"""From sparse codes to arrays and matrices: the bodies of SparseCode.decode, to_dense, to_scipy, to_torch_sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsefast import arrays
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import COMPUTED_IN
from sparsefast.kernels.status import Status
from sparsefast.prepared import PreparedDictionary

if TYPE_CHECKING:
    from sparsefast.sparse_code import SparseCode


def check_indices(code: SparseCode, indices: Array) -> None:
    # A code may have been built by hand, and the sparse products of SciPy and PyTorch do not look.
    if 0 not in indices.shape and (int(indices.min()) < 0 or int(indices.max()) >= code.n_atoms):
        raise ValueError(
            f"SparseCode: indices run from {int(indices.min())} to {int(indices.max())}, "
            f"and there are {code.n_atoms} atoms"
        )


Described = tuple[Kind, str, str]
"""The kind, device and dtype of an array."""


def decode(code: SparseCode, dictionary: Array | PreparedDictionary, straight_through: Array | None = None) -> Array:
    """Sum over entries of value times atom: see SparseCode.decode."""
    kind = arrays.kind_of(code.values, "SparseCode: values")
    if kind is arrays.CUPY:
        return _decode_cupy(code, dictionary, straight_through)
    if kind is not arrays.NUMPY:
        return _decode_torch(code, dictionary, straight_through)
    if straight_through is not None:
        raise TypeError("decode: straight_through is for PyTorch tensors, and values is a NumPy array")
    return _decode_numpy(code, dictionary)


def _decode_numpy(code: SparseCode, dictionary: Array | PreparedDictionary) -> np.ndarray:
    from scipy.sparse import csr_array

    kind, dtype = arrays.NUMPY, arrays.NUMPY.dtype(code.values)
    if isinstance(dictionary, PreparedDictionary):
        arrays.require_same_memory("decode", "values", ("cpu", dtype), "dictionary", ("cpu", dictionary.dtype))
        atoms = dictionary.current()
    else:
        _require_same((kind, "cpu", dtype), "dictionary", dictionary)
        atoms = kind.view(dictionary, dtype)
    _check_shape(code, tuple(atoms.shape))
    indices = code.indices.reshape(-1, code.n_nonzero)
    check_indices(code, indices)
    n = indices.shape[0]
    index_type = np.int32 if indices.size < 2**31 else np.int64
    ends = np.arange(n + 1, dtype=index_type) * index_type(code.n_nonzero)
    values = kind.view(code.values, dtype).reshape(-1)
    weights = csr_array((values, indices.reshape(-1).astype(index_type, copy=False), ends), shape=(n, code.n_atoms))
    out = (weights @ atoms).reshape(*code.shape, atoms.shape[1])
    return kind.narrowed(out, dtype) if dtype in COMPUTED_IN else out


def _decode_cupy(code: SparseCode, dictionary: Array | PreparedDictionary, signals: Array | None) -> Array:
    """By PyTorch, on the same memory."""
    import cupy
    import torch

    if signals is not None:
        raise TypeError("decode: straight_through is for PyTorch tensors, and values is a CuPy array")
    if not isinstance(dictionary, PreparedDictionary):
        _require_same(
            (arrays.CUPY, arrays.CUPY.device(code.values), arrays.CUPY.dtype(code.values)), "dictionary", dictionary
        )
        dictionary = torch.utils.dlpack.from_dlpack(dictionary)
    return cupy.from_dlpack(_decode_torch(code.torch(), dictionary, None))


def _decode_torch(code: SparseCode, dictionary: Array | PreparedDictionary, signals: Array | None) -> Array:
    from sparsefast.ops import torch_ops
    from sparsefast.ops.straight_through import straight_through

    torch = arrays.torch_ready().torch
    if isinstance(dictionary, PreparedDictionary):
        dictionary = _tensor_of(dictionary, torch)
    if torch.is_autocast_enabled(code.values.device.type):
        code, dictionary = code.to(dtype=_wide(code.values, torch).dtype), _wide(dictionary, torch)
        signals = _wide(signals, torch)
    kind = arrays.kind_of(code.values, "SparseCode: values")
    values = kind, kind.device(code.values), kind.dtype(code.values)
    _require_same(values, "dictionary", dictionary)
    _check_shape(code, tuple(dictionary.shape))
    if signals is None:
        return torch_ops.decode(code, dictionary)
    _require_same(values, "straight_through", signals)
    shape = (*code.shape, dictionary.shape[1])
    if tuple(signals.shape) != shape:
        raise ValueError(
            f"decode: straight_through has shape {tuple(signals.shape)}; it must be that of the signals, {shape}"
        )
    with torch.no_grad():
        reconstruction = torch_ops.decode(code, dictionary)
    return straight_through(signals, reconstruction)


def _tensor_of(dictionary: PreparedDictionary, torch: Any) -> Any:
    if isinstance(dictionary.source, torch.Tensor):
        return dictionary.source
    current = dictionary.current()
    if dictionary.device != "cpu" and not isinstance(current, torch.Tensor):
        return torch.utils.dlpack.from_dlpack(current)
    wide = torch.from_numpy(current) if isinstance(current, np.ndarray) else current
    return wide.to(getattr(torch, dictionary.dtype))


def _wide(x: Any, torch: Any) -> Any:
    """What autocast makes of a 16-bit tensor here."""
    narrow = isinstance(x, torch.Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.to(torch.float32) if narrow else x


def _require_same(values: Described, name: str, x: Array) -> None:
    kind = arrays.kind_of(x, f"decode: {name}")
    arrays.require_same("decode", "values", values, name, (kind, kind.device(x), kind.dtype(x)))


def _check_shape(code: SparseCode, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != code.n_atoms:
        raise ValueError(
            f"decode: dictionary has shape {shape}; it must be ({code.n_atoms}, n_features), "
            "as the codes were made with"
        )


def to_dense(code: SparseCode) -> Array:
    """See SparseCode.to_dense."""
    if arrays.kind_of(code.values, "SparseCode: values") is arrays.CUPY:
        import cupy

        return cupy.from_dlpack(to_dense(code.torch()))
    if not isinstance(code.values, np.ndarray):
        dense = code.values.new_zeros((*code.shape, code.n_atoms))
        return dense.scatter_add(-1, code.indices.long(), code.values)
    indices = code.indices.reshape(-1, code.n_nonzero)
    check_indices(code, indices)
    values = code.values.reshape(-1, code.n_nonzero)
    out = np.zeros((indices.shape[0], code.n_atoms), values.dtype)
    rows = np.arange(indices.shape[0])
    # A column at a time: no atom stands twice in one column of a row, and padding adds zero.
    for j in range(code.n_nonzero):
        out[rows, indices[:, j]] += values[:, j]
    return out.reshape(*code.shape, code.n_atoms)


def to_scipy(code: SparseCode) -> Any:
    """See SparseCode.to_scipy."""
    from scipy.sparse import csr_array

    host = code.numpy()
    if host.values.dtype == np.float16:
        host = host.to(np.float32)
    indices = host.indices.reshape(-1, host.n_nonzero)
    check_indices(host, indices)
    counts = np.where(host.status.reshape(-1) == Status.NONFINITE, 1, host.counts.reshape(-1))
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > host.n_nonzero):
        raise ValueError(
            f"SparseCode: counts run from {counts.min()} to {counts.max()}, and there are {host.n_nonzero} entries"
        )
    used = np.arange(host.n_nonzero) < counts[:, None]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    entries = (host.values.reshape(-1, host.n_nonzero)[used], indices[used], ends)
    return csr_array(entries, shape=(indices.shape[0], host.n_atoms))


def to_torch_sparse(code: SparseCode) -> Any:
    """See SparseCode.to_torch_sparse."""
    code = code.torch()
    torch = arrays.torch_ready().torch
    indices, values = (x.reshape(-1, code.n_nonzero) for x in (code.indices.long(), code.values))
    check_indices(code, indices)
    counts = torch.where(code.status.reshape(-1) == Status.NONFINITE, 1, code.counts.reshape(-1))
    unused = torch.arange(code.n_nonzero, device=indices.device) >= counts[:, None]
    # Padding is sorted behind all atoms, and then left out.
    columns, order = indices.masked_fill(unused, code.n_atoms).sort(dim=1)
    used = columns < code.n_atoms
    ends = torch.cat([counts.new_zeros(1, dtype=torch.int64), used.sum(dim=1).cumsum(0)])
    return torch.sparse_csr_tensor(
        ends, columns[used], values.gather(1, order)[used], size=(len(columns), code.n_atoms), check_invariants=True
    )
