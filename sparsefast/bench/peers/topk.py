"""Peers of `topk`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code
from sparsefast.bench.contender import Contender, need, version_of
from sparsefast.bench.peers.greedy import full

Array = NDArray[Any]
# Correlations of a chunk that stay in the second-level cache until they are looked at.
CHUNK_BYTES = 1 << 19


def torch() -> Contender:
    """A product and `torch.topk`, in chunks."""
    module = need("torch", "torch")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = module.from_numpy(problem.signals), module.from_numpy(problem.dictionary)
        return lambda: torch_topk(x, d, problem.n_nonzero)

    return Contender("torch", version_of("torch"), bind, full)


def torch_topk(x: Any, d: Any, n_nonzero: int, chunk_bytes: int = CHUNK_BYTES) -> tuple[Any, Any]:
    """Indices and values (N, S) of signals x (N, F) in a dictionary d (K, F)."""
    import torch

    chunk = max(64, torch.get_num_threads() * chunk_bytes // (d.shape[0] * d.element_size()))
    indices = torch.empty((len(x), n_nonzero), dtype=torch.int64)
    values = torch.empty((len(x), n_nonzero), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = slice(start, start + chunk)
        correlation = x[part] @ d.T
        best = correlation.abs().topk(n_nonzero, dim=1).indices
        indices[part], values[part] = best, correlation.gather(1, best)
    return indices, values


def numpy() -> Contender:
    """A product, `argpartition` and a sort of the few, in chunks."""

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        return lambda: numpy_topk(problem.signals, problem.dictionary, problem.n_nonzero)

    def decode(result: Any, problem: Problem) -> Code:
        indices, values = result
        return Code(indices, values, np.full(len(indices), indices.shape[1]))

    return Contender("NumPy", np.__version__, bind, decode)


def numpy_topk(x: Array, d: Array, n_nonzero: int, chunk_bytes: int = CHUNK_BYTES) -> tuple[Array, Array]:
    """Indices and values (N, S) of signals x (N, F) in a dictionary d (K, F)."""
    chunk = max(64, chunk_bytes // (len(d) * d.itemsize))
    indices = np.empty((len(x), n_nonzero), dtype=np.int64)
    values = np.empty((len(x), n_nonzero), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = slice(start, start + chunk)
        correlation = x[part] @ d.T
        lost = -np.abs(correlation)
        few = np.argpartition(lost, n_nonzero - 1, axis=1)[:, :n_nonzero]
        order = np.argsort(np.take_along_axis(lost, few, axis=1), axis=1)
        best = np.take_along_axis(few, order, axis=1)
        indices[part], values[part] = best, np.take_along_axis(correlation, best, axis=1)
    return indices, values
