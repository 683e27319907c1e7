"""SparseCode: what the sparse coders return, a fixed number of (index, value) entries for each signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.arrays import Array


class SparseCode:
    """Sparse codes of signals: for each signal up to `n_nonzero` atoms of a dictionary and their coefficients.

    Entries stand in the order in which the atoms were selected, those of `topk` and `iht` in order of decreasing
    |value|. A signal with fewer atoms is padded with index 0 and
    value 0; `counts` says where the padding begins. A signal that held NaN or infinity has count 0 and NaN in all its
    values, so that whatever is computed from it is NaN and not a silent zero.

    It is a node of PyTorch's trees, and `torch.load(weights_only=True)` reads it, once PyTorch and sparsefast have met:
    where PyTorch was imported first, or after a call with a tensor. Before that, load inside
    `torch.serialization.safe_globals([sparsefast.SparseCode])`.

    Parameters
    ----------
    indices : array of shape (..., n_signals, n_nonzero), int32 (int64 in PyTorch)
        The atoms, as rows of the dictionary.
    values : array of shape (..., n_signals, n_nonzero), float16, bfloat16 (PyTorch), float32 or float64
        Their coefficients.
    counts : array of shape (..., n_signals), int32
        How many entries of each signal are in use.
    status : array of shape (..., n_signals), uint8
        Why each signal stopped: a `sparsefast.Status`.
    n_atoms : int
        How many atoms the dictionary has.

    Raises
    ------
    TypeError, ValueError
        If the arrays are not of one kind or their shapes do not belong together.
    """

    __slots__ = ("counts", "indices", "n_atoms", "status", "values")

    indices: Array
    values: Array
    counts: Array
    status: Array
    n_atoms: int

    def __init__(self, indices: Array, values: Array, counts: Array, status: Array, n_atoms: int) -> None:
        kind = arrays.kind_of(values, "SparseCode: values")
        for name, x in (("indices", indices), ("counts", counts), ("status", status)):
            other = arrays.kind_of(x, f"SparseCode: {name}")
            if other is not kind:
                raise TypeError(f"SparseCode: values is {kind.words} and {name} {other.words}; pass all as one kind")
        if len(values.shape) < 1 or tuple(indices.shape) != tuple(values.shape):
            raise ValueError(
                f"SparseCode: indices has shape {tuple(indices.shape)} and values {tuple(values.shape)}; "
                "both must be (..., n_signals, n_nonzero)"
            )
        for name, x in (("counts", counts), ("status", status)):
            if tuple(x.shape) != tuple(values.shape[:-1]):
                raise ValueError(
                    f"SparseCode: {name} has shape {tuple(x.shape)}; it must be {tuple(values.shape[:-1])}"
                )
        self.indices, self.values, self.counts, self.status = indices, values, counts, status
        self.n_atoms = arrays.index(n_atoms, "SparseCode: n_atoms")

    @staticmethod
    def _make(indices: Any, values: Any, counts: Any, status: Any, n_atoms: int) -> SparseCode:
        """Without the checks: for ops, which made the arrays, and for trees, whose leaves need not be arrays."""
        code = object.__new__(SparseCode)  # spelled out, as torch.compile follows it
        code.indices, code.values, code.counts, code.status, code.n_atoms = indices, values, counts, status, n_atoms
        return code

    def _map(self, function: Any) -> SparseCode:
        return SparseCode._make(
            function(self.indices), function(self.values), function(self.counts), function(self.status), self.n_atoms
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the batch, (..., n_signals); () for a single signal."""
        return tuple(self.counts.shape)

    @property
    def n_nonzero(self) -> int:
        """How many entries are kept for each signal, padding included."""
        return int(self.values.shape[-1])

    @property
    def dtype(self) -> Any:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def device(self) -> Any:
        """Where the arrays are: a torch.device, or "cpu" for NumPy."""
        return self.values.device

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of the SparseCode of a single signal")
        return self.shape[0]

    def __iter__(self) -> Iterator[SparseCode]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> SparseCode:
        """Index the batch dimensions with integers, slices, masks or arrays of integers, as an array of shape `shape`.

        Slices share memory with the whole. The entries of a signal are not indexed: use `values` and `indices` for
        that.
        """
        parts = list(key) if isinstance(key, tuple) else [key]
        parts = [np.asarray(p) if isinstance(p, list) else p for p in parts]
        used = sum(_dimensions_used(p) for p in parts)
        if used > len(self.shape):
            raise IndexError(f"SparseCode: {used} indices for a batch of {len(self.shape)} dimensions, {self.shape}")
        # An ellipsis in the key must not reach over the dimension of the entries, which counts and status lack.
        for at, part in enumerate(parts):
            if part is Ellipsis:
                parts[at : at + 1] = [slice(None)] * (len(self.shape) - used)
                break
        full = (*parts, Ellipsis)  # keeps a scalar result an array
        return self._map(lambda x: x[full])

    def to(self, device: Any = None, dtype: Any = None, *, non_blocking: bool = False) -> SparseCode:
        """Move to a device, or convert the values to a floating dtype.

        Parameters
        ----------
        device : torch.device, str or torch.dtype, optional
            A dtype here is taken as `dtype`, as by `torch.Tensor.to`. Codes in NumPy arrays stay on the CPU.
        dtype : torch.dtype or NumPy dtype, optional
            For the values; indices, counts and status keep theirs.
        non_blocking : bool
            As for `torch.Tensor.to`.

        Returns
        -------
        SparseCode
            It shares the arrays that did not have to change.
        """
        kind = arrays.kind_of(self.values, "SparseCode: values")
        if kind is arrays.NUMPY:
            if dtype is None and device not in (None, "cpu"):
                device, dtype = None, np.dtype(device) if _is_numpy_dtype(device) else None
                if dtype is None:
                    raise TypeError("SparseCode.to: these are NumPy arrays, which stay on the CPU; call .torch() first")
            if dtype is None:
                return self
            values = self.values.astype(dtype, copy=False)
            return SparseCode._make(self.indices, values, self.counts, self.status, self.n_atoms)
        if kind is arrays.CUPY:
            if device is not None:
                raise TypeError("SparseCode.to: CuPy arrays stay on their device; call .torch() or .numpy() first")
            values = self.values if dtype is None else self.values.astype(dtype)
            return SparseCode._make(self.indices, values, self.counts, self.status, self.n_atoms)
        torch = arrays.torch_ready().torch
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        moved = self if device is None else self._map(lambda x: x.to(device=device, non_blocking=non_blocking))
        if dtype is None:
            return moved
        values = moved.values.to(dtype=dtype)
        return SparseCode._make(moved.indices, values, moved.counts, moved.status, self.n_atoms)

    def numpy(self) -> SparseCode:
        """The same codes in NumPy arrays: shares memory with tensors on the CPU, but for bfloat16 values, which NumPy
        lacks and which become float32; int64 indices stay int64."""
        kind = arrays.kind_of(self.values, "SparseCode: values")
        if kind is arrays.NUMPY:
            return self
        if kind is arrays.CUPY:
            return self._map(lambda x: x.get())
        torch = arrays.torch_ready().torch
        return self._map(lambda x: (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu().numpy())

    def torch(self) -> SparseCode:
        """The same codes in PyTorch tensors: shares memory with NumPy arrays, but for int32 indices, which become
        int64."""
        kind = arrays.kind_of(self.values, "SparseCode: values")
        if kind is not arrays.NUMPY and kind is not arrays.CUPY:
            return self
        import torch

        arrays.torch_ready()
        code = self._map(torch.from_numpy if kind is arrays.NUMPY else torch.utils.dlpack.from_dlpack)
        code.indices = code.indices.to(torch.int64)
        return code

    def copy(self) -> SparseCode:
        """A copy that shares no memory with this one."""
        return self._map(lambda x: x.copy() if isinstance(x, np.ndarray) else x.clone())

    def decode(self, dictionary: Array, *, straight_through: Array | None = None) -> Array:
        """The signals that the codes stand for: sum over entries of value times atom.

        Parameters
        ----------
        dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
            Of the kind, device and dtype of the values. In PyTorch the result differentiates through it and the values.
        straight_through : tensor of shape (..., n_signals, n_features), optional
            The signals that were coded. The result is the same, but its gradient goes to these signals unchanged, as
            if coding and decoding were the identity, and nowhere else (the straight-through estimator: Bengio, Léonard
            and Courville 2013, arXiv 1308.3432). PyTorch only.

        Returns
        -------
        array of shape (..., n_signals, n_features)
            Of the dtype of the values; 16-bit ones are summed in float32, in a copy of the dictionary. Signals with
            status NONFINITE decode to NaN.

        Raises
        ------
        TypeError
            If the arrays are of different kinds or dtypes, or `straight_through` is not a tensor.
        ValueError
            If the dictionary has not `n_atoms` rows, `straight_through` has not the shape of the result, or devices
            differ.
        """
        from sparsefast.sparse_decode import decode

        return decode(self, dictionary, straight_through)

    def to_dense(self) -> Array:
        """The codes as a dense array of shape (..., n_signals, n_atoms), which is large: n_signals * n_atoms values."""
        from sparsefast.sparse_decode import to_dense

        return to_dense(self)

    def to_scipy(self) -> Any:
        """The codes as a scipy.sparse.csr_array of shape (n_signals, n_atoms), batch dimensions flattened.

        The padding is left out; a signal with status NONFINITE keeps one entry, NaN at atom 0. Within a row the
        entries stand in the order of selection: call its `sort_indices()` where that matters. 16-bit values, which
        SciPy lacks, become float32.
        """
        from sparsefast.sparse_decode import to_scipy

        return to_scipy(self)

    def to_torch_sparse(self) -> Any:
        """The codes as a torch.sparse_csr_tensor of shape (n_signals, n_atoms), batch dimensions flattened.

        The padding is left out; a signal with status NONFINITE keeps one entry, NaN at atom 0. Columns are sorted
        within a row. It is of the dtype and device of the values and differentiates through them; codes in NumPy
        arrays are converted as by `torch()`.
        """
        from sparsefast.sparse_decode import to_torch_sparse

        return to_torch_sparse(self)

    def equals(self, other: SparseCode, *, rtol: float = 0.0, atol: float = 0.0) -> bool:
        """Whether two codes select the same atoms in the same order, stop for the same reason, and agree in value.

        NaN equals NaN. The kinds and dtypes may differ; values are compared as `numpy.isclose` does.
        """
        a, b = self.numpy(), other.numpy()
        return (
            a.n_atoms == b.n_atoms
            and np.array_equal(a.indices, b.indices)
            and np.array_equal(a.counts, b.counts)
            and np.array_equal(a.status, b.status)
            and bool(np.isclose(a.values, b.values, rtol=rtol, atol=atol, equal_nan=True).all())
        )

    def __repr__(self) -> str:
        n = 1
        for size in self.shape:
            n *= size
        parts = [f"shape {self.shape}", f"{self.n_nonzero} of {self.n_atoms} atoms"]
        on_cpu = str(self.device) == "cpu"  # a mean on a GPU would wait for it
        # A tensor of a subclass may have no memory, as while PyTorch traces.
        if n and on_cpu and type(self.counts).__name__ in ("ndarray", "Tensor"):
            parts.append(f"{float(self.counts.sum()) / n:.3g} on average")
        parts.append(str(self.dtype))
        if not on_cpu:
            parts.append(str(self.device))
        return f"SparseCode({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SparseCode, (self.indices, self.values, self.counts, self.status, self.n_atoms)


def _dimensions_used(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    if "bool" in str(getattr(part, "dtype", "")):
        return len(part.shape)
    return 1


def _is_numpy_dtype(x: object) -> bool:
    try:
        np.dtype(x)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True


def register_with_torch(torch: Any) -> None:
    """Make SparseCode a node of PyTorch's trees and loadable by torch.load(weights_only=True)."""
    from torch.utils import _pytree

    names = ("indices", "values", "counts", "status")

    def flatten(code: SparseCode) -> tuple[list[Any], int]:
        return [getattr(code, name) for name in names], code.n_atoms

    def flatten_with_keys(code: SparseCode) -> tuple[list[Any], int]:
        return [(_pytree.GetAttrKey(name), getattr(code, name)) for name in names], code.n_atoms

    def unflatten(leaves: Any, n_atoms: int) -> SparseCode:
        indices, values, counts, status = leaves
        return SparseCode._make(indices, values, counts, status, n_atoms)

    if SparseCode not in _pytree.SUPPORTED_NODES:
        _pytree.register_pytree_node(
            SparseCode,
            flatten,
            unflatten,
            serialized_type_name="sparsefast.SparseCode",
            flatten_with_keys_fn=flatten_with_keys,
        )
    torch.serialization.add_safe_globals([SparseCode])
