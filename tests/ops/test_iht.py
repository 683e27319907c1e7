"""`iht`: where it comes to rest, its step, and what it refuses."""

import numpy as np
import pytest

import sparsefast
from sparsefast import Status
from tests.data import sparse_problem
from tests.ops.helper import CELLS, F, N, S, assert_same, bound, problem


@pytest.fixture(params=[backend for op, backend in CELLS if op.row == "iht"], autouse=True)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


def test_in_an_orthonormal_basis_one_iteration_is_topk():
    d = np.linalg.qr(np.random.default_rng(3).standard_normal((F, F)))[0]
    x = problem()[0]
    expected = sparsefast.topk(x, d, S)
    for step in (None, 1.0):
        code = sparsefast.iht(x, d, S, n_iterations=1, step=step)
        np.testing.assert_array_equal(code.indices, expected.indices)
        np.testing.assert_allclose(code.values, expected.values, atol=bound("float64"), rtol=0)


def test_it_recovers_sparse_signals():
    p = sparse_problem(30, 64, 90, 3, noise=0.0)
    code = sparsefast.iht(p.signals, p.dictionary, 3, n_iterations=300, tol=1e-10)
    recovered = code.status == Status.TOLERANCE
    assert recovered.mean() > 0.8  # not all: it is a descent into a local minimum
    residual = np.linalg.norm(p.signals - code.decode(p.dictionary), axis=1)
    assert (residual[recovered] <= 1e-10).all()


def test_where_it_comes_to_rest_the_coefficients_are_those_of_least_squares():
    x, d = problem()
    code = sparsefast.iht(x, d, S, n_iterations=2000)
    for row in range(N):
        support = code.indices[row, : code.counts[row]]
        fitted = np.linalg.lstsq(d[support].T, x[row])[0]
        np.testing.assert_allclose(code.values[row, : code.counts[row]], fitted, atol=1e-9)


def test_entries_stand_in_order_of_magnitude_and_the_residual_of_a_small_step_falls():
    x, d = problem()
    step = 0.9 / np.linalg.norm(d, 2) ** 2
    before = np.linalg.norm(x, axis=1)
    for n_iterations in (1, 3, 10, 40):
        code = sparsefast.iht(x, d, S, n_iterations=n_iterations, step=step)
        assert (np.diff(np.abs(code.values), axis=1) <= 0).all()
        after = np.linalg.norm(x - code.decode(d), axis=1)
        assert (after <= before + bound("float64")).all()
        before = after


def test_without_a_step_the_norm_of_the_dictionary_does_not_matter():
    x, d = problem()
    expected = sparsefast.iht(x, d, S)
    scaled = sparsefast.iht(x, 8 * d, S)  # a power of two, so that nothing is rounded anew
    np.testing.assert_array_equal(scaled.indices, expected.indices)
    np.testing.assert_allclose(8 * scaled.values, expected.values, atol=bound("float64"), rtol=0)


def test_more_atoms_than_features_says_so():
    x, d = problem()
    code = sparsefast.iht(x, d, F + 3, n_iterations=3)
    assert (code.counts <= F).all()
    assert set(code.status.tolist()) <= {Status.EXHAUSTED, Status.ORTHOGONAL}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_iterations": 0}, ValueError, "n_iterations=0; it must be at least 1"),
        ({"n_iterations": 2.0}, TypeError, "n_iterations=2.0 is a float; it must be an integer"),
        ({"n_iterations": 2**80}, ValueError, "n_iterations=1208925819614629174706176; it must be below 2**63"),
        ({"step": 0}, ValueError, "step=0.0; it must be a number above 0, or None for the normalised step"),
        ({"step": -0.5}, ValueError, "step=-0.5; it must be a number above 0"),
        ({"step": float("nan")}, ValueError, "step=nan; it must be a number above 0"),
        ({"step": float("inf")}, ValueError, "step=inf; it must be a number above 0"),
        ({"step": True}, TypeError, "step=True is a bool; it must be a number above 0, or None"),
        ({"step": "auto"}, TypeError, "step='auto' is a str; it must be a number above 0, or None"),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_named(options, error, message):
    with pytest.raises(error) as raised:
        sparsefast.iht(*problem(), S, **options)
    assert str(raised.value).startswith(f"iht: {message}")


def test_numpy_numbers_will_do():
    x, d = problem("float32")
    expected = sparsefast.iht(x, d, S, n_iterations=7, step=0.25)
    assert_same(sparsefast.iht(x, d, S, n_iterations=np.int16(7), step=np.float32(0.25)), expected)
