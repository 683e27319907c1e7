"""The peer of `iht`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsefast.bench.case import Problem
from sparsefast.bench.contender import Contender, need, version_of
from sparsefast.bench.peers.greedy import full

MAX_HALVINGS = 30
SAFE = 0.99


def torch() -> Contender:
    """Normalised IHT in plain PyTorch: the same iterations, batched, in chunks, on codes that stay sparse."""
    module = need("torch", "torch")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d = module.from_numpy(problem.signals), module.from_numpy(problem.dictionary)
        return lambda: torch_iht(x, d, problem.n_nonzero, problem.n_iterations)

    return Contender("torch", version_of("torch"), bind, full, note="a batched loop")


def torch_iht(x: Any, d: Any, n_nonzero: int, n_iterations: int, chunk_bytes: int = 1 << 20) -> tuple[Any, Any]:
    """Indices and values (N, S) of signals x (N, F) in a dictionary d (K, F)."""
    import torch

    s = min(n_nonzero, *d.shape)
    chunk = max(64, torch.get_num_threads() * chunk_bytes // (d.shape[0] * d.element_size()))
    indices = torch.empty((len(x), s), dtype=torch.int64)
    values = torch.empty((len(x), s), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = slice(start, start + chunk)
        indices[part], values[part] = _iterate(x[part], d, s, n_iterations)
    return indices, values


def _iterate(x: Any, d: Any, s: int, n_iterations: int) -> tuple[Any, Any]:
    """The loop for one chunk. A code is its support (B, s), its entries (B, s) and what they stand for (B, F)."""
    import torch

    c = x @ d.T
    support = c.abs().topk(s, dim=1).indices.sort(dim=1).values
    values, decoded = torch.zeros(support.shape, dtype=x.dtype), torch.zeros_like(x)
    mu = (1 / (d * d).sum(dim=1).max()).expand(len(x), 1)
    for iteration in range(n_iterations):
        if iteration:
            c = (x - decoded) @ d.T
        on_support = c.gather(1, support)
        along = _decode(on_support, support, d).square().sum(dim=1, keepdim=True)
        mu = torch.where(along > 0, on_support.square().sum(dim=1, keepdim=True) / along, mu)
        new, fresh = _threshold(c, mu, support, values, s)
        new_decoded = _decode(fresh, new, d)
        rows = (new != support).any(dim=1).nonzero()[:, 0]
        for _ in range(MAX_HALVINGS):
            change2 = _change2(support[rows], values[rows], new[rows], fresh[rows])
            along = (new_decoded[rows] - decoded[rows]).square().sum(dim=1)
            changed = (new[rows] != support[rows]).any(dim=1)
            rows = rows[changed & (mu[rows, 0] * along > SAFE * change2)]
            if not len(rows):
                break
            mu[rows] /= 2
            new[rows], fresh[rows] = _threshold(c[rows], mu[rows], support[rows], values[rows], s)
            new_decoded[rows] = _decode(fresh[rows], new[rows], d)
        support, values, decoded = new, fresh, new_decoded
    order = values.abs().argsort(dim=1, descending=True)
    return support.gather(1, order), values.gather(1, order)


def _decode(values: Any, support: Any, d: Any) -> Any:
    return (values[:, None, :] @ d[support])[:, 0]


def _threshold(c: Any, mu: Any, support: Any, values: Any, s: int) -> tuple[Any, Any]:
    """Support, sorted, and entries of H_s(a + mu c)."""
    moved = (mu * c).scatter_add_(1, support, values)
    new = moved.abs().topk(s, dim=1, sorted=False).indices.sort(dim=1).values
    return new, moved.gather(1, new)


def _change2(support: Any, values: Any, new: Any, fresh: Any) -> Any:
    """||a' - a||^2 (B,)."""
    shared = (new[:, :, None] == support[:, None, :]) * fresh[:, :, None] * values[:, None, :]
    return fresh.square().sum(dim=1) + values.square().sum(dim=1) - 2 * shared.sum(dim=(1, 2))
