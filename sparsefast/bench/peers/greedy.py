"""Peers of `omp`, and SPAMS of its order-recursive variant too."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms, from_csc, from_dense
from sparsefast.bench.contender import Contender, need, version_of

# In float64 too SPAMS's answers are good to single precision only.
SPAMS_TERMS = Terms(selection="ols", subtracts=True, eps=float(np.finfo(np.float32).eps))


def spams() -> Contender:
    """SPAMS: C++ and OpenMP. Order-recursive (orthogonal least squares): a lower residual, another algorithm."""
    module = need("spams", "spams-bin")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = problem.signals.T, problem.dictionary.T
        # Without an eps, 2.6.14 reads an uninitialised one, and in about half of all processes returns all zeros.
        return lambda: module.omp(x, d, L=problem.n_nonzero, eps=0.0, numThreads=threads)

    version = version_of("spams-bin", "spams")
    return Contender("SPAMS", version, bind, csc, SPAMS_TERMS, note="order-recursive selection")


def csc(result: Any, problem: Problem) -> Code:
    return from_csc(result, problem.n_nonzero)


def scikit_learn() -> Contender:
    """scikit-learn's `orthogonal_mp_gram`, with the Gram and the correlations by NumPy: a Python loop over signals."""
    linear_model = need("sklearn.linear_model", "scikit-learn")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        signals, dictionary = problem.signals, problem.dictionary
        # It warns of dependent atoms and stops there, as it should; past min(F, K) it would fit rounding.
        limit = min(problem.n_nonzero, *dictionary.shape)

        def call() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gram, correlations = dictionary @ dictionary.T, dictionary @ signals.T
                return linear_model.orthogonal_mp_gram(gram, correlations, n_nonzero_coefs=limit)

        return call

    def decode(dense: Any, problem: Problem) -> Code:
        return from_dense(dense.T if dense.ndim == 2 else dense[None], problem.n_nonzero)

    # It stops where the squared correlation is below float32's eps, whatever the scale of the signals.
    terms = Terms(stops_below=float(np.finfo(np.float32).eps) ** 0.5)
    return Contender("scikit-learn", version_of("scikit-learn"), bind, decode, terms)


def torch() -> Contender:
    """Batched OMP in plain PyTorch: a product, an argmax and a batched Cholesky solve a step, in chunks."""
    module = need("torch", "torch")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = module.from_numpy(problem.signals), module.from_numpy(problem.dictionary)
        return lambda: torch_omp(x, d, problem.n_nonzero)

    return Contender("torch", version_of("torch"), bind, full, note="a loop of products and batched solves")


def full(result: Any, problem: Problem) -> Code:
    """Indices and values as tensors (N, S), all of them in use."""
    indices, values = (part.numpy() for part in result)
    return Code(indices, values, np.full(len(indices), indices.shape[1]))


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

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        limit = min(problem.n_nonzero, *problem.dictionary.shape)
        return lambda: module.sparse_encode(problem.signals, problem.dictionary, algorithm="omp", n_nonzero_coefs=limit)

    def decode(dense: Any, problem: Problem) -> Code:
        return from_dense(dense, problem.n_nonzero)

    return Contender("dictlearn", version_of("dictlearn"), bind, decode, Terms(stops_below=1e-14))
