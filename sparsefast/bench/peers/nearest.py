"""Peers of `nearest_code`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms
from sparsefast.bench.contender import Contender, need, version_of

Array = NDArray[Any]
# Products of a chunk that stay in the second-level cache until they are looked at.
CHUNK_BYTES = 1 << 19


def scikit_learn() -> Contender:
    """`sklearn.metrics.pairwise_distances_argmin_min`: Cython and BLAS, in chunks, its sums in float64."""
    metrics = need("sklearn.metrics", "scikit-learn")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        return lambda: metrics.pairwise_distances_argmin_min(problem.signals, problem.dictionary)

    return Contender("scikit-learn", version_of("scikit-learn"), bind, _read, Terms(expands=True))


def scipy() -> Contender:
    """`scipy.cluster.vq.vq`."""
    vq = need("scipy.cluster.vq", "scipy")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        return lambda: vq.vq(problem.signals, problem.dictionary, check_finite=False)

    return Contender("SciPy", version_of("scipy"), bind, _read, Terms(expands=True))


def torch() -> Contender:
    """One `torch.addmm` for ||d||^2 / 2 - <x, d> and a minimum, in chunks: faster than `torch.cdist` and a minimum."""
    module = need("torch", "torch")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = module.from_numpy(problem.signals), module.from_numpy(problem.dictionary)
        return lambda: torch_nearest(x, d)

    def decode(result: Any, problem: Problem) -> Code:
        return _read(tuple(part.numpy() for part in result), problem)

    return Contender("torch", version_of("torch"), bind, decode, Terms(expands=True))


def torch_nearest(x: Any, d: Any, chunk_bytes: int = CHUNK_BYTES) -> tuple[Any, Any]:
    """Indices and distances (N,) of signals x (N, F) in a codebook d (K, F)."""
    import torch

    chunk = max(64, torch.get_num_threads() * chunk_bytes // (len(d) * d.element_size()))
    half = (d * d).sum(dim=1) / 2
    indices, distances = torch.empty(len(x), dtype=torch.int64), torch.empty(len(x), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        best = torch.addmm(half, part, d.T, alpha=-1).min(dim=1).indices
        indices[start : start + chunk] = best
        distances[start : start + chunk] = (part - d[best]).norm(dim=1)
    return indices, distances


def numpy() -> Contender:
    """A product and `argmin`, which NumPy has in vector instructions, in chunks."""

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        return lambda: numpy_nearest(problem.signals, problem.dictionary)

    return Contender("NumPy", np.__version__, bind, _read, Terms(expands=True))


def numpy_nearest(x: Array, d: Array, chunk_bytes: int = CHUNK_BYTES) -> tuple[Array, Array]:
    """Indices and distances (N,) of signals x (N, F) in a codebook d (K, F)."""
    chunk = max(64, chunk_bytes // (len(d) * d.itemsize))
    half = np.einsum("kf,kf->k", d, d) / 2
    indices, distances = np.empty(len(x), dtype=np.int64), np.empty(len(x), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        scores = part @ d.T
        best = np.subtract(half, scores, out=scores).argmin(axis=1)
        difference = part - d[best]
        indices[start : start + chunk] = best
        distances[start : start + chunk] = np.sqrt(np.einsum("nf,nf->n", difference, difference))
    return indices, distances


def faiss() -> Contender:
    """faiss's exhaustive index, IndexFlatL2; float32 alone."""
    module = need("faiss", "faiss-cpu")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        def call() -> Any:
            module.omp_set_num_threads(threads)
            index = module.IndexFlatL2(problem.dictionary.shape[1])
            index.add(problem.dictionary)
            squares, indices = index.search(problem.signals, 1)
            return indices[:, 0], np.sqrt(squares[:, 0])

        return call

    # Its arrays are float32, whatever it is given.
    terms = Terms(expands=True, eps=float(np.finfo(np.float32).eps))
    return Contender("faiss", str(module.__version__), bind, _read, terms)


def _read(result: Any, problem: Problem) -> Code:
    indices, distances = result
    return Code(indices[:, None], distances[:, None], np.ones(len(indices), dtype=np.int32))
