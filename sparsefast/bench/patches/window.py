"""The windows of the variants, written anew from their formula."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.patches.case import Case


def window(case: Case, weights: str) -> NDArray[np.float64]:
    """What `weights=` names, (ph, pw): ones, or along each axis a Gaussian of a quarter of the patch."""
    if weights == "uniform":
        return np.ones(case.patch)
    y, x = (_gaussian(n) for n in case.patch)
    return y[:, None] * x


def _gaussian(n: int) -> NDArray[np.float64]:
    t = np.arange(n) - (n - 1) / 2
    return np.exp(-0.5 * (t / (n / 4)) ** 2)
