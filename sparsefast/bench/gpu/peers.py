"""What others do for these problems in PyTorch, written anew from the formulas; on any device.

x (N, F) signals, d (K, F) atoms of unit norm, S steps; c = d x, G = d dᵀ, S_k the atoms of the first k steps. All keep
N x K correlations. Zero signals and dependent atoms are held off by a floor under each pivot, which the published codes
do not have. Each is run in chunks of several sizes first, and timed with the one that suits it best.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms
from sparsefast.bench.contender import Contender, version_of
from sparsefast.bench.gpu.device import Stopwatch

# Workspace of a chunk. Small ones stay in the L2 cache, large ones fill the device and launch less often.
CHUNK_BYTES = (32 << 20, 512 << 20, 8 << 30)


def plain(x: Any, d: Any, n_nonzero: int) -> tuple[Any, Any]:
    """OMP as it is written down: γ = (d_S d_Sᵀ)⁻¹ d_S x by a Cholesky factor from scratch, then r = x - γ d_S."""
    torch = _torch()
    gram, c0 = d @ d.T, x @ d.T
    c, indices = c0, torch.empty(len(x), n_nonzero, dtype=torch.int64, device=x.device)
    gamma = x.new_zeros(len(x), 0)
    for k in range(n_nonzero):
        best = c.abs().scatter_(1, indices[:, :k], -1.0).argmax(dim=1)
        indices[:, k] = best
        support = indices[:, : k + 1]
        factor, _ = torch.linalg.cholesky_ex(gram[support[:, :, None], support[:, None, :]])
        gamma = torch.cholesky_solve(c0.gather(1, support)[:, :, None], factor)[:, :, 0]
        if k + 1 < n_nonzero:
            c = (x - torch.bmm(gamma[:, None, :], d[support])[:, 0]) @ d.T
    return indices, gamma


def batch_omp(x: Any, d: Any, n_nonzero: int) -> tuple[Any, Any]:
    """Batch-OMP as autoencoders with a dictionary run it: c = c0 - γ G_S, with a Cholesky factor that grows by a row.

    The new row w solves L w = G_{S_k i}; its pivot is √(G_ii - ‖w‖²); γ solves L Lᵀ γ = c0_S. The rows G_S are gathered
    for each signal, N k K values in step k.
    Rubinstein, Zibulevsky, Elad, Technion CS-2008-08.
    """
    torch = _torch()
    gram, c0 = d @ d.T, x @ d.T
    diagonal = gram.diagonal()
    floor = torch.finfo(x.dtype).eps
    c, indices = c0, torch.empty(len(x), n_nonzero, dtype=torch.int64, device=x.device)
    factor = x.new_zeros(len(x), n_nonzero, n_nonzero)
    gamma = x.new_zeros(len(x), 0)
    for k in range(n_nonzero):
        best = c.abs().scatter_(1, indices[:, :k], -1.0).argmax(dim=1)
        pivot = diagonal[best]
        if k:
            column = gram[best].gather(1, indices[:, :k])[:, :, None]
            w = torch.linalg.solve_triangular(factor[:, :k, :k], column, upper=False)[:, :, 0]
            factor[:, k, :k] = w
            pivot = pivot - (w * w).sum(dim=1)
        factor[:, k, k] = torch.maximum(pivot, floor * diagonal[best]).sqrt()
        indices[:, k] = best
        support = indices[:, : k + 1]
        gamma = torch.cholesky_solve(c0.gather(1, support)[:, :, None], factor[:, : k + 1, : k + 1])[:, :, 0]
        if k + 1 < n_nonzero:
            c = c0 - torch.bmm(gamma[:, None, :], gram[support])[:, 0]
    return indices, gamma


def inverse_cholesky(x: Any, d: Any, n_nonzero: int) -> tuple[Any, Any]:
    """The published batched "v0": correlations with an orthonormal basis of the span, and an inverse Cholesky factor.

    u_k = (G_i - Σ_j u_j[i] u_j) / √(G_ii - Σ_j u_j[i]²), c -= a_k u_k with a_k = c_i / pivot; in the end γ = F a, whose
    column k is F_k = (e_k - F w) / pivot. All u_k are kept, N S K values.
    Lubonja, Præsius, Tran, arXiv 2407.06434, after Zhu, Chen, Wu on OMP by the inverse Cholesky factor.
    """
    torch = _torch()
    gram, c = d @ d.T, x @ d.T
    floor = torch.finfo(x.dtype).eps
    rows = torch.arange(len(x), device=x.device)
    diagonal = gram.diagonal()
    indices = torch.empty(len(x), n_nonzero, dtype=torch.int64, device=x.device)
    u = x.new_empty(len(x), n_nonzero, len(d))
    inverse, a = x.new_zeros(len(x), n_nonzero, n_nonzero), x.new_zeros(len(x), n_nonzero)
    for k in range(n_nonzero):
        best = c.abs().scatter_(1, indices[:, :k], -1.0).argmax(dim=1)
        indices[:, k] = best
        w, row = u[rows, :k, best], gram[best]
        pivot = torch.maximum(diagonal[best] - (w * w).sum(dim=1), floor * diagonal[best]).sqrt()[:, None]
        if k:
            row = row - torch.bmm(w[:, None, :], u[:, :k])[:, 0]
            inverse[:, :k, k] = -torch.bmm(inverse[:, :k, :k], w[:, :, None])[:, :, 0] / pivot
        u[:, k] = row / pivot
        inverse[:, k, k] = 1 / pivot[:, 0]
        a[:, k] = c[rows, best] / pivot[:, 0]
        if k + 1 < n_nonzero:
            c = c - a[:, k, None] * u[:, k]
    return indices, torch.bmm(inverse, a[:, :, None])[:, :, 0]


def topk(x: Any, d: Any, n_nonzero: int) -> tuple[Any, Any]:
    """A product and `torch.topk` of its absolute values."""
    c = x @ d.T
    best = c.abs().topk(n_nonzero, dim=1).indices
    return best, c.gather(1, best)


def nearest(x: Any, d: Any, n_nonzero: int) -> tuple[Any, Any]:
    """One `torch.addmm` for ‖d‖²/2 - <x, d>, its minimum, and the distance to the winner."""
    best = _torch().addmm((d * d).sum(dim=1) / 2, x, d.T, alpha=-1).min(dim=1).indices
    return best[:, None], (x - d[best]).norm(dim=1)[:, None]


Algorithm = Callable[[Any, Any, int], tuple[Any, Any]]
# (what it computes, values of workspace for a signal from F, K and S, what to say of it)
PEERS: dict[str, dict[str, tuple[Algorithm, Callable[[int, int, int], int], str]]] = {
    "omp": {
        "torch": (plain, lambda f, k, s: 3 * k + s * f + 2 * s * s, "a Cholesky factor from scratch each step"),
        "batch-omp": (batch_omp, lambda f, k, s: 3 * k + s * k, "LASER's way: a growing Cholesky factor"),
        "v0": (inverse_cholesky, lambda f, k, s: 3 * k + s * k, "arXiv 2407.06434: inverse Cholesky factor"),
    },
    "topk": {"torch": (topk, lambda f, k, s: 3 * k, "")},
    "nearest_code": {"torch": (nearest, lambda f, k, s: 2 * k, "")},
}
NAMES = tuple(dict.fromkeys(name for peers in PEERS.values() for name in peers))


def theirs(variant: str, names: list[str], watch: Stopwatch) -> list[Contender]:
    """The peers of a variant, of those names."""
    return [_contender(name, *PEERS[variant][name], watch) for name in names if name in PEERS.get(variant, {})]


def _contender(
    name: str, algorithm: Algorithm, workspace: Callable[[int, int, int], int], note: str, watch: Stopwatch
) -> Contender:
    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = problem.signals, problem.dictionary
        # Past min(F, K) a pursuit would fit rounding.
        steps = problem.n_nonzero if algorithm in (topk, nearest) else min(problem.n_nonzero, *d.shape)
        a_signal = workspace(d.shape[1], d.shape[0], steps) * d.itemsize
        return _fastest(algorithm, x, d, steps, [max(64, size // a_signal) for size in CHUNK_BYTES], watch)

    terms = Terms(expands=algorithm is nearest)
    return Contender(f"torch {name}" if name != "torch" else name, version_of("torch"), bind, decode, terms, note=note)


def in_chunks(algorithm: Algorithm, x: Any, d: Any, n_nonzero: int, chunk: int) -> tuple[Any, Any]:
    """Indices and values of all signals, `chunk` of them at a time."""
    if len(x) <= chunk:
        return algorithm(x, d, n_nonzero)
    parts = [algorithm(part, d, n_nonzero) for part in x.split(chunk)]
    indices, values = (_torch().cat(column) for column in zip(*parts, strict=True))
    return indices, values


def _fastest(
    algorithm: Algorithm, x: Any, d: Any, n_nonzero: int, chunks: list[int], watch: Stopwatch
) -> Callable[[], Any]:
    """The call with the chunk that was fastest; one that does not fit into the memory, or is more than a library
    takes at a time, drops out."""

    def call_with(chunk: int) -> Callable[[], Any]:
        return lambda: in_chunks(algorithm, x, d, n_nonzero, chunk)

    sizes = list(dict.fromkeys(min(chunk, len(x)) for chunk in chunks))
    if len(sizes) == 1:
        return call_with(sizes[0])
    times = {}
    for size in sizes:
        try:
            call_with(size)()
            times[size] = min(watch.seconds(call_with(size)) for _ in range(2))
        except RuntimeError:
            watch.empty_cache()
    return call_with(min(times, key=lambda size: times[size]) if times else sizes[0])


def decode(result: Any, problem: Problem) -> Code:
    """Indices and values as tensors (N, S), all of them in use."""
    indices, values = (np.asarray(part.detach().cpu().numpy()) for part in result)
    return Code(indices, values, np.full(len(indices), indices.shape[1]))


def _torch() -> Any:
    return importlib.import_module("torch")
