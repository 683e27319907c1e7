"""Dictionary learning in CUDA (csrc/cuda/ksvd).

Codes are not looked at first, for which the device would have to be waited for: entries that name no atom are left out.
"""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import extension_of
from sparsefast.kernels.cuda.memory import allocate, describe, queue_of

__all__ = ["dictionary_stats", "ksvd_update", "online_update"]


def ksvd_update(
    signals: Any,
    dictionary: Any,
    indices: Any,
    values: Any,
    counts: Any,
    exact: bool,
    parallel: bool,
    atoms: Any,
    coefficients: Any,
    errors: Any,
    usage: Any,
    n_threads: int,
) -> None:
    """Write the updated atoms (K, F), coefficients (N, S), errors (N,) and usage (K,)."""
    extension = extension_of(signals)
    (n, n_features), (n_atoms, _), n_nonzero = signals.shape, dictionary.shape, values.shape[1]
    n_bytes = extension.cuda_ksvd_workspace_bytes(
        describe(signals)[1], n, n_features, n_atoms, n_nonzero, exact, parallel
    )
    workspace = allocate(signals, n_bytes)
    extension.cuda_ksvd_update(
        *map(describe, (signals, dictionary, indices, values, counts)),
        exact,
        parallel,
        *map(describe, (atoms, coefficients, errors, usage)),
        workspace.description,
        *queue_of(signals),
    )


def dictionary_stats(
    signals: Any,
    indices: Any,
    values: Any,
    counts: Any,
    A: Any,
    B: Any,
    usage: Any,
    totals: Any,
    n_threads: int,
) -> None:
    """Add to A (K, K), B (K, F), usage (K,) and totals (2,) = (number of signals, sum of ||x||²)."""
    extension = extension_of(signals)
    n_bytes = extension.cuda_stats_workspace_bytes(describe(signals)[1], *signals.shape, A.shape[0], values.shape[1])
    workspace = allocate(signals, n_bytes)
    extension.cuda_dictionary_stats(
        *map(describe, (signals, indices, values, counts, A, B, usage, totals)),
        workspace.description,
        *queue_of(signals),
    )


def online_update(
    A: Any,
    B: Any,
    dictionary: Any,
    n_iterations: int,
    sphere: bool,
    atoms: Any,
    n_threads: int,
) -> None:
    """Write the atoms (K, F) that the statistics A (K, K) and B (K, F) give, from a dictionary (K, F)."""
    extension = extension_of(dictionary)
    workspace = allocate(dictionary, extension.cuda_online_workspace_bytes(*dictionary.shape))
    extension.cuda_online_update(
        *map(describe, (A, B, dictionary)),
        n_iterations,
        sphere,
        describe(atoms),
        workspace.description,
        *queue_of(dictionary),
    )
