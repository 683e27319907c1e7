"""What the ops share: the checks of their arguments, and the way of signals to a kernel and of codes back.

Messages begin with the name of the op and of the argument, what it was, and what it must be.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import COMPUTED_IN, Choice
from sparsefast.prepared import PreparedDictionary, check_dictionary
from sparsefast.sparse_code import SparseCode

GRADIENTS = ("implicit", "none")


def check_gradient(op: str, gradient: str) -> None:
    """Raise ValueError unless `gradient` names a way to differentiate."""
    if gradient not in GRADIENTS:
        raise ValueError(f"{op}: gradient={gradient!r}; it must be 'implicit' or 'none'")


def check_signals(
    op: str,
    signals: Array,
    dictionary: Array | PreparedDictionary,
    gram: Array | None = None,
    name: str = "dictionary",
) -> tuple[Kind, str, str, int]:
    """Check signals (..., n_signals, n_features) or (n_features,), the dictionary, which the op calls `name`, and its
    Gram matrix; return the kind and device type of the signals, their dtype, and n_atoms."""
    # Messages are made where they are needed: a small call takes a few microseconds in all.
    kind = arrays.KINDS.get(type(signals)) or arrays.kind_of(signals, f"{op}: signals")
    device, dtype = kind.device(signals), kind.dtype(signals)
    if dtype not in kind.dtypes:
        arrays.describe(signals, kind, f"{op}: signals")
    if isinstance(dictionary, PreparedDictionary):
        if gram is not None:
            raise ValueError(f"{op}: gram belongs to the PreparedDictionary; pass it to prepare(dictionary, gram)")
        if dtype != dictionary.dtype or device != dictionary.device:
            arrays.require_same_memory(op, "signals", (device, dtype), name, (dictionary.device, dictionary.dtype))
        n_atoms, n_features = dictionary.n_atoms, dictionary.n_features
    else:
        of_dictionary = check_dictionary(op, dictionary, gram, name)
        arrays.require_same(op, "signals", (kind, device, dtype), name, of_dictionary)
        n_atoms, n_features = dictionary.shape
    shape = signals.shape
    if not shape or shape[-1] != n_features:
        raise ValueError(
            f"{op}: signals has shape {tuple(shape)} and {name} {(n_atoms, n_features)}; "
            f"signals must be (..., n_signals, n_features) with n_features={n_features}"
        )
    return kind, device if device == "cpu" else device.partition(":")[0], dtype, n_atoms


def check_n_nonzero(op: str, n_nonzero: Any, n_atoms: int) -> int:
    """`n_nonzero` as an int from 1 to n_atoms."""
    if type(n_nonzero) is not int:
        n_nonzero = arrays.index(n_nonzero, f"{op}: n_nonzero")
    if not 1 <= n_nonzero <= n_atoms:
        raise ValueError(f"{op}: n_nonzero={n_nonzero}; it must be 1 to n_atoms={n_atoms}")
    return int(n_nonzero)


def check_flag(op: str, name: str, value: Any) -> bool:
    """`value` as a bool, if it is one."""
    if value is True or value is False or isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{op}: {name}={value!r}; it must be True or False")


def check_tol(op: str, tol: Any, signals: Array, kind: Kind, dtype: str) -> float | np.ndarray:
    """A tolerance for all signals as a float, or one for each as an array (n_signals,) of the dtype computed in."""
    if isinstance(tol, (bool, np.bool_)):
        raise TypeError(f"{op}: tol={tol!r} is a bool; it must be a number, an array or None")
    if isinstance(tol, (int, float, np.integer, np.floating)):
        value = float(tol)
        if math.isnan(value) or value < 0:
            raise ValueError(f"{op}: tol={value!r}; it must be at least 0 (the norm of the residual, not its square)")
        return value
    other, device, batch = arrays.kind_of(tol, f"{op}: tol"), kind.device(signals), tuple(signals.shape[:-1])
    if other is not kind:
        raise TypeError(f"{op}: signals is {kind.words} and tol {other.words}; pass both as one kind")
    if other.device(tol) != device:
        raise ValueError(f"{op}: signals is on {device} and tol on {other.device(tol)}; move one of them")
    if not tol.shape and batch:
        return check_tol(op, tol.item(), signals, kind, dtype)
    if tuple(tol.shape) != batch:
        raise ValueError(
            f"{op}: tol has shape {tuple(tol.shape)}; it must be a number or have the signals' shape {batch}"
        )
    if device != "cpu":
        here = kind.on(tol)
        if not here.is_real(tol):
            raise TypeError(f"{op}: tol has dtype {kind.dtype(tol)}; it must be a real number for each signal")
        return here.tolerances(tol, dtype)
    view = kind.view(tol, kind.dtype(tol)).reshape(-1)
    if view.dtype.kind not in "fiu":
        raise TypeError(f"{op}: tol has dtype {view.dtype}; it must be a real number for each signal")
    return np.ascontiguousarray(view, dtype=COMPUTED_IN.get(dtype, dtype))


# So many values are looked at in one go, to need little memory however large the array is.
_CHUNK = 1 << 20


def check_finite(
    op: str,
    x: np.ndarray,
    dictionary: Array | PreparedDictionary,
    kind: Kind,
    dtype: str,
    *,
    gram: Array | None = None,
    tol: float | np.ndarray | None = None,
    mask: np.ndarray | None = None,
    name: str = "dictionary",
) -> None:
    """Raise ValueError where the arguments hold NaN or infinity, or a tolerance is negative; signals `x` (N, F) count
    where `mask` is true."""
    library = kind.library
    require_finite(op, "signals", x, library, mask)
    prepared = isinstance(dictionary, PreparedDictionary)
    require_finite(op, name, dictionary.current() if prepared else kind.view(dictionary, dtype), library)
    if gram is not None:
        require_finite(op, "gram", kind.view(gram, dtype), library)
    if tol is not None and not isinstance(tol, float) and not (tol >= 0).all():
        where = int(library.argmax(~(tol >= 0) * 1))
        raise ValueError(f"{op}: tol holds {tol[where]} for signal {where}; it must be at least 0")


def require_finite(op: str, name: str, x: Array, library: Any, mask: Array | None = None) -> None:
    """Raise ValueError where x (N, F) holds NaN or infinity, but for entries where `mask` is false."""
    rows = max(1, _CHUNK // max(1, x.shape[1]))
    for first in range(0, x.shape[0], rows):
        good = library.isfinite(x[first : first + rows])
        if mask is not None:
            good |= ~mask[first : first + rows]
        bad = ~good.all(1)
        if bad.any():
            where = first + int(library.argmax(bad * 1))
            raise ValueError(f"{op}: {name} holds NaN or infinity, first in row {where}")


def as_rows(signals: Array, kind: Kind, dtype: str) -> np.ndarray:
    """Signals as a NumPy array (N, F) that kernels read: without a copy where dtype and strides allow it."""
    x = kind.view(signals, dtype)
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def layout_of(
    dictionary: Array | PreparedDictionary, gram: Array | None, kind: Kind, dtype: str, choice: Choice, n_threads: int
) -> Any:
    """The layout that the chosen kernel reads: kept by a PreparedDictionary, or made for this call."""
    if isinstance(dictionary, PreparedDictionary):
        return dictionary.layout(choice, n_threads)
    # A layout that others may read on their streams has more to remember than one for this call.
    prepare = getattr(choice.module, "prepare_once", None) or choice.module.prepare
    return prepare(kind.view(dictionary, dtype), None if gram is None else kind.view(gram, dtype), n_threads)


def as_code(out: tuple[Array, ...], signals: Array, kind: Kind, dtype: str, n_atoms: int) -> SparseCode:
    """The outputs of a kernel as a SparseCode of the signals' dtype and batch dimensions."""
    values, indices, counts, status = out
    if dtype in COMPUTED_IN:
        values = kind.narrowed(values, dtype)
    if signals.ndim != 2:
        batch = tuple(signals.shape[:-1])
        entries = (*batch, values.shape[1])
        values, indices = values.reshape(entries), indices.reshape(entries)
        counts, status = counts.reshape(batch), status.reshape(batch)
    return SparseCode._make(indices, values, counts, status, n_atoms)
