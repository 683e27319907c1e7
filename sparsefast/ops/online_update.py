"""The atoms that the statistics of many signals give: online dictionary learning."""

from __future__ import annotations

import numpy as np

from sparsefast import arrays, threads
from sparsefast.arrays import Array
from sparsefast.dispatch import COMPUTED_IN, resolve
from sparsefast.ops.dictionary_stats import DictionaryStats
from sparsefast.ops.hook import needs_torch
from sparsefast.prepared import check_dictionary

CONSTRAINTS = ("ball", "sphere")


def online_update(
    stats: DictionaryStats,
    dictionary: Array,
    *,
    n_iterations: int = 1,
    constraint: str = "ball",
    backend: str | None = None,
) -> Array:
    """A dictionary that reconstructs the signals of `stats` better with the codes they had: block coordinate descent.

    `n_iterations` times, for each atom in turn, with A and B of the statistics:

        u = d_k + (b_k - sum_j A_kj d_j) / A_kk
        d_k = u / max(||u||, 1)        "ball"
        d_k = u / ||u||                "sphere"

    which for "ball" minimises the mean of ½||x - Dγ||² over d_k, the other atoms and the codes being as they are. For
    "sphere" u is along Eᵀg of the approximate K-SVD (`ksvd_update`), with coefficients that are held.

    Parameters
    ----------
    stats : DictionaryStats
    dictionary : array of shape (n_atoms, n_features)
        float16, bfloat16 (PyTorch), float32 or float64; computed in float64. Its kind and device are those of `stats`.
    n_iterations : int
        Passes over the atoms, at least 1. The statistics change little between two calls of the online algorithm, so
        one is enough there.
    constraint : {"ball", "sphere"}
    backend : {"auto", "cuda", "cpu", "numba", "reference"}, optional

    Returns
    -------
    array of shape (n_atoms, n_features)
        Of the dtype of the dictionary. Atoms that no signal used stay as they are.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of an allowed type, dtype or shape.
    BackendUnavailable
        If no backend can run on these arrays.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online dictionary learning for sparse coding", ICML 2009, Algorithm 2.
    """
    op = "online_update"
    if constraint not in CONSTRAINTS:
        raise ValueError(f"{op}: constraint={constraint!r}; it must be one of {', '.join(CONSTRAINTS)}")
    n_iterations = arrays.index(n_iterations, f"{op}: n_iterations")
    if n_iterations < 1:
        raise ValueError(f"{op}: n_iterations={n_iterations}; it must be at least 1")
    if not isinstance(stats, DictionaryStats):
        raise TypeError(f"{op}: stats is a {type(stats).__name__}; it must be a DictionaryStats")
    kind, device, _ = check_dictionary(op, dictionary)
    if kind is not stats.kind:
        raise TypeError(f"{op}: dictionary is {kind.words} and stats {stats.kind.words}; pass both as one kind")
    if device != stats.device:
        raise ValueError(f"{op}: dictionary is on {device} and stats on {stats.device}; move one of them")
    if tuple(dictionary.shape) != (stats.n_atoms, stats.n_features):
        raise ValueError(
            f"{op}: dictionary has shape {tuple(dictionary.shape)} and stats is of {stats.n_atoms} atoms with "
            f"{stats.n_features} features; they must be the same"
        )
    sphere = constraint == "sphere"
    if not isinstance(dictionary, np.ndarray) and needs_torch(dictionary, gradient="none"):
        from sparsefast.ops import torch_dictionary

        return torch_dictionary.online_update(stats.A, stats.B, dictionary.detach(), n_iterations, sphere, backend)
    return run_online_update(stats.A, stats.B, dictionary, n_iterations, sphere, backend)


def run_online_update(
    a: Array, b: Array, dictionary: Array, n_iterations: int, sphere: bool, backend: str | None
) -> Array:
    """`online_update` for checked statistics, without the detour over PyTorch."""
    kind, device, dtype = check_dictionary("online_update", dictionary)
    choice = resolve("online_update", device.partition(":")[0], dtype, backend)
    here, wide = kind.on(dictionary), COMPUTED_IN.get(dtype, dtype)
    atoms, out = here.empty(tuple(dictionary.shape), wide)
    arguments = here.view(a, "float64"), here.view(b, "float64"), here.view(dictionary, dtype)
    choice.module.online_update(*arguments, n_iterations, sphere, out, threads.get_num_threads())
    return here.narrowed(atoms, dtype) if dtype != wide else atoms
