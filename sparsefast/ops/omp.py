"""Orthogonal Matching Pursuit, batched."""

from __future__ import annotations

import numpy as np

from sparsefast import threads
from sparsefast.arrays import Array
from sparsefast.dispatch import resolve
from sparsefast.ops import signals as given
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode


def omp(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    *,
    selection: str = "omp",
    positive: bool = False,
    tol: float | Array | None = None,
    gram: Array | None = None,
    gradient: str = "implicit",
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
    signals : array of shape (..., n_signals, n_features) or (n_features,)
        float16, bfloat16 (PyTorch), float32 or float64, in NumPy, PyTorch or CuPy, with any strides. 16-bit
        signals are computed in float32. A signal alone gives the code of one signal.
    dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
        Atoms are rows. Of the kind, device and dtype of the signals; a PreparedDictionary takes signals of any kind.
        An array is prepared anew by each call: prepare it once with `prepare` when there will be many.
    n_nonzero : int
        The largest number of atoms for a signal, 1 to n_atoms. At most min(n_features, n_atoms) can be selected: a
        signal that gets so far and was asked for more stops with status EXHAUSTED.
    selection : {"omp", "ols"}
        "ols" selects the atom that leaves the smallest residual once all coefficients are fitted again: the largest
        |<d, r>| / ||d less its part in the span of those selected||. That is order-recursive selection (orthogonal
        least squares, "optimised OMP"), which SPAMS uses: the residual is often some per cent lower.
    positive : bool
        Non-negative OMP: select the largest <d, r> that is positive, and fit by least squares with coefficients of at
        least zero; an atom whose coefficient would be negative is dropped again. Not with selection="ols".
    tol : float, or array of shape (..., n_signals), optional
        Stop when the norm of the residual, ||r||_2, is at most this: in the units of the signals, and not squared,
        unlike `tol` in scikit-learn and `eps` in SPAMS. An array has one for each signal, is of the signals' kind,
        and is converted to the dtype computed in; an entry that is negative or NaN never stops its signal.
    gram : array of shape (n_atoms, n_atoms), optional
        `dictionary @ dictionary.T`, if it is known already.
    gradient : {"implicit", "none"}
        How PyTorch differentiates the values: by signals and dictionary, exactly, with the support held fixed
        ("implicit"), or not at all. `SparseCode.decode(straight_through=)` is the third way. A signal with status
        NONFINITE has a gradient of NaN, and adds nothing to the dictionary's. Second derivatives raise.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        Before `use_backend` and SPARSEFAST_BACKEND. `auto` takes the fastest that can run, and never the reference.
    check_finite : bool
        Look for NaN and infinity in all arguments first, and for negative tolerances. Without it a signal that holds
        any has status NONFINITE and values of NaN, and the others are right.

    Returns
    -------
    SparseCode
        Of shape (..., n_signals), or () for a signal alone, in arrays of the signals' kind; values of their dtype (in
        float16 a coefficient above 65504 is infinite), indices int32, int64 in PyTorch.

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
    Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit: recursive function approximation with
    applications to wavelet decomposition", Asilomar 1993. R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient
    implementation of the K-SVD algorithm using Batch Orthogonal Matching Pursuit", Technion CS-2008-08.
    "ols": S. Chen, S. A. Billings, W. Luo, "Orthogonal least squares methods and their application to non-linear system
    identification", Int. J. Control 50, 1989; L. Rebollo-Neira, D. Lowe, "Optimized orthogonal matching pursuit
    approach", IEEE Signal Processing Letters 9, 2002. `positive`: A. M. Bruckstein, M. Elad, M. Zibulevsky, "On the
    uniqueness of nonnegative sparse solutions to underdetermined systems of equations", IEEE Trans. Information Theory
    54, 2008; T. T. Nguyen, J. Idier, C. Soussen, E.-H. Djermoune, "Non-negative orthogonal greedy algorithms", IEEE
    Trans. Signal Processing 67, 2019.
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, dictionary, tol, gram, gradient=gradient):
        from sparsefast.ops import torch_ops

        return torch_ops.omp(
            signals, dictionary, n_nonzero, selection, positive, tol, gram, gradient, backend, check_finite
        )
    if gradient != "implicit":
        given.check_gradient("omp", gradient)
    return run_omp(signals, dictionary, n_nonzero, selection, positive, tol, gram, backend, check_finite)


def run_omp(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    selection: str = "omp",
    positive: bool = False,
    tol: float | Array | None = None,
    gram: Array | None = None,
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """`omp` without the detour over PyTorch: tensors are read as they are, and nothing is recorded."""
    op = "omp" if selection == "omp" and positive is False else row_of(selection, positive)
    kind, device, dtype, n_atoms = given.check_signals("omp", signals, dictionary, gram)
    n_nonzero = given.check_n_nonzero("omp", n_nonzero, n_atoms)
    if tol is not None:
        tol = given.check_tol("omp", tol, signals, kind, dtype)
    choice = resolve(op, device, dtype, backend)
    kind = kind.on(signals)

    x = given.as_rows(signals, kind, dtype)
    if check_finite:
        given.check_finite("omp", x, dictionary, kind, dtype, gram=gram, tol=tol)
    n_threads = threads.get_num_threads()
    layout = given.layout_of(dictionary, gram, kind, dtype, choice, n_threads)
    out, views = kind.codes(x.shape[0], n_nonzero, dtype)
    getattr(choice.module, op)(x, layout, n_nonzero, tol, *views, n_threads)
    return given.as_code(out, signals, kind, dtype, n_atoms)


def row_of(selection: str, positive: bool) -> str:
    """The row of the grid, and the name of its kernel, for these arguments of `omp`."""
    given.check_flag("omp", "positive", positive)
    if selection not in ("omp", "ols"):
        raise ValueError(f"omp: selection={selection!r}; it must be 'omp' or 'ols'")
    if not positive:
        return selection
    if selection == "ols":
        raise ValueError("omp: positive=True goes with selection='omp' only, and selection='ols'")
    return "positive"
