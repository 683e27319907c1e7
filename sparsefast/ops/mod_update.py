"""The least-squares dictionary of given codes: the method of optimal directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast.arrays import Array
from sparsefast.ops.coded_signals import CodedSignals, atoms_of, check_coded, require_finite
from sparsefast.ops.dictionary_stats import DictionaryStats
from sparsefast.ops.hook import needs_torch
from sparsefast.ops.ksvd_update import DictionaryUpdate, as_update
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode
from sparsefast.sparse_decode import check_indices

# Signals whose reconstruction is in memory at once.
_ROWS = 1 << 15


def mod_update(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    code: SparseCode,
    *,
    backend: str | None = None,
    check_finite: bool = False,
) -> DictionaryUpdate:
    """All atoms at once by least squares, the codes being as they are: D = (ΓᵀΓ)⁺ ΓᵀX, the method of optimal
    directions.

    Atoms are then scaled to unit norm, and their coefficients the other way. The statistics are summed and the system
    is solved in float64: by Cholesky, or by eigenvectors where ΓᵀΓ is singular (the solution of least norm). Atoms
    that no signal uses stay as they are, and so do atoms that come out as zero, with coefficients of zero.

    Parameters
    ----------
    signals, dictionary, code, backend, check_finite
        As for `ksvd_update`. On a GPU the system is solved on the CPU, which waits for it.

    Returns
    -------
    DictionaryUpdate
        New arrays, of the kind of the signals; nothing that was passed is written to. Not differentiable.

    Raises
    ------
    TypeError, ValueError, BackendUnavailable
        As `ksvd_update`.

    References
    ----------
    K. Engan, S. O. Aase, J. H. Husøy, "Method of optimal directions for frame design", ICASSP 1999.
    """
    if not isinstance(signals, np.ndarray) and needs_torch(signals, dictionary, gradient="none"):
        from sparsefast.ops import torch_dictionary

        return torch_dictionary.dictionary_update(
            "mod_update", signals, dictionary, code, "mod", False, backend, check_finite
        )
    return run_mod_update(signals, dictionary, code, backend, check_finite)


def run_mod_update(
    signals: Array,
    dictionary: Array | PreparedDictionary,
    code: SparseCode,
    backend: str | None = None,
    check_finite: bool = False,
) -> DictionaryUpdate:
    """`mod_update` without the detour over PyTorch."""
    coded = check_coded("mod_update", signals, code, dictionary)
    if check_finite:
        require_finite("mod_update", coded, dictionary)
    kind = coded.kind
    old = to_host(kind, atoms_of(coded, dictionary))
    stats = DictionaryStats(coded.n_atoms, old.shape[1], like=code.values).add(signals, code, backend=backend).numpy()
    used = np.flatnonzero(stats.usage > 0)
    new, scale = old.astype(np.float64), np.ones(coded.n_atoms)
    solved = solve_normal(stats.A[np.ix_(used, used)], stats.B[used])
    norms = np.sqrt((solved * solved).sum(axis=1))
    good = norms > 0
    new[used[good]] = solved[good] / norms[good, None]
    scale[used] = norms
    atoms = kind.from_numpy(new.astype(coded.computed_in))
    factors = kind.from_numpy(scale.astype(coded.computed_in))
    # No kernel for GPUs has refused them, and indexing there would end the process's use of its device.
    check_indices(code, coded.indices)
    # A padded entry names atom 0, whose factor must not turn a padding of NaN or 0 into anything else: it does not.
    values = coded.values * factors[coded.indices] if coded.values.shape[1] else coded.values
    usage = kind.from_numpy(stats.usage.astype(np.int64))
    errors = residual_norms(coded, atoms, values)
    return as_update(coded, code, *(kind.wrap(x) for x in (atoms, values, errors, usage)))


def solve_normal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The solution of a d = b, of least norm where the positive semi-definite a (n, n) is singular to rounding."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

    if not len(a):
        return b
    # Equilibrated, so that an atom that is used little is not taken for a dependent one.
    d = 1 / np.sqrt(np.diag(a))
    scaled = a * d * d[:, None]
    cutoff = len(a) * np.finfo(np.float64).eps
    try:
        factor = cho_factor(scaled, lower=True)
        # The square of a pivot is what an atom adds to the span of those before it.
        if np.diag(factor[0]).min() ** 2 > np.sqrt(cutoff):
            return np.asarray(d[:, None] * cho_solve(factor, d[:, None] * b))
    except LinAlgError:
        pass
    values, vectors = eigh(scaled)
    inverse = np.where(values > cutoff * values[-1], 1 / np.where(values == 0, 1, values), 0)
    return np.asarray(d[:, None] * (vectors @ (inverse[:, None] * (vectors.T @ (d[:, None] * b)))))


def residual_norms(coded: CodedSignals, atoms: Any, values: Any) -> Any:
    """||x - sum of value times atom|| of each signal, as elements (N,)."""
    library, n = coded.kind.library, coded.signals.shape[0]
    parts = []
    for first in range(0, max(n, 1), _ROWS):
        rows = slice(first, first + _ROWS)
        counts = coded.counts[rows]
        code = SparseCode._make(coded.indices[rows], values[rows], counts, counts, coded.n_atoms)
        difference = coded.signals[rows] - code.decode(atoms)
        parts.append(library.sqrt((difference * difference).sum(1)))
    return library.concatenate(parts)


def to_host(kind: Any, x: Any) -> np.ndarray:
    """Elements as a NumPy array; waits for a GPU."""
    return x if isinstance(x, np.ndarray) else np.asarray(kind.to_numpy(x))
