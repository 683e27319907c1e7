"""Signals to learn from, and the estimators that do."""

import numpy as np

from sparsefast import KSVD, OnlineDictionaryLearning
from tests.data import unit

# One of each way to learn.
LEARNERS = {
    "ksvd": lambda **more: KSVD(**{"n_components": 20, "n_nonzero": 3, "max_iter": 4, "random_state": 0} | more),
    "ksvd exact": lambda **more: LEARNERS["ksvd"](**{"method": "exact"} | more),
    "ksvd mini-batches": lambda **more: LEARNERS["ksvd"](**{"batch_size": 60} | more),
    "online": lambda **more: OnlineDictionaryLearning(
        **{"n_components": 20, "n_nonzero": 3, "max_iter": 4, "batch_size": 60, "random_state": 0} | more
    ),
}


def planted(n=400, n_features=12, n_atoms=20, n_nonzero=3, noise=0.01, seed=0, dtype=np.float64):
    """Signals (n, n_features) of a few atoms each, with noise, and these atoms."""
    rng = np.random.default_rng(seed)
    atoms = unit(rng.standard_normal((n_atoms, n_features)))
    codes = np.zeros((n, n_atoms))
    for row in codes:
        row[rng.permutation(n_atoms)[:n_nonzero]] = rng.choice([-1, 1], n_nonzero) * rng.uniform(1, 2, n_nonzero)
    signals = codes @ atoms + noise * rng.standard_normal((n, n_features))
    return signals.astype(dtype), atoms
