"""What is known of a patch before it: how much its neighbours on the left and above took.

The same for all contenders. "Much" is how many stages or atoms the patch has or, of one code, the class of its norm.
"""

from __future__ import annotations

import numpy as np

_EDGES = np.array([1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50, 70, 100])
N_AROUND = len(_EDGES) + 1


def around(much: np.ndarray) -> np.ndarray:
    """A context (H * W,), 0 to N_AROUND - 1, for each patch of (H, W) in order of rows: of the left one and the one
    above twice, and of those beside the latter once."""
    padded = np.pad(much, ((1, 0), (1, 1)))
    total = 2 * padded[1:, :-2] + 2 * padded[:-1, 1:-1] + padded[:-1, :-2] + padded[:-1, 2:]
    return np.searchsorted(_EDGES, total, side="right").reshape(-1)


def classes(sizes: np.ndarray, n_classes: int) -> np.ndarray:
    """Which of so many classes of equal number each of `sizes` (N,) is in, 0 to n_classes - 1."""
    edges = np.quantile(sizes, np.arange(1, n_classes) / n_classes)
    return np.searchsorted(edges, sizes, side="right")
