"""Peers of `omp(positive=True)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code
from sparsefast.bench.contender import Contender, need, version_of

Array = NDArray[Any]
ADDITIONS_PER_ATOM = 4


def scipy() -> Contender:
    """Non-negative OMP in NumPy, signal by signal, with `scipy.optimize.nnls` on the support and the new atom."""
    optimize = need("scipy.optimize", "scipy")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        return lambda: numpy_positive(problem.signals, problem.dictionary, problem.n_nonzero, optimize.nnls)

    # nnls solves the whole problem of a step, where an atom that its inner loop has dropped might come back; in 60000
    # random problems none did.
    return Contender("SciPy", version_of("scipy"), bind, _read, note="nnls, signal by signal")


def numpy_positive(x: Array, d: Array, n_nonzero: int, nnls: Callable[..., Any]) -> tuple[Array, Array, Array]:
    """Indices, values (N, S) and counts (N,) of signals x (N, F) in a dictionary d (K, F)."""
    limit = min(n_nonzero, *d.shape)
    indices = np.zeros((len(x), n_nonzero), dtype=np.int64)
    values = np.zeros((len(x), n_nonzero), dtype=x.dtype)
    counts = np.zeros(len(x), dtype=np.int64)
    enough = 32 * np.finfo(x.dtype).eps * np.linalg.norm(x, axis=1)
    first = x @ d.T
    for n, signal in enumerate(x):
        support, gamma = np.empty(0, dtype=np.int64), np.empty(0, dtype=x.dtype)
        for _ in range(ADDITIONS_PER_ATOM * limit):
            correlation = d @ (signal - gamma @ d[support]) if len(support) else first[n].copy()
            correlation[support] = 0
            best = int(correlation.argmax())
            if correlation[best] <= enough[n]:
                break
            wider = np.append(support, best)
            fit, _ = nnls(d[wider].T, signal)
            kept = fit > 0
            if not kept[-1]:
                break
            support, gamma = wider[kept], fit[kept].astype(x.dtype)
            if len(support) == limit:
                break
        counts[n] = len(support)
        indices[n, : counts[n]], values[n, : counts[n]] = support, gamma
    return indices, values, counts


def torch() -> Contender:
    """Batched non-negative OMP in plain PyTorch: batched solves, again for those signals whose fit went below zero."""
    module = need("torch", "torch")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = module.from_numpy(problem.signals), module.from_numpy(problem.dictionary)
        return lambda: torch_positive(x, d, problem.n_nonzero)

    def decode(result: Any, problem: Problem) -> Code:
        return _read(tuple(part.numpy() for part in result), problem)

    return Contender("torch", version_of("torch"), bind, decode, note="a loop of products and batched solves")


def _read(result: Any, problem: Problem) -> Code:
    indices, values, counts = result
    return Code(indices, values, counts)


def torch_positive(x: Any, d: Any, n_nonzero: int, chunk_bytes: int = 1 << 21) -> tuple[Any, Any, Any]:
    """Indices, values (N, S) and counts (N,) of signals x (N, F) in a dictionary d (K, F)."""
    import torch

    limit = min(n_nonzero, *d.shape)
    gram = d @ d.T
    chunk = max(64, chunk_bytes // (d.shape[0] * d.element_size()))
    indices = torch.zeros((len(x), limit), dtype=torch.int64)
    values = torch.zeros((len(x), limit), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        support, gamma = indices[start : start + chunk], values[start : start + chunk]
        first = part @ d.T
        enough = 32 * torch.finfo(x.dtype).eps * part.norm(dim=1)
        rows = torch.arange(len(part))
        for addition in range(ADDITIONS_PER_ATOM * limit):
            s, g = support[rows], gamma[rows]
            residual = part[rows] - (g[:, None, :] @ d[s])[:, 0]
            # A slot is free where gamma is zero, and its index says nothing.
            selected = torch.full_like(g, torch.inf).masked_fill_(g > 0, -torch.inf)
            correlation = (residual @ d.T).scatter_reduce_(1, s, selected, "amin")
            largest, best = correlation.max(dim=1)
            slot = (g > 0).to(torch.uint8).argmin(dim=1, keepdim=True)
            s.scatter_(1, slot, best[:, None])
            width = min(addition + 1, limit)
            new = _refit(gram, first[rows], s[:, :width], g[:, :width], slot)
            alive = (largest > enough[rows]) & (new.gather(1, slot)[:, 0] > 0)
            rows, s, new = rows[alive], s[alive], new[alive]
            support[rows], gamma[rows, :width] = s, new
            rows = rows[(new > 0).sum(dim=1) < limit]
            if not len(rows):
                break
    order = (values > 0).to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return indices.gather(1, order), values.gather(1, order), (values > 0).sum(dim=1)


def _refit(gram: Any, first: Any, s: Any, g: Any, slot: Any) -> Any:
    """Coefficients >= 0 on the slots s (B, k) by the inner loop of Lawson and Hanson, from g >= 0."""
    import torch

    active = (g > 0).scatter_(1, slot, True)
    out = g.clone()
    rows = torch.arange(len(s))
    right = first.gather(1, s)
    for _ in range(s.shape[1] + 1):
        a, before = active[rows], out[rows]
        both = a[:, :, None] & a[:, None, :]
        matrix = torch.where(both, gram[s[rows][:, :, None], s[rows][:, None, :]], 0)
        matrix.diagonal(dim1=1, dim2=2).add_((~a).to(matrix.dtype))  # a free slot solves 1 z = 0
        factor, _ = torch.linalg.cholesky_ex(matrix)
        z = torch.cholesky_solve(torch.where(a, right[rows], 0)[:, :, None], factor)[:, :, 0]
        falling = a & (z <= 0)
        settled = ~falling.any(dim=1)
        out[rows[settled]] = z[settled]
        if bool(settled.all()):
            break
        rows, a, z, before, falling = (part[~settled] for part in (rows, a, z, before, falling))
        alphas = torch.where(falling, before / (before - z), torch.inf)
        alpha = alphas.amin(dim=1, keepdim=True)
        a &= ~(falling & (alphas == alpha))
        out[rows] = torch.where(a, before + alpha * (z - before), 0)
        active[rows] = a
    return out
