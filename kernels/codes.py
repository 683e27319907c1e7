"""Sparse codes that somebody may have built by hand, looked at before a kernel trusts them."""

import numpy as np
from numpy.typing import NDArray


def check_codes(indices: np.ndarray, counts: np.ndarray, n_atoms: int) -> None:
    """Raise ValueError unless all counts (N,) are 0 to S, and all indices (N, S) in use are 0 to n_atoms - 1."""
    n_nonzero = indices.shape[1]
    bad = (counts < 0) | (counts > n_nonzero)
    if bad.any():
        n = int(np.argmax(bad))
        raise ValueError(f"code: counts holds {counts[n]} for signal {n}; it must be 0 to {n_nonzero}")
    bad = (((indices < 0) | (indices >= n_atoms)) & in_use(indices, counts)).any(axis=1)
    if bad.any():
        raise ValueError(f"code: signal {int(np.argmax(bad))} names an atom that is not one of {n_atoms}")


def in_use(entries: np.ndarray, counts: np.ndarray) -> NDArray[np.bool_]:
    """Which of the entries (N, S) are no padding."""
    return np.arange(entries.shape[1]) < counts[:, None]
