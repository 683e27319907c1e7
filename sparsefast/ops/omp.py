"""Orthogonal Matching Pursuit, batched."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsefast import arrays, threads
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import resolve
from sparsefast.prepared import PreparedDictionary, check_dictionary
from sparsefast.sparse_code import SparseCode

_DTYPES = ("float32", "float64")


def omp(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    *,
    tol: float | Array | None = None,
    gram: Array | None = None,
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """Sparse codes of signals by Orthogonal Matching Pursuit.

    For each signal x, in turn: select the atom d with the largest |<d, r>| of the residual r, the lowest index among
    equals; fit the coefficients of all selected atoms to x by least squares; until `n_nonzero` atoms are selected or
    ||r|| <= tol. Atoms are compared as given, without normalising them, as scikit-learn does; they usually have unit
    norm.

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features) or (n_features,), float32 or float64
        NumPy, or PyTorch on the CPU, with any strides. A signal alone gives the code of one signal.
    dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
        Atoms are rows. Of the kind, device and dtype of the signals; a PreparedDictionary takes signals of any kind.
        An array is prepared anew by each call: prepare it once with `prepare` when there will be many.
    n_nonzero : int
        The largest number of atoms for a signal, 1 to n_atoms. At most min(n_features, n_atoms) can be selected: a
        signal that gets so far and was asked for more stops with status EXHAUSTED.
    tol : float, or array of shape (..., n_signals), optional
        Stop when the norm of the residual, ||r||_2, is at most this: in the units of the signals, and not squared,
        unlike `tol` in scikit-learn and `eps` in SPAMS. An array has one for each signal, is of the signals' kind,
        and is converted to their dtype; an entry that is negative or NaN never stops its signal.
    gram : array of shape (n_atoms, n_atoms), optional
        `dictionary @ dictionary.T`, if it is known already.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        Before `use_backend` and SPARSEFAST_BACKEND. `auto` takes the fastest that can run, and never the reference.
    check_finite : bool
        Look for NaN and infinity in all arguments first, and for negative tolerances. Without it a signal that holds
        any has status NONFINITE and values of NaN, and the others are right.

    Returns
    -------
    SparseCode
        Of shape (..., n_signals), or () for a signal alone, in arrays of the signals' kind; indices int32, int64 in
        PyTorch.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds or dtypes.
    ValueError
        If a shape, n_nonzero or tol is out of range, devices differ, or `check_finite` finds something.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.
    NotImplementedError
        If a tensor requires grad and grad mode is on: there is no gradient yet.

    References
    ----------
    Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit: recursive function approximation with
    applications to wavelet decomposition", Asilomar 1993. R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient
    implementation of the K-SVD algorithm using Batch Orthogonal Matching Pursuit", Technion CS-2008-08.
    """
    kind = arrays.kind_of(signals, "omp: signals")
    device, dtype = arrays.describe(signals, kind, "omp: signals", _DTYPES)
    kind.refuse_gradient(signals, "omp: signals")
    if isinstance(dictionary, PreparedDictionary):
        prepared: PreparedDictionary | None = dictionary
        if gram is not None:
            raise ValueError("omp: gram belongs to the PreparedDictionary; pass it to prepare(dictionary, gram)")
        if dtype != dictionary.dtype or device != "cpu":
            arrays.require_same_memory(
                "omp", "signals", (device, dtype), "dictionary", (dictionary.device, dictionary.dtype)
            )
        dictionary.refuse_gradient("omp")
        n_atoms, n_features = dictionary.n_atoms, dictionary.n_features
    else:
        prepared = None
        of_dictionary = check_dictionary("omp", dictionary, gram)
        arrays.require_same("omp", "signals", (kind, device, dtype), "dictionary", of_dictionary)
        n_atoms, n_features = dictionary.shape
    shape = signals.shape
    if not shape or shape[-1] != n_features:
        raise ValueError(
            f"omp: signals has shape {tuple(shape)} and dictionary {(n_atoms, n_features)}; "
            f"signals must be (..., n_signals, n_features) with n_features={n_features}"
        )
    if type(n_nonzero) is not int:
        n_nonzero = arrays.index(n_nonzero, "omp: n_nonzero")
    if not 1 <= n_nonzero <= n_atoms:
        raise ValueError(f"omp: n_nonzero={n_nonzero}; it must be 1 to n_atoms={n_atoms}")
    if tol is not None:
        tol = _tolerance(tol, kind, device, dtype, tuple(shape[:-1]))
    backend, module = resolve("omp", "cpu" if device == "cpu" else device.partition(":")[0], dtype, backend)

    x = kind.view(signals)
    if len(shape) != 2:
        x = x.reshape(-1, n_features)
    if check_finite:
        _check_finite(x, prepared.current() if prepared is not None else kind.view(dictionary), tol)
        if gram is not None:
            _require_finite(kind.view(gram), "gram")
    n_threads = threads.get_num_threads()
    if prepared is not None:
        layout = prepared.layout(backend, module, n_threads)
    else:
        layout = module.prepare(kind.view(dictionary), None if gram is None else kind.view(gram), n_threads)
    out, views = kind.codes(x.shape[0], n_nonzero, dtype)
    module.omp(x, layout, n_nonzero, tol, *views, n_threads)
    values, indices, counts, status = out
    if len(shape) != 2:
        batch = tuple(shape[:-1])
        values, indices = values.reshape(*batch, n_nonzero), indices.reshape(*batch, n_nonzero)
        counts, status = counts.reshape(batch), status.reshape(batch)
    return SparseCode._make(indices, values, counts, status, n_atoms)


def _tolerance(tol: Any, kind: Kind, device: str, dtype: str, batch: tuple[int, ...]) -> float | np.ndarray:
    """A float, or an array of shape (n_signals,) of the signals' dtype."""
    if isinstance(tol, (bool, np.bool_)):
        raise TypeError(f"omp: tol={tol!r} is a bool; it must be a number, an array or None")
    if isinstance(tol, (int, float, np.integer, np.floating)):
        value = float(tol)
        if math.isnan(value) or value < 0:
            raise ValueError(f"omp: tol={value!r}; it must be at least 0 (the norm of the residual, not its square)")
        return value
    other = arrays.kind_of(tol, "omp: tol")
    if other is not kind:
        raise TypeError(f"omp: signals is {kind.words} and tol {other.words}; pass both as one kind")
    if other.device(tol) != device:
        raise ValueError(f"omp: signals is on {device} and tol on {other.device(tol)}; move one of them")
    if not tol.shape and batch:
        return _tolerance(tol.item(), kind, device, dtype, batch)
    if tuple(tol.shape) != batch:
        raise ValueError(
            f"omp: tol has shape {tuple(tol.shape)}; it must be a number or have the signals' shape {batch}"
        )
    kind.refuse_gradient(tol, "omp: tol")
    if device != "cpu":  # refused by the dispatch, which knows why
        return 0.0
    view = kind.view(tol).reshape(-1)
    if view.dtype.kind not in "fiu":
        raise TypeError(f"omp: tol has dtype {view.dtype}; it must be a real number for each signal")
    return np.ascontiguousarray(view, dtype=dtype)


# So many values are looked at in one go, to need little memory however large the array is.
_CHUNK = 1 << 20


def _require_finite(x: np.ndarray, name: str) -> None:
    rows = max(1, _CHUNK // x.shape[1])
    for first in range(0, x.shape[0], rows):
        bad = ~np.isfinite(x[first : first + rows]).all(axis=1)
        if bad.any():
            raise ValueError(f"omp: {name} holds NaN or infinity, first in row {first + int(bad.argmax())}")


def _check_finite(x: np.ndarray, dictionary: np.ndarray, tol: float | np.ndarray | None) -> None:
    _require_finite(x, "signals")
    _require_finite(dictionary, "dictionary")
    if isinstance(tol, np.ndarray) and not (tol >= 0).all():
        where = int((~(tol >= 0)).argmax())
        raise ValueError(f"omp: tol holds {tol[where]} for signal {where}; it must be at least 0")
