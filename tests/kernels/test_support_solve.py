"""The systems that differentiate coefficients, in CUDA on the emulated device: against float64 and against what PyTorch
composes (tests/ops has its gradcheck)."""

import numpy as np
import pytest
import torch

from sparsefast.ops import gradients
from tests.data import sparse_problem
from tests.kernels.helper import ORDERS, kernels

emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
in_every_order = pytest.mark.parametrize("order", ORDERS)


def problem(dtype, n_nonzero, masked):
    p = sparse_problem(40, 24, 60, n_nonzero, 0.1).astype(dtype)
    code = kernels("omp")[0].code(p.signals, p.dictionary, n_nonzero, index_dtype=np.int64)
    rng = np.random.default_rng(1)
    code.counts[::5] = rng.integers(0, n_nonzero, len(code.counts[::5]))
    dictionary = p.dictionary * np.ldexp(1.0, rng.integers(-20, 20, (len(p.dictionary), 1))).astype(dtype)
    grad = rng.standard_normal(code.values.shape).astype(dtype)
    return dictionary, code.indices, code.counts, grad, rng.random(p.signals.shape) < 0.8 if masked else None


def solve(order, dictionary, indices, counts, grad, mask):
    from sparsefast.kernels.cuda.support_solve import support_solve

    emulated.set_order(order)
    solved, through = np.full_like(grad, -7), np.full((len(grad), dictionary.shape[1]), -7, grad.dtype)
    support_solve(dictionary, indices, counts, grad, mask, solved, through)
    return solved, through


@in_every_order
@pytest.mark.parametrize("masked", [False, True], ids=["all features", "masked"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_solves_the_normal_equations_of_each_support(order, dtype, masked):
    dictionary, indices, counts, grad, mask = problem(dtype, 5, masked)
    solved, through = solve(order, dictionary, indices, counts, grad, mask)
    eps = np.finfo(dtype).eps
    for n, k in enumerate(counts):
        atoms = dictionary[indices[n, :k]].astype(np.float64) * (1 if mask is None else mask[n])
        norms = np.linalg.norm(atoms, axis=1)
        system = (atoms / norms[:, None]) @ (atoms / norms[:, None]).T
        u = np.linalg.solve(system, grad[n, :k] / norms) / norms
        ridge = 1e-6 if dtype == np.float32 else 0
        bound = (8 * eps * 24 + 2 * ridge) * np.linalg.cond(system) ** 2 if k else 0
        scale = np.linalg.norm(u * norms)
        assert (np.abs(solved[n, :k] - u) * norms <= bound * scale).all()
        assert (solved[n, k:] == 0).all()
        np.testing.assert_allclose(through[n], u @ atoms, rtol=0, atol=2 * bound * scale)


@pytest.mark.parametrize("masked", [False, True], ids=["all features", "masked"])
def test_it_is_what_pytorch_composes(masked):
    arguments = problem(np.float64, 6, masked)
    solved, _ = solve("forward", *arguments)
    dictionary, indices, counts, grad, mask = (None if a is None else torch.from_numpy(a) for a in arguments)
    composed = gradients.support_solve(dictionary, indices, counts, grad, mask).numpy()
    np.testing.assert_allclose(solved, composed, rtol=1e-9, atol=1e-9 * np.abs(composed).max())


def test_more_entries_than_there_is_room_for_are_refused():
    from sparsefast.kernels.cuda.support_solve import largest_support, support_solve

    most = largest_support(np.empty((1, 1), np.float32))
    assert 64 <= most < 100  # of 227 KiB
    n = most + 1
    dictionary, grad = np.eye(n, dtype=np.float32), np.zeros((1, n), np.float32)
    indices, counts = np.arange(n)[None], np.full(1, n, np.int32)
    with pytest.raises(ValueError, match="too many entries"):
        support_solve(dictionary, indices, counts, grad, None, grad.copy())
    support_solve(dictionary, indices[:, :most].copy(), counts - 1, grad[:, :most].copy(), None, grad[:, :most].copy())
