"""Peers of `omp_masked`: who codes a signal by what is observed of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code
from sparsefast.bench.contender import Contender, need, version_of
from sparsefast.bench.peers.greedy import SPAMS_TERMS, csc, full

Array = NDArray[Any]
LARGE = 1024.0


def spams_mask() -> Contender:
    """SPAMS's `ompMask`, made for this. It takes what is seen of an atom for a unit vector (decomp.h sets all norms to
    one), so that its coefficients are not least squares, and the check refuses it."""
    module = need("spams", "spams-bin")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        assert problem.mask is not None
        x, d, mask = problem.signals.T, problem.dictionary.T, problem.mask.T
        # As with omp, an eps that is left out is read uninitialised: some signals then get fewer atoms.
        return lambda: module.ompMask(x, d, mask, L=problem.n_nonzero, eps=0.0, numThreads=threads)

    fault = "takes what is seen of an atom for a unit vector"
    return Contender("SPAMS ompMask", version_of("spams-bin", "spams"), bind, csc, SPAMS_TERMS, fault=fault)


def spams() -> Contender:
    """SPAMS's `omp`, signal by signal, on the observed features of the atoms that are brought back to unit norm."""
    module = need("spams", "spams-bin")

    def solve(x: Array, seen: Array, limit: int) -> tuple[Array, Array]:
        column = module.omp(x[:, None], seen, L=limit, eps=0.0, numThreads=1)
        return column.indices, column.data

    note = "signal by signal; order-recursive selection"
    return Contender("SPAMS", version_of("spams-bin", "spams"), _one_by_one(solve), _ragged, SPAMS_TERMS, note=note)


def scikit_learn() -> Contender:
    """scikit-learn's `orthogonal_mp`, signal by signal, on the observed features of atoms brought back to unit norm."""
    linear_model = need("sklearn.linear_model", "scikit-learn")

    def solve(x: Array, seen: Array, limit: int) -> tuple[Array, Array]:
        # It stops where <d, x>^2 is below eps: on a scale of its own that is below rounding.
        scale = LARGE / max(float(np.linalg.norm(x)), float(np.finfo(x.dtype).tiny))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dependent atoms, where it stops, as it should
            dense = linear_model.orthogonal_mp(seen, scale * x, n_nonzero_coefs=limit, copy_X=False)
        support = np.flatnonzero(dense)
        return support, dense[support] / scale

    version = version_of("scikit-learn")
    return Contender("scikit-learn", version, _one_by_one(solve), _ragged, note="signal by signal")


def _one_by_one(solve: Callable[[Array, Array, int], tuple[Array, Array]]) -> Callable[[Problem, int], Any]:
    """Calls solve(x (F',), seen atoms (F', K) of unit norm, limit) for each signal; indices and values of each."""

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        masks, atoms, n_nonzero = problem.mask, problem.dictionary, problem.n_nonzero
        assert masks is not None

        def call() -> Any:
            out = []
            for x, mask in zip(problem.signals, masks, strict=True):
                seen = atoms.compress(mask, axis=1)
                norms = np.sqrt(np.einsum("kf,kf->k", seen, seen))
                norms[norms == 0] = 1
                seen /= norms[:, None]
                support, values = solve(x[mask], seen.T, min(n_nonzero, *seen.shape))
                out.append((support, values / norms[support]))
            return out

        return call

    return bind


def _ragged(result: Any, problem: Problem) -> Code:
    counts = np.array([len(support) for support, _ in result])
    indices = np.zeros((len(result), problem.n_nonzero), dtype=np.int64)
    values = np.zeros((len(result), problem.n_nonzero), dtype=problem.signals.dtype)
    for n, (support, coefficients) in enumerate(result):
        indices[n, : counts[n]], values[n, : counts[n]] = support, coefficients
    return Code(indices, values, counts)


def torch() -> Contender:
    """Batched masked OMP in plain PyTorch: a product, an argmax and a batched Cholesky solve a step, in chunks."""
    module = need("torch", "torch")

    def bind(problem: Problem, threads: int) -> Callable[[], Any]:
        x, d, m = (module.from_numpy(a) for a in (problem.signals, problem.dictionary, problem.mask))
        return lambda: torch_masked(x, m, d, problem.n_nonzero)

    return Contender("torch", version_of("torch"), bind, full, note="a loop of products and batched solves")


def torch_masked(x: Any, mask: Any, d: Any, n_nonzero: int, chunk_bytes: int = 1 << 20) -> tuple[Any, Any]:
    """Indices and values (N, S) of signals x (N, F) seen through mask (N, F), S entries in each row or more, in a
    dictionary d (K, F)."""
    import torch

    steps = min(n_nonzero, *d.shape)
    squares, norms = (d * d).T.contiguous(), d.norm(dim=1)
    chunk = max(64, chunk_bytes // (d.shape[0] * d.element_size()))
    indices = torch.zeros((len(x), steps), dtype=torch.int64)
    values = torch.zeros((len(x), steps), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        m = mask[start : start + chunk].to(x.dtype)
        part = x[start : start + chunk] * m
        seen = (m @ squares).sqrt_()
        weights = torch.where(seen > 0, norms / seen, 0)
        residual, support = part, indices[start : start + chunk]
        for step in range(steps):
            best = (residual @ d.T).mul_(weights).abs_().argmax(dim=1)
            support[:, step] = best
            weights.scatter_(1, best[:, None], 0.0)
            atoms = d[support[:, : step + 1]] * m[:, None, :]
            gram, right = atoms @ atoms.mT, atoms @ part[:, :, None]
            fit = torch.cholesky_solve(right, torch.linalg.cholesky_ex(gram)[0])
            residual = part - (fit.mT @ atoms)[:, 0]
        values[start : start + chunk] = fit[:, :, 0]
    return indices, values
