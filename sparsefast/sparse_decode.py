"""From sparse codes back to dense arrays: the bodies of SparseCode.decode, to_dense and to_scipy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsefast import arrays
from sparsefast.arrays import Array
from sparsefast.kernels.status import Status

if TYPE_CHECKING:
    from sparsefast.sparse_code import SparseCode


def _check_indices(code: SparseCode, indices: np.ndarray) -> None:
    # A code may have been built by hand, and SciPy's products do not look.
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= code.n_atoms):
        raise ValueError(
            f"SparseCode: indices run from {int(indices.min())} to {int(indices.max())}, "
            f"and there are {code.n_atoms} atoms"
        )


def decode(code: SparseCode, dictionary: Array) -> Array:
    """Sum over entries of value times atom: see SparseCode.decode."""
    from sparsefast.prepared import PreparedDictionary

    kind = arrays.kind_of(code.values, "SparseCode: values")
    if isinstance(dictionary, PreparedDictionary):
        dictionary.refuse_gradient("decode")
        dictionary = kind.wrap(dictionary.current())
    other = arrays.kind_of(dictionary, "decode: dictionary")
    arrays.require_same(
        "decode",
        "values",
        (kind, kind.device(code.values), kind.dtype(code.values)),
        "dictionary",
        (other, other.device(dictionary), other.dtype(dictionary)),
    )
    if len(dictionary.shape) != 2 or dictionary.shape[0] != code.n_atoms:
        raise ValueError(
            f"decode: dictionary has shape {tuple(dictionary.shape)}; it must be ({code.n_atoms}, n_features), "
            "as the codes were made with"
        )
    n_features = int(dictionary.shape[1])
    if kind is arrays.NUMPY:
        from scipy.sparse import csr_array

        indices = code.indices.reshape(-1, code.n_nonzero)
        _check_indices(code, indices)
        n = indices.shape[0]
        index_type = np.int32 if indices.size < 2**31 else np.int64
        ends = np.arange(n + 1, dtype=index_type) * index_type(code.n_nonzero)
        entries = (code.values.reshape(-1), indices.reshape(-1).astype(index_type, copy=False), ends)
        return (csr_array(entries, shape=(n, code.n_atoms)) @ dictionary).reshape(*code.shape, n_features)
    import torch

    flat = code.indices.reshape(-1, code.n_nonzero)
    weights = code.values.reshape(-1, code.n_nonzero)
    out = torch.nn.functional.embedding_bag(flat, dictionary, mode="sum", per_sample_weights=weights)
    return out.reshape(*code.shape, n_features)


def to_dense(code: SparseCode) -> Array:
    """See SparseCode.to_dense."""
    if not isinstance(code.values, np.ndarray):
        dense = code.values.new_zeros((*code.shape, code.n_atoms))
        return dense.scatter_add(-1, code.indices.long(), code.values)
    indices = code.indices.reshape(-1, code.n_nonzero)
    _check_indices(code, indices)
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
    indices = host.indices.reshape(-1, host.n_nonzero)
    _check_indices(host, indices)
    counts = np.where(host.status.reshape(-1) == Status.NONFINITE, 1, host.counts.reshape(-1))
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > host.n_nonzero):
        raise ValueError(
            f"SparseCode: counts run from {counts.min()} to {counts.max()}, and there are {host.n_nonzero} entries"
        )
    used = np.arange(host.n_nonzero) < counts[:, None]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    entries = (host.values.reshape(-1, host.n_nonzero)[used], indices[used], ends)
    return csr_array(entries, shape=(indices.shape[0], host.n_atoms))
