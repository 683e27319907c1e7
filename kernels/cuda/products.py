"""Products of sparse codes and dictionaries in CUDA (csrc/cuda/products.cu): what differentiating a code takes.

Codes are values (N, S), indices (N, S) int64 and counts (N,) int32, dense; float32 or float64. Nothing is waited for:
an index that names no atom makes NaN in `decode` and `correlate`, and is left out of `accumulate`.
"""

from __future__ import annotations

from typing import Any

from sparsefast.kernels.cuda.coders import extension_of
from sparsefast.kernels.cuda.memory import allocate, describe, queue_of

__all__ = ["accumulate", "correlate", "decode"]


def decode(values: Any, indices: Any, counts: Any, dictionary: Any, out: Any) -> None:
    """Write the signals (N, F)."""
    arrays = map(describe, (values, indices, counts, dictionary, out))
    extension_of(values).cuda_decode(*arrays, *queue_of(values))


def correlate(signals: Any, indices: Any, counts: Any, dictionary: Any, out: Any) -> None:
    """Write the correlations (N, S), zero in the padding."""
    arrays = map(describe, (signals, indices, counts, dictionary, out))
    extension_of(signals).cuda_correlate(*arrays, *queue_of(signals))


def accumulate(
    values: Any,
    indices: Any,
    counts: Any,
    signals: Any,
    out: Any,
    less_values: Any = None,
    less_signals: Any = None,
) -> None:
    """Write the sums (K, F) over the entries of each atom, of values times signals, less those of two others."""
    extension = extension_of(values)
    (n, n_nonzero), (n_atoms, n_features) = values.shape, out.shape
    n_bytes = extension.cuda_accumulate_workspace_bytes(describe(values)[1], n, n_nonzero, n_atoms, n_features)
    workspace = allocate(values, n_bytes)
    extension.cuda_accumulate(
        *map(describe, (values, indices, counts, signals)),
        None if less_values is None else describe(less_values),
        None if less_values is None else describe(less_signals),
        describe(out),
        workspace.description,
        *queue_of(values),
    )
