"""`omp_masked`: what the mask hides has no say, and what is known fills it in."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import Status
from tests.data import sparse_problem
from tests.ops.helper import CELLS, F, N, S, assert_same, bound, in_torch, problem


@pytest.fixture(params=[backend for op, backend in CELLS if op.row == "omp_masked"], autouse=True)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


def some_mask(shape=(N, F), share=0.7):
    return np.random.default_rng(5).random(shape) < share


def test_where_nothing_is_hidden_it_is_omp():
    x, d = problem()
    code, expected = sparsefast.omp_masked(x, np.ones((N, F), bool), d, S), sparsefast.omp(x, d, S)
    np.testing.assert_array_equal(code.indices, expected.indices)
    np.testing.assert_allclose(code.values, expected.values, atol=bound("float64"), rtol=0)


def test_what_is_hidden_changes_nothing_whatever_it_is():
    x, d = problem("float32")
    mask = some_mask()
    expected = sparsefast.omp_masked(x, mask, d, S)
    for hidden in (0, 1e30, np.nan, np.inf):
        assert_same(sparsefast.omp_masked(np.where(mask, x, hidden).astype("f"), mask, d, S), expected)


@pytest.mark.parametrize("shape", [(N, F), (F,), (1, F), (N, 1), (1, 1), (1,), ()], ids=str)
def test_a_mask_broadcasts_to_the_signals(shape):
    x, d = problem("float32")
    mask = np.asarray(some_mask(shape, 0.8))
    expected = sparsefast.omp_masked(x, np.ascontiguousarray(np.broadcast_to(mask, (N, F))), d, S)
    assert_same(sparsefast.omp_masked(x, mask, d, S), expected)
    assert_same(sparsefast.omp_masked(*in_torch(x, mask, d), S), expected)
    assert_same(sparsefast.omp_masked(x, np.asfortranarray(mask), d, S), expected)


@pytest.mark.parametrize("shape", [(2, 3, F), (3, F), (2, 1, F), (F,)], ids=str)
def test_a_mask_has_the_batch_dimensions_of_the_signals(shape):
    x, d = problem(batch=(2, 3))
    mask = some_mask(shape)
    code = sparsefast.omp_masked(x, mask, d, S)
    flat = sparsefast.omp_masked(x.reshape(6, F), np.broadcast_to(mask, x.shape).reshape(6, F), d, S)
    assert_same(code[0], flat, rows=slice(0, 3))
    assert_same(code[1], flat, rows=slice(3, 6))
    one = sparsefast.omp_masked(x[1, 2], np.broadcast_to(mask, x.shape)[1, 2], d, S)
    assert_same(one, flat, rows=5)


def test_what_is_known_fills_in_what_is_hidden():
    p = sparse_problem(40, 64, 90, 3, noise=0.0)
    mask = some_mask(p.signals.shape, 0.6)
    code = sparsefast.omp_masked(np.where(mask, p.signals, np.nan), mask, p.dictionary, 12, tol=1e-9)
    assert (code.status == Status.TOLERANCE).all()
    exact = code.counts == 3  # OMP may go astray on the way, and then fits what it sees with more atoms
    assert exact.mean() > 0.8
    np.testing.assert_allclose(code.decode(p.dictionary)[exact], p.signals[exact], atol=1e-8)


def test_tol_is_the_norm_over_the_known_features():
    x, d = problem()
    mask = some_mask()
    code = sparsefast.omp_masked(x, mask, d, F, tol=1.0)
    stopped = code.status == Status.TOLERANCE
    residual = np.linalg.norm(np.where(mask, x - code.decode(d), 0), axis=1)
    assert stopped.any()
    assert (residual[stopped] <= 1.0).all()
    assert (np.linalg.norm(x - code.decode(d), axis=1)[stopped] > 1.0).any()


def test_no_more_atoms_than_known_features():
    x, d = problem()
    mask = np.zeros((N, F), bool)
    mask[:, :3] = True
    code = sparsefast.omp_masked(x, mask, d, S)
    assert (code.counts == 3).all()
    assert (code.status == Status.EXHAUSTED).all()
    nothing = sparsefast.omp_masked(x, np.zeros(F, bool), d, S)
    assert (nothing.counts == 0).all()
    assert not nothing.decode(d).any()


def test_check_finite_looks_at_what_is_known_alone():
    x, d = problem()
    x[4, 2] = np.nan
    mask = np.ones((N, F), bool)
    with pytest.raises(ValueError, match="omp_masked: signals holds NaN or infinity, first in row 4"):
        sparsefast.omp_masked(x, mask, d, S, check_finite=True)
    mask[4, 2] = False
    code = sparsefast.omp_masked(x, mask, d, S, check_finite=True)
    assert (code.status == Status.COMPLETE).all()


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        ([True] * F, TypeError, "mask is a list; it must be a NumPy array"),
        (True, TypeError, "mask is a bool; it must be a NumPy array"),
        (np.ones((N, F)), TypeError, "mask has dtype float64; it must be bool, True where it is known"),
        (np.ones(F, np.uint8), TypeError, "mask has dtype uint8; it must be bool"),
        (torch.ones(F).bool(), TypeError, "signals is a NumPy array and mask a PyTorch tensor; pass both as one kind"),
        (np.ones(F - 1, bool), ValueError, "mask has shape (14,); it must broadcast to the signals' shape (37, 15)"),
        (np.ones((2, N, F), bool), ValueError, "mask has shape (2, 37, 15); it must broadcast to"),
        (np.ones((F, N), bool), ValueError, "mask has shape (15, 37); it must broadcast to"),
    ],
    ids=lambda value: "",
)
def test_a_mask_that_is_none_is_refused(mask, error, message):
    with pytest.raises(error) as raised:
        sparsefast.omp_masked(problem()[0], mask, problem()[1], S)
    assert str(raised.value).startswith(f"omp_masked: {message}")
