"""The atoms of largest correlation: k-sparse coding, batched."""

from __future__ import annotations

import numpy as np

from sparsefast import threads
from sparsefast.arrays import Array
from sparsefast.dispatch import resolve
from sparsefast.ops import signals as given
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode


def topk(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    *,
    positive: bool = False,
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """The `n_nonzero` atoms of largest correlation with each signal, and those correlations.

    For each signal x the atoms d with the largest |<d, x>|, the lowest index among equals; the values are <d, x>. It
    is the encoder of k-sparse autoencoders, and the support of one step of hard thresholding. Nothing is fitted: with
    atoms that are not orthogonal, `decode` does not give the best approximation in them (`omp` does).

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features) or (n_features,)
        As for `omp`.
    dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
        Atoms are rows, as for `omp`.
    n_nonzero : int
        How many atoms for a signal, 1 to n_atoms; it may be more than n_features.
    positive : bool
        The largest <d, x> instead, and of those only the ones above zero.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.
    check_finite : bool
        Look for NaN and infinity in all arguments first. Without it a signal that holds any has status NONFINITE and
        values of NaN, and the others are right.

    Returns
    -------
    SparseCode
        Of shape (..., n_signals), or () for a signal alone, in arrays of the signals' kind and dtype; indices int32,
        int64 in PyTorch. Entries stand in order of decreasing |value|, by index among equals. Atoms with correlation
        zero are left out: a signal that has too few others has status ORTHOGONAL, and the rest COMPLETE. In PyTorch
        the values differentiate by signals and dictionary.

    Raises
    ------
    TypeError
        If an argument is not of an allowed type or dtype, or two are of different kinds or dtypes.
    ValueError
        If a shape or n_nonzero is out of range, devices differ, or `check_finite` finds something.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    References
    ----------
    A. Makhzani, B. Frey, "k-sparse autoencoders", ICLR 2014 (arXiv 1312.5663).
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, dictionary):
        from sparsefast.ops import torch_ops

        return torch_ops.topk(signals, dictionary, n_nonzero, positive, backend, check_finite)
    return run_topk(signals, dictionary, n_nonzero, positive, backend, check_finite)


def run_topk(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    n_nonzero: int,
    positive: bool = False,
    backend: str | None = None,
    check_finite: bool = False,
) -> SparseCode:
    """`topk` without the detour over PyTorch: tensors are read as they are, and nothing is recorded."""
    kind, device, dtype, n_atoms = given.check_signals("topk", signals, dictionary)
    n_nonzero = given.check_n_nonzero("topk", n_nonzero, n_atoms)
    positive = given.check_flag("topk", "positive", positive)
    choice = resolve("topk", device, dtype, backend)
    kind = kind.on(signals)

    x = given.as_rows(signals, kind, dtype)
    if check_finite:
        given.check_finite("topk", x, dictionary, kind, dtype)
    n_threads = threads.get_num_threads()
    layout = given.layout_of(dictionary, None, kind, dtype, choice, n_threads)
    out, views = kind.codes(x.shape[0], n_nonzero, dtype)
    choice.module.topk(x, layout, n_nonzero, positive, *views, n_threads)
    return given.as_code(out, signals, kind, dtype, n_atoms)
