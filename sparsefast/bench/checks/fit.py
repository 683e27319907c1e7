"""A least squares fit in float64, and how far from it rounding may lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Fit:
    """The fit of x (F,) by atoms (k, F), for ||x|| = 1."""

    coefficients: Array
    residual: Array
    slack: float
    """How far off the residual of a right fit may be."""
    coefficient_slack: float
    """The same for a coefficient."""


def fit(x: Array, atoms: Array, rounding: float, eps: float) -> Fit:
    """argmin_γ ||x - γ atoms||.

    The slack is rounding κ(D_S) max(||x||, σ_1(D_S) ||γ||): amplified by the condition of the support and by how much
    larger than x its parts are.
    """
    if not len(atoms):
        return Fit(np.empty(0), x, rounding, 0.0)
    u, singular, vt = np.linalg.svd(atoms.T, full_matrices=False)
    # Directions that the support does not span to rounding are dropped, and so not amplified.
    kept = singular > singular[0] * eps * atoms.shape[1]
    u, singular, vt = u[:, kept], singular[kept], vt[kept]
    along = u.T @ x
    coefficients = (along / singular) @ vt
    largest = max(1.0, float(singular[0] * np.linalg.norm(coefficients)))
    slack = rounding * float(singular[0] / singular[-1]) * largest
    return Fit(coefficients, x - u @ along, slack, slack / float(singular[-1]))
