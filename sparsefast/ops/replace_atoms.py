"""Atoms that do nothing, or what another does, exchanged for signals that the dictionary reconstructs worst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsefast import arrays
from sparsefast.arrays import Array
from sparsefast.dispatch import COMPUTED_IN
from sparsefast.ops import signals as given
from sparsefast.ops.mod_update import to_host

# Candidates that are looked at together, and how many are sorted out at first for each atom that is replaced.
_BLOCK = 64


def replace_atoms(
    signals: Array,
    dictionary: Array,
    errors: Array,
    usage: Array,
    *,
    min_use: float = 1,
    max_coherence: float = 0.99,
    seed: int | np.random.Generator | None = 0,
) -> tuple[Array, np.ndarray]:
    """Replace dead and duplicate atoms by the signals that are reconstructed worst: between two iterations of K-SVD.

    An atom is dead if fewer than `min_use` signals use it, or if it is zero or not finite. Of two atoms with
    |cos| > `max_coherence` the one that is used less is a duplicate, the one of higher index among equals. The signals
    with the largest errors take their places, scaled to unit norm: no signal twice, and none that is itself within
    `max_coherence` of another atom. Where no signal is left, the rest become random directions.

    Parameters
    ----------
    signals : array of shape (..., n_signals, n_features)
        float16, bfloat16 (PyTorch), float32 or float64, in NumPy, PyTorch or CuPy.
    dictionary : array of shape (n_atoms, n_features)
        Of the kind, device and dtype of the signals.
    errors : array of shape (..., n_signals)
        ||x - Dγ|| of each signal, as `ksvd_update` returns; NaN is never chosen.
    usage : array of shape (n_atoms,)
        How many signals use each atom; any real dtype.
    min_use : float
        At least 0.
    max_coherence : float
        Above 0, at most 1; 1 replaces no duplicates.
    seed : int, numpy.random.Generator or None
        For the random directions.

    Returns
    -------
    dictionary : array of shape (n_atoms, n_features)
        A new one, or the very same where nothing was replaced.
    replaced : array of shape (n,), int64, NumPy
        Which atoms are new, in increasing order. Codes that name them are out of date.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of an allowed type, dtype, shape or value.

    Source: M. Elad, Sparse and Redundant Representations, Springer 2010, section 12.2.3. Waits for a GPU.
    """
    op = "replace_atoms"
    kind, _, dtype, n_atoms = given.check_signals(op, signals, dictionary)
    if not min_use >= 0:
        raise ValueError(f"{op}: min_use={min_use}; it must be at least 0")
    if not 0 < max_coherence <= 1:
        raise ValueError(f"{op}: max_coherence={max_coherence}; it must be above 0 and at most 1")
    for name, x, shape in (("errors", errors, tuple(signals.shape[:-1])), ("usage", usage, (n_atoms,))):
        other = arrays.kind_of(x, f"{op}: {name}")
        if other is not kind:
            raise TypeError(f"{op}: signals is {kind.words} and {name} {other.words}; pass both as one kind")
        if tuple(x.shape) != shape:
            raise ValueError(f"{op}: {name} has shape {tuple(x.shape)}; it must be {shape}")
    here = kind.on(signals)
    atoms = to_host(here, here.view(dictionary, dtype)).astype(np.float64)
    counts = to_host(here, here.view(usage, kind.dtype(usage))).astype(np.float64)
    dead = dead_atoms(atoms, counts, min_use, max_coherence)
    if not dead.size:
        return dictionary, dead
    rows = given.as_rows(signals, here, dtype)
    worst = to_host(here, here.view(errors, kind.dtype(errors))).reshape(-1).astype(np.float64)
    kept = np.delete(_unit(atoms), dead, axis=0)
    atoms[dead] = _replacements(here, rows, worst, kept, len(dead), max_coherence, np.random.default_rng(seed))
    wide = COMPUTED_IN.get(dtype, dtype)
    new = here.wrap(here.from_numpy(atoms.astype(wide)))
    return (here.narrowed(new, dtype) if dtype != wide else new), dead


def dead_atoms(atoms: np.ndarray, usage: np.ndarray, min_use: float, max_coherence: float) -> np.ndarray:
    """Which atoms (K, F) are used by fewer than min_use signals, are zero or not finite, or are duplicates: (n,) int64,
    increasing."""
    norms = np.sqrt((atoms * atoms).sum(axis=1))
    dead = ~((usage >= min_use) & (norms > 0) & np.isfinite(norms))
    unit = _unit(np.where(dead[:, None], 0, atoms))
    if max_coherence < 1:
        close = np.abs(unit @ unit.T) > max_coherence
        np.fill_diagonal(close, False)
        # Those that are used most are kept first; an atom close to one that is kept is not.
        order = np.lexsort((np.arange(len(usage)), -usage))
        for k in order[close[order].any(axis=1)]:
            if not dead[k]:
                dead |= close[k]
    return np.flatnonzero(dead)


def _replacements(
    kind: Any,
    signals: Any,
    errors: np.ndarray,
    kept: np.ndarray,
    n: int,
    max_coherence: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """n unit vectors (n, F): the signals with the largest errors that are within max_coherence of none that is kept."""
    chosen: list[np.ndarray] = []
    for block in _worst_first(errors, _BLOCK * n):
        candidates = _unit(to_host(kind, signals[kind.from_numpy(block)]).astype(np.float64))
        near = np.abs(candidates @ kept.T).max(axis=1, initial=0) if max_coherence < 1 else np.zeros(len(block))
        for x, nearness in zip(candidates, near, strict=True):
            if not nearness <= max_coherence or not np.isfinite(x).all() or not x.any():
                continue
            if max_coherence < 1 and any(abs(float(x @ other)) > max_coherence for other in chosen):
                continue
            chosen.append(x)
            if len(chosen) == n:
                return np.stack(chosen)
    random = _unit(rng.standard_normal((n - len(chosen), kept.shape[1])))
    return np.concatenate([np.reshape(chosen, (-1, kept.shape[1])), random])


def _worst_first(errors: np.ndarray, first: int) -> Iterator[np.ndarray]:
    """Indices of the signals in blocks, by decreasing error, the lowest index first among equals; without those whose
    error is zero or NaN. The first `first` of them are found without sorting all."""
    usable = np.flatnonzero(errors > 0)
    if 0 < first < len(usable):
        least = -np.partition(-errors[usable], first - 1)[first - 1]
        top = usable[errors[usable] >= least]
        yield from _blocks(top[np.argsort(-errors[top], kind="stable")])
        usable = usable[errors[usable] < least]
    yield from _blocks(usable[np.argsort(-errors[usable], kind="stable")])


def _blocks(order: np.ndarray) -> Iterator[np.ndarray]:
    return (order[at : at + _BLOCK] for at in range(0, len(order), _BLOCK))


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of norm 1; rows of zeros stay so."""
    norms = np.sqrt((x * x).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        return x / np.where(norms > 0, norms, 1)
