"""One sweep of K-SVD over the atoms of a dictionary."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsefast import threads
from sparsefast.arrays import Array
from sparsefast.dispatch import resolve
from sparsefast.ops import signals as given
from sparsefast.ops.coded_signals import CodedSignals, atoms_of, check_coded, require_finite
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode

METHODS = ("approx", "exact")


class DictionaryUpdate(NamedTuple):
    """What `ksvd_update` and `mod_update` return."""

    dictionary: Array
    """(n_atoms, n_features), of the dictionary's dtype."""
    code: SparseCode
    """The atoms that each signal had, with their new coefficients; it shares indices, counts and status."""
    errors: Array
    """(..., n_signals): ||x - sum of coefficient times atom||, of the signals' dtype."""
    usage: Array
    """(n_atoms,) int64: how many signals use each atom."""


def ksvd_update(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    code: SparseCode,
    *,
    method: str = "approx",
    parallel: bool = False,
    backend: str | None = None,
    check_finite: bool = False,
) -> DictionaryUpdate:
    """Update every atom of a dictionary, and the coefficients of the signals that use it: the second half of a K-SVD
    iteration, after sparse coding.

    With R = X - code D the residual, and for atom d the signals I that use it with coefficients g, the error without
    it is E = R_I + g dᵀ. Then

        "exact"    d, g = the rank-one matrix g dᵀ nearest to E: the leading singular vectors, by a restarted Lanczos
                   iteration on EᵀE that starts from d, to a relative residual of 1e-6 (float32) or 1e-12 (float64)
        "approx"   d = Eᵀg / ||Eᵀg||, then g = E d: one step of alternating least squares, several times as fast

    for one atom after the other, each from what the earlier ones left (E is never formed as a whole). The sum of
    squared errors never increases with either. Which atoms a signal uses never changes, and coefficients of any sign
    are updated. Atoms that no signal uses stay as they are, bit for bit; all others have unit norm afterwards.

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features) or (n_features,)
        float16, bfloat16 (PyTorch), float32 or float64, in NumPy, PyTorch or CuPy, with any strides. 16 bits are
        computed in float32.
    dictionary : array of shape (n_atoms, n_features), or PreparedDictionary
        Atoms are rows, of any norm. Of the kind, device and dtype of the signals.
    code : SparseCode of shape (..., n_signals)
        The signals' code in that dictionary, such as `omp` returns; no signal names an atom twice. Signals that use no
        atom, as those with NaN in them, take no part.
    method : {"approx", "exact"}
    parallel : bool
        Update all atoms at once, from the residual as it was before: more threads have work, but two atoms of one
        signal then correct the same error twice. This is NOT monotone: the error can grow.
    backend : {"auto", "cuda", "cpu", "numba", "reference"}, optional
        Before `use_backend` and SPARSEFAST_BACKEND.
    check_finite : bool
        Look for NaN and infinity in all arguments first.

    Returns
    -------
    DictionaryUpdate
        New arrays, of the kind of the signals; nothing that was passed is written to. Not differentiable.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of an allowed type, dtype or shape, `code` names an atom that does not exist or has a
        count that is not 0 to n_nonzero (neither is looked for on a GPU, which would have to be waited for: such
        entries, or all of such a signal, are left out and keep their coefficients), or `check_finite` finds something.
    BackendUnavailable
        If no backend, or not the one asked for, can run on these arrays: with the reason for each.

    References
    ----------
    M. Aharon, M. Elad, A. Bruckstein, "K-SVD: an algorithm for designing overcomplete dictionaries for sparse
    representation", IEEE Trans. Signal Processing 54, 2006 (exact). R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient
    implementation of the K-SVD algorithm using Batch Orthogonal Matching Pursuit", Technion CS-2008-08 (approx).
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, dictionary, gradient="none"):
        from sparsefast.ops import torch_dictionary

        return torch_dictionary.dictionary_update(
            "ksvd_update", signals, dictionary, code, method, parallel, backend, check_finite
        )
    return run_ksvd_update(signals, dictionary, code, method, parallel, backend, check_finite)


def run_ksvd_update(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    code: SparseCode,
    method: str = "approx",
    parallel: bool = False,
    backend: str | None = None,
    check_finite: bool = False,
) -> DictionaryUpdate:
    """`ksvd_update` without the detour over PyTorch."""
    if method not in METHODS:
        raise ValueError(f"ksvd_update: method={method!r}; it must be one of {', '.join(METHODS)}")
    parallel = given.check_flag("ksvd_update", "parallel", parallel)
    coded = check_coded("ksvd_update", signals, code, dictionary)
    choice = resolve("ksvd_update", coded.device, coded.dtype, backend)
    if check_finite:
        require_finite("ksvd_update", coded, dictionary)
    kind, wide = coded.kind, coded.computed_in
    n, n_features = coded.signals.shape
    atoms, atoms_out = kind.empty((coded.n_atoms, n_features), wide)
    values, values_out = kind.empty((n, code.n_nonzero), wide)
    errors, errors_out = kind.empty((n,), wide)
    usage, usage_out = kind.empty((coded.n_atoms,), "int64")
    choice.module.ksvd_update(
        coded.signals,
        atoms_of(coded, dictionary),
        *coded.kernel_arguments,
        method == "exact",
        parallel,
        atoms_out,
        values_out,
        errors_out,
        usage_out,
        threads.get_num_threads(),
    )
    return as_update(coded, code, atoms, values, errors, usage)


def as_update(
    coded: CodedSignals, code: SparseCode, atoms: Array, values: Array, errors: Array, usage: Array
) -> DictionaryUpdate:
    """The outputs of a kernel in the signals' dtype and batch dimensions."""
    if coded.dtype != coded.computed_in:
        atoms, values, errors = (coded.kind.narrowed(x, coded.dtype) for x in (atoms, values, errors))
    new = SparseCode._make(code.indices, values.reshape(code.values.shape), code.counts, code.status, code.n_atoms)
    return DictionaryUpdate(atoms, new, errors.reshape(code.shape), usage)
