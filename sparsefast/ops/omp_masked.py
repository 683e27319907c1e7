"""Orthogonal Matching Pursuit on the observed features of each signal, batched."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import arrays, threads
from sparsefast.arrays import Array, Kind
from sparsefast.dispatch import resolve
from sparsefast.ops import signals as given
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode


def omp_masked(
    signals: Array,
    mask: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    *,
    tol: float | Array | None = None,
    gradient: str = "implicit",
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """Sparse codes of signals of which only some features are known, by Orthogonal Matching Pursuit on those.

    With m the mask of a signal x, `omp` of m*x in the atoms m*d, each atom scored by |<m*d, r>| ||d|| / ||m*d|| so that
    it is not disfavoured for what is hidden of it. The coefficients are those of the atoms as given, so that
    `SparseCode.decode` fills in what was hidden. Where nothing is hidden this is `omp`.

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features) or (n_features,)
        As for `omp`. What the mask hides is not looked at, and may be NaN.
    mask : bool array
        True where a feature is known. Of the signals' kind and device, and of their shape or one that broadcasts to
        it: (n_features,) for one mask for all signals.
    dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
        Atoms are rows, as for `omp`.
    n_nonzero : int
        The largest number of atoms for a signal, 1 to n_atoms. A signal with fewer known features than that can have
        no more atoms than known features, and stops there with status EXHAUSTED.
    tol : float, or array of shape (..., n_signals), optional
        Stop when the norm of the residual over the known features, ||m*r||_2, is at most this. Not squared; a sum over
        fewer features, so scale it by sqrt(known / n_features) where it stands for a noise level. An array as for
        `omp`.
    gradient : {"implicit", "none"}
        As for `omp`. What is hidden has gradient zero.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.
    check_finite : bool
        Look for NaN and infinity in the dictionary and the known features first, and for negative tolerances. Without
        it a signal that holds any has status NONFINITE and values of NaN, and the others are right.

    Returns
    -------
    SparseCode
        As from `omp`. `decode` of it is the whole signal: known features approximated, hidden ones filled in.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds or dtypes.
    ValueError
        If a shape, n_nonzero, tol or a choice is out of range, devices differ, or `check_finite` finds something.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    References
    ----------
    J. Mairal, M. Elad, G. Sapiro, "Sparse representation for color image restoration", IEEE Trans. Image Processing 17,
    2008. M. Elad, "Sparse and Redundant Representations", Springer 2010, chapter 15.
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, mask, dictionary, tol, gradient=gradient):
        from sparsefast.ops import torch_ops

        return torch_ops.omp_masked(signals, mask, dictionary, n_nonzero, tol, gradient, backend, check_finite)
    if gradient != "implicit":
        given.check_gradient("omp_masked", gradient)
    return run_omp_masked(signals, mask, dictionary, n_nonzero, tol, backend, check_finite)


def run_omp_masked(
    signals: Array,
    mask: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    tol: float | Array | None = None,
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """`omp_masked` without the detour over PyTorch: tensors are read as they are, and nothing is recorded."""
    kind, device, dtype, n_atoms = given.check_signals("omp_masked", signals, dictionary)
    _check_mask(mask, signals, kind)
    n_nonzero = given.check_n_nonzero("omp_masked", n_nonzero, n_atoms)
    if tol is not None:
        tol = given.check_tol("omp_masked", tol, signals, kind, dtype)
    choice = resolve("omp_masked", device, dtype, backend)
    kind = kind.on(signals)

    x = given.as_rows(signals, kind, dtype)
    observed = _as_rows(kind.view(mask, "bool"), tuple(signals.shape), tuple(x.shape), kind.library)
    if check_finite:
        given.check_finite("omp_masked", x, dictionary, kind, dtype, tol=tol, mask=observed)
    n_threads = threads.get_num_threads()
    layout = given.layout_of(dictionary, None, kind, dtype, choice, n_threads)
    out, views = kind.codes(x.shape[0], n_nonzero, dtype)
    choice.module.masked(x, observed, layout, n_nonzero, tol, *views, n_threads)
    return given.as_code(out, signals, kind, dtype, n_atoms)


def _check_mask(mask: Array, signals: Array, kind: Kind) -> None:
    other = arrays.kind_of(mask, "omp_masked: mask")
    if other is not kind:
        raise TypeError(f"omp_masked: signals is {kind.words} and mask {other.words}; pass both as one kind")
    if other.dtype(mask) != "bool":
        raise TypeError(f"omp_masked: mask has dtype {other.dtype(mask)}; it must be bool, True where it is known")
    if other.device(mask) != kind.device(signals):
        raise ValueError(
            f"omp_masked: signals is on {kind.device(signals)} and mask on {other.device(mask)}; move one of them"
        )
    shape, whole = tuple(mask.shape), tuple(signals.shape)
    # From the last dimension on, as arrays broadcast.
    fits = len(shape) <= len(whole) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(whole), strict=False))
    if not fits:
        raise ValueError(f"omp_masked: mask has shape {shape}; it must broadcast to the signals' shape {whole}")


def _as_rows(mask: Array, shape: tuple[int, ...], rows: tuple[int, ...], library: Any) -> Array:
    """A mask that broadcasts to `shape` as (N, F) = `rows`, with stride 0 where it is the same for all signals."""
    if all(size == 1 for size in mask.shape[:-1]):
        return library.broadcast_to(mask.reshape(mask.shape[-1:]), rows)
    return library.broadcast_to(mask, shape).reshape(rows)
