"""Iterative hard thresholding, batched."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsefast import arrays, threads
from sparsefast.arrays import Array
from sparsefast.dispatch import resolve
from sparsefast.ops import signals as given
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode


def iht(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    *,
    n_iterations: int = 100,
    step: float | None = None,
    tol: float | Array | None = None,
    gram: Array | None = None,
    gradient: str = "implicit",
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """Sparse codes of signals by iterative hard thresholding.

    For each signal x, from a = 0: a becomes H(a + step * D (x - a D)), where H keeps the `n_nonzero` entries largest in
    magnitude, the lowest index among equals; until the support stays and the coefficients no longer change, or
    ||x - a D|| <= tol, or `n_iterations` are done. Without a `step`, each iteration takes the one that minimises the
    residual on the support it has, and halves it where the support would change and the residual could grow
    (normalised IHT), so that the norm of the atoms does not matter.

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features) or (n_features,)
        As for `omp`.
    dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
        Atoms are rows, as for `omp`.
    n_nonzero : int
        The largest number of atoms for a signal, 1 to n_atoms. Of these at most min(n_features, n_atoms) are kept: the
        status of a signal that was asked for more is EXHAUSTED.
    n_iterations : int
        The largest number of iterations, at least 1.
    step : float, optional
        The same step for all iterations (plain IHT), above 0, for the dictionary as given. It converges where
        step < 1 / ||D||_2^2, the squared spectral norm, and can diverge above.
    tol : float, or array of shape (..., n_signals), optional
        Stop when the norm of the residual, ||x - a D||_2, is at most this. Not squared; an array as for `omp`.
    gram : array of shape (n_atoms, n_atoms), optional
        `dictionary @ dictionary.T`, if it is known already.
    gradient : {"implicit", "none"}
        As for `omp`: implicit differentiation takes the values for the least squares on their support, which they are
        once the iteration has converged.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.
    check_finite : bool
        As for `omp`.

    Returns
    -------
    SparseCode
        As from `omp`, but entries stand in order of decreasing |value|, by index among equals. Status TOLERANCE;
        ORTHOGONAL where fewer atoms than allowed have a coefficient; EXHAUSTED; otherwise COMPLETE, which does not
        say whether the iteration converged.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds or dtypes.
    ValueError
        If a shape, n_nonzero, n_iterations, step, tol or a choice is out of range, devices differ, or `check_finite`
        finds something.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    References
    ----------
    T. Blumensath, M. E. Davies, "Iterative hard thresholding for compressed sensing", Appl. Comput. Harmon. Anal. 27,
    2009; "Normalized iterative hard thresholding: guaranteed stability and performance", IEEE J. Selected Topics in
    Signal Processing 4, 2010.
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, dictionary, tol, gram, gradient=gradient):
        from sparsefast.ops import torch_ops

        return torch_ops.iht(
            signals, dictionary, n_nonzero, n_iterations, step, tol, gram, gradient, backend, check_finite
        )
    if gradient != "implicit":
        given.check_gradient("iht", gradient)
    return run_iht(signals, dictionary, n_nonzero, n_iterations, step, tol, gram, backend, check_finite)


def run_iht(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    n_iterations: int = 100,
    step: float | None = None,
    tol: float | Array | None = None,
    gram: Array | None = None,
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """`iht` without the detour over PyTorch: tensors are read as they are, and nothing is recorded."""
    kind, device, dtype, n_atoms = given.check_signals("iht", signals, dictionary, gram)
    n_nonzero = given.check_n_nonzero("iht", n_nonzero, n_atoms)
    n_iterations = check_n_iterations(n_iterations)
    step = check_step(step)
    if tol is not None:
        tol = given.check_tol("iht", tol, signals, kind, dtype)
    choice = resolve("iht", device, dtype, backend)
    kind = kind.on(signals)

    x = given.as_rows(signals, kind, dtype)
    if check_finite:
        given.check_finite("iht", x, dictionary, kind, dtype, gram=gram, tol=tol)
    n_threads = threads.get_num_threads()
    layout = given.layout_of(dictionary, gram, kind, dtype, choice, n_threads)
    out, views = kind.codes(x.shape[0], n_nonzero, dtype)
    choice.module.iht(x, layout, n_nonzero, n_iterations, step, tol, *views, n_threads)
    return given.as_code(out, signals, kind, dtype, n_atoms)


def check_n_iterations(n_iterations: Any) -> int:
    """`n_iterations` as an int of at least 1 that 64 bits hold, which kernels count with."""
    n_iterations = arrays.index(n_iterations, "iht: n_iterations")
    if not 1 <= n_iterations < 2**63:
        allowed = "at least 1" if n_iterations < 1 else "below 2**63"
        raise ValueError(f"iht: n_iterations={n_iterations}; it must be {allowed}")
    return int(n_iterations)


def check_step(step: Any) -> float:
    """The step as kernels take it: 0.0 for the normalised one."""
    if step is None:
        return 0.0
    if isinstance(step, (bool, np.bool_)) or not isinstance(step, (int, float, np.integer, np.floating)):
        raise TypeError(f"iht: step={step!r} is a {type(step).__name__}; it must be a number above 0, or None")
    value = float(step)
    if not 0 < value < math.inf:
        raise ValueError(f"iht: step={value!r}; it must be a number above 0, or None for the normalised step")
    return value
