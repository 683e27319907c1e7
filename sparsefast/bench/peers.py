"""The peers of `omp`, each as its users call it, set-up of the dictionary inside the timed call as it is for us.

A peer that is not installed is reported as absent. Transposed views are handed over where a peer wants columns: they
are in the order that it asks for and cost nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.checks import Code, from_csc, from_dense
from sparsefast.bench.contender import Absent, Contender, need, version_of

Array = NDArray[Any]


def spams() -> Contender:
    """SPAMS: C++ and OpenMP. Order-recursive (orthogonal least squares): a lower residual, another algorithm."""
    module = need("spams", "spams-bin")

    def bind(signals: Array, dictionary: Array, n_nonzero: int, threads: int) -> Callable[[], Any]:
        x, d = signals.T, dictionary.T
        # Without an eps, 2.6.14 reads an uninitialised one, and in about half of all processes returns all zeros.
        return lambda: module.omp(x, d, L=n_nonzero, eps=0.0, numThreads=threads)

    version = version_of("spams-bin", "spams")
    # In float64 too its answers are good to single precision only. ||r||^2 is kept by subtraction, so that it is zero,
    # and SPAMS stops, where ||r|| is within a few roundings of ||x||^2 under the root.
    eps = float(np.finfo(np.float32).eps)
    note = "order-recursive selection"
    return Contender(
        "SPAMS", version, bind, from_csc, selection="ols", stops_relative=(4 * eps) ** 0.5, eps=eps, note=note
    )


def scikit_learn() -> Contender:
    """scikit-learn's `orthogonal_mp_gram`, with the Gram and the correlations by NumPy: a Python loop over signals."""
    linear_model = need("sklearn.linear_model", "scikit-learn")

    def bind(signals: Array, dictionary: Array, n_nonzero: int, threads: int) -> Callable[[], Any]:
        # It warns of dependent atoms and stops there, as it should; past min(F, K) it would fit rounding.
        limit = min(n_nonzero, *dictionary.shape)

        def call() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gram, correlations = dictionary @ dictionary.T, dictionary @ signals.T
                return linear_model.orthogonal_mp_gram(gram, correlations, n_nonzero_coefs=limit)

        return call

    def decode(dense: Array, n_nonzero: int) -> Code:
        return from_dense(dense.T if dense.ndim == 2 else dense[None], n_nonzero)

    # It stops where the squared correlation is below float32's eps, whatever the scale of the signals.
    stops_below = float(np.finfo(np.float32).eps) ** 0.5
    return Contender("scikit-learn", version_of("scikit-learn"), bind, decode, stops_below=stops_below)


def torch() -> Contender:
    """Batched OMP in plain PyTorch: a product, an argmax and a batched Cholesky solve a step, in chunks."""
    module = need("torch", "torch")

    def bind(signals: Array, dictionary: Array, n_nonzero: int, threads: int) -> Callable[[], Any]:
        x, d = module.from_numpy(signals), module.from_numpy(dictionary)
        return lambda: torch_omp(x, d, n_nonzero)

    def decode(result: Any, n_nonzero: int) -> Code:
        indices, values = (part.numpy() for part in result)
        return Code(indices, values, np.full(len(indices), indices.shape[1]))

    return Contender("torch", version_of("torch"), bind, decode, note="a loop of products and batched solves")


def torch_omp(x: Any, d: Any, n_nonzero: int, chunk_bytes: int = 1 << 20) -> tuple[Any, Any]:
    """Indices and values (N, S) of signals x (N, F) in a dictionary d (K, F)."""
    import torch

    steps = min(n_nonzero, *d.shape)
    gram = d @ d.T
    chunk = max(64, chunk_bytes // (d.shape[0] * d.element_size()))
    indices = torch.empty((len(x), steps), dtype=torch.int64)
    values = torch.empty((len(x), steps), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        first = part @ d.T
        correlation = first.clone()
        support = indices[start : start + chunk]
        taken = torch.zeros_like(first, dtype=torch.bool)
        for step in range(steps):
            best = correlation.abs().masked_fill_(taken, -1.0).argmax(dim=1)
            support[:, step] = best
            taken.scatter_(1, best[:, None], True)
            s = support[:, : step + 1]
            factor, _ = torch.linalg.cholesky_ex(gram[s[:, :, None], s[:, None, :]])
            fit = torch.cholesky_solve(first.gather(1, s)[:, :, None], factor)[:, :, 0]
            if step + 1 < steps:
                correlation = (part - (fit[:, None, :] @ d[s])[:, 0]) @ d.T
        values[start : start + chunk] = fit
    return indices, values


def dictlearn() -> Contender:
    """dictlearn: Batch-OMP in Numba, float64 inside; its Gram and correlations are computed by its own encoder."""
    module = need("dictlearn", "dictlearn")

    def bind(signals: Array, dictionary: Array, n_nonzero: int, threads: int) -> Callable[[], Any]:
        limit = min(n_nonzero, *dictionary.shape)
        return lambda: module.sparse_encode(signals, dictionary, algorithm="omp", n_nonzero_coefs=limit)

    return Contender("dictlearn", version_of("dictlearn"), bind, from_dense, stops_below=1e-14)


PEERS: dict[str, Callable[[], Contender]] = {
    "spams": spams,
    "scikit-learn": scikit_learn,
    "torch": torch,
    "dictlearn": dictlearn,
}


def find(names: list[str]) -> tuple[list[Contender], list[tuple[str, str]]]:
    """The peers of these names and those that are absent, with the reason."""
    found, absent = [], []
    for name in names:
        try:
            found.append(PEERS[name]())
        except Absent as reason:
            absent.append((name, str(reason)))
    return found, absent
