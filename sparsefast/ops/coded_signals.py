"""Signals with their sparse codes, as the ops that learn a dictionary take them: checked, and as kernels read them."""

from __future__ import annotations

from typing import Any, NamedTuple

from sparsefast import arrays
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import COMPUTED_IN
from sparsefast.ops import signals as given
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode

_INDICES = ("int32", "int64")


class CodedSignals(NamedTuple):
    """What a kernel reads, and what its results are made from."""

    kind: Kind
    """Of the signals, where they lie."""
    device: str
    """Its type: "cpu" or "cuda"."""
    dtype: str
    """Of the signals, the values and the dictionary as they were given; kernels see 16 bits as float32."""
    n_atoms: int
    signals: Any
    """(N, F), any strides."""
    values: Any
    """(N, S), C-contiguous, as indices (N, S) and counts (N,)."""
    indices: Any
    counts: Any

    @property
    def computed_in(self) -> str:
        """The dtype of what kernels read and write."""
        return COMPUTED_IN.get(self.dtype, self.dtype)

    @property
    def kernel_arguments(self) -> tuple[Any, Any, Any]:
        """Indices, values and counts, in the order in which kernels take them."""
        return self.indices, self.values, self.counts


def check_coded(op: str, signals: Array, code: SparseCode, dictionary: Array | PreparedDictionary) -> CodedSignals:
    """Check signals (..., n_signals, n_features), their code and the dictionary (n_atoms, n_features).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what it was and what it must be.
    """
    kind, device, dtype, n_atoms = given.check_signals(op, signals, dictionary)
    _check_code(op, signals, kind, dtype, code)
    if code.n_atoms != n_atoms:
        raise ValueError(f"{op}: code is of {code.n_atoms} atoms and dictionary has {n_atoms}; they must be the same")
    return _as_read(signals, code, kind, device, dtype)


def check_coded_alone(op: str, signals: Array, code: SparseCode) -> CodedSignals:
    """As `check_coded`, where no dictionary is at hand."""
    kind = arrays.kind_of(signals, f"{op}: signals")
    device, dtype = arrays.describe(signals, kind, f"{op}: signals")
    if not signals.shape or not signals.shape[-1]:
        raise ValueError(
            f"{op}: signals has shape {tuple(signals.shape)}; it must be (..., n_signals, n_features), with at least "
            "one feature"
        )
    _check_code(op, signals, kind, dtype, code)
    return _as_read(signals, code, kind, device.partition(":")[0], dtype)


def _check_code(op: str, signals: Array, kind: Kind, dtype: str, code: SparseCode) -> None:
    if not isinstance(code, SparseCode):
        raise TypeError(f"{op}: code is a {type(code).__name__}; it must be a SparseCode, as omp returns")
    other = arrays.kind_of(code.values, f"{op}: code.values")
    described = other, other.device(code.values), other.dtype(code.values)
    arrays.require_same(op, "signals", (kind, kind.device(signals), dtype), "code", described)
    if code.shape != tuple(signals.shape[:-1]):
        raise ValueError(f"{op}: code has shape {code.shape}; it must be that of the signals, {signals.shape[:-1]}")
    for name, x, allowed in (("indices", code.indices, _INDICES), ("counts", code.counts, ("int32",))):
        found = kind.dtype(x)
        if found not in allowed:
            raise TypeError(f"{op}: code.{name} has dtype {found}; it must be {' or '.join(allowed)}")
        if kind.device(x) != described[1]:
            raise ValueError(f"{op}: code.{name} is on {kind.device(x)} and code.values on {described[1]}; move one")


def _as_read(signals: Array, code: SparseCode, kind: Kind, device: str, dtype: str) -> CodedSignals:
    here = kind.on(signals)
    x = given.as_rows(signals, here, dtype)
    n, n_nonzero = x.shape[0], code.n_nonzero
    rows = here.view(code.values, dtype).reshape(n, n_nonzero)
    indices = here.view(code.indices, kind.dtype(code.indices)).reshape(n, n_nonzero)
    counts = here.view(code.counts, "int32").reshape(n)
    return CodedSignals(
        here, device, dtype, code.n_atoms, x, here.contiguous(rows), here.contiguous(indices), here.contiguous(counts)
    )


def require_finite(op: str, coded: CodedSignals, dictionary: Array | PreparedDictionary | None) -> None:
    """Raise ValueError where the arguments hold NaN or infinity."""
    library = coded.kind.library
    given.require_finite(op, "signals", coded.signals, library)
    given.require_finite(op, "code", coded.values, library)
    if dictionary is not None:
        given.require_finite(op, "dictionary", atoms_of(coded, dictionary), library)


def atoms_of(coded: CodedSignals, dictionary: Array | PreparedDictionary) -> Any:
    """The dictionary as kernels read it: (n_atoms, n_features), any strides."""
    if isinstance(dictionary, PreparedDictionary):
        return dictionary.current()
    return coded.kind.view(dictionary, coded.dtype)
