"""The dictionary that learning starts from."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.estimators.batches import Whole, host, is_tensor, like
from sparsefast.estimators.processes import Processes

Array = Any


def check_initial(owner: str, init: Any) -> None:
    """Raise unless `init` is "signals" or a dictionary (n_components, n_features) of finite numbers."""
    if isinstance(init, str):
        if init != "signals":
            raise ValueError(f"{owner}: init={init!r}; it must be 'signals' or an array (n_components, n_features)")
        return
    arrays.kind_of(init, f"{owner}: init")
    if len(init.shape) != 2 or 0 in tuple(init.shape):
        raise ValueError(f"{owner}: init has shape {tuple(init.shape)}; it must be (n_components, n_features)")
    if not np.isfinite(host(init)).all():
        raise ValueError(f"{owner}: init contains NaN or infinity")


def initial_atoms(
    owner: str, signals: Whole, n_components: int | None, init: Any, seed: int, processes: Processes
) -> Array:
    """Unit atoms (n_components, n_features): `init`, or random signals that are not zero, each at most once; random
    directions where there are too few of them and n_components is None."""
    n_features = signals.n_features
    if isinstance(init, str):
        found = _random_signals(owner, signals, n_components, seed, processes)
    else:
        found = host(init).astype(np.float64)
        if n_components is not None and len(found) != n_components:
            raise ValueError(f"{owner}: init has {len(found)} atoms and n_components={n_components}")
        if found.shape[1] != n_features:
            raise ValueError(f"{owner}: init has {found.shape[1]} features and X {n_features}")
    norms = np.sqrt((found * found).sum(axis=1, keepdims=True))
    unit = found / np.where(norms > 0, norms, 1)
    if is_tensor(signals.array):
        return like(unit, signals.array)
    return unit.astype(np.float32 if signals.array.dtype == np.float32 else np.float64)


def _random_signals(
    owner: str, signals: Whole, n_components: int | None, seed: int, processes: Processes
) -> np.ndarray:
    before, n = processes.before_and_all(len(signals))
    if n_components is not None and n_components > n:
        raise ValueError(
            f"{owner}: n_components={n_components} is above n_samples = {n}; pass fewer, or None for n_features"
        )
    wanted = signals.n_features if n_components is None else n_components
    rng = np.random.default_rng([seed, 2**31])
    order = rng.permutation(n)
    found = np.empty((0, signals.n_features))
    for at in range(0, n, wanted):
        if len(found) >= wanted:
            break
        block = order[at : at + wanted]
        rows = np.zeros((len(block), signals.n_features))
        mine = (block >= before) & (block < before + len(signals))
        # `rows` sorts; the atoms stand in the order of the permutation.
        places = np.flatnonzero(mine)[np.argsort(block[mine])]
        rows[places] = host(signals.rows(block[mine] - before))
        rows = processes.total(rows)
        found = np.concatenate([found, rows[(rows != 0).any(axis=1)]])
    missing = max(0, wanted - len(found))
    return np.concatenate([found[:wanted], rng.standard_normal((missing, signals.n_features))])
