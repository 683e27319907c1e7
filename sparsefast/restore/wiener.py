"""Coefficients of noisy signals, shrunk by what an estimate of the signals says of their power."""

from __future__ import annotations

import numpy as np

from sparsefast.ops.omp import omp
from sparsefast.prepared import PreparedDictionary
from sparsefast.restore.groups import Coder

# Atoms of a signal of the estimate. Each adds a part of the error that is left, so they are many more than noise would
# allow.
MAX_ATOMS = 40
# Systems of equations in memory at once.
_SYSTEMS = 4096


def wiener_coder(dictionary: PreparedDictionary, tol: float, noise: float) -> Coder:
    """Estimate noisy signals from the sparse codes of a guide.

    With S the atoms by which `omp` approximates the signal of the guide to within `tol`, and g its coefficients, the
    noisy signal y is taken as y = D_S γ + noise, γ ~ N(0, diag(g²)), and approximated by D_S E[γ | y]:

        γ̂ = (D_SᵀD_S + σ² diag(g)⁻²)⁻¹ D_Sᵀ y

    which for orthonormal atoms is the empirical Wiener filter g² / (g² + σ²) of each coefficient.

    Parameters
    ----------
    dictionary : PreparedDictionary
    tol : float
        ||r||, in the units of the signals; well below the norm of the noise.
    noise : float
        σ, the standard deviation of a feature.

    Source: for an orthonormal basis, S. Ghael, A. Sayeed, R. Baraniuk, Improved wavelet denoising via empirical Wiener
    filtering, SPIE 1997; the rest is the mean of a Gaussian posterior.
    """
    atoms = dictionary.numpy()
    gram = atoms.astype(np.float64) @ atoms.T
    most = min(MAX_ATOMS, len(atoms))

    def code(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
        pilot = omp(clean, dictionary, most, tol=tol)
        correlations = noisy @ atoms.T
        values = np.zeros_like(pilot.values)
        order = np.argsort(pilot.counts, kind="stable")
        counts = pilot.counts[order]
        for count in np.unique(counts[counts > 0]):
            rows = order[np.searchsorted(counts, count) : np.searchsorted(counts, count, side="right")]
            for start in range(0, len(rows), _SYSTEMS):
                some = rows[start : start + _SYSTEMS]
                support = pilot.indices[some, :count]
                system = gram[support[:, :, None], support[:, None, :]]
                power = pilot.values[some, :count].astype(np.float64) ** 2
                # A coefficient of zero has no power, and its atom is left out by an infinite penalty; a large one will
                # do.
                system[:, range(count), range(count)] += noise**2 / np.maximum(power, 1e-12 * noise**2)
                right = correlations[some[:, None], support].astype(np.float64)
                values[some, :count] = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        shrunk = type(pilot)(pilot.indices, values, pilot.counts, pilot.status, pilot.n_atoms)
        return shrunk.decode(dictionary)

    return code
