"""`omp`: tolerances, the Gram matrix, and what it does at the limits. What all ops promise is in test_every_op."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import Status
from tests.ops.helper import CELLS, F, N, S, bound, problem


@pytest.fixture(params=[backend for op, backend in CELLS if op.row == "omp"], autouse=True)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


def test_every_signal_of_a_random_problem_is_complete():
    code = sparsefast.omp(*problem("float32"), S)
    assert (code.counts == S).all()
    assert (code.status == Status.COMPLETE).all()


def test_tol_is_the_norm_of_the_residual_and_not_its_square():
    x, d = problem()
    code = sparsefast.omp(x, d, F, tol=1.5)
    residual = np.linalg.norm(x - code.decode(d), axis=1)
    assert (residual <= 1.5).all()
    assert (code.status == Status.TOLERANCE).all()
    for row in np.flatnonzero(code.counts > 1):
        shorter = sparsefast.omp(x[row], d, int(code.counts[row]) - 1)
        assert np.linalg.norm(x[row] - shorter.decode(d)) > 1.5


def test_tol_may_be_one_for_each_signal_of_any_real_dtype():
    x, d = problem("float32")
    tol = np.linspace(0.1, 3, N)
    code = sparsefast.omp(x, d, S, tol=tol)
    assert code.equals(sparsefast.omp(x, d, S, tol=tol.astype(np.float32)))
    assert code.equals(sparsefast.omp(torch.from_numpy(x), torch.from_numpy(d), S, tol=torch.from_numpy(tol)))
    for row in (0, 17, N - 1):
        one = sparsefast.omp(x[row : row + 1], d, S, tol=float(np.float32(tol[row])))
        assert one.equals(code[row : row + 1])
    for same in (1, np.float32(1), np.array(1.0), np.float64(1)):
        assert sparsefast.omp(x, d, S, tol=same).equals(sparsefast.omp(x, d, S, tol=1.0))
    assert (sparsefast.omp(x, d, S, tol=float("inf")).counts == 0).all()
    # Never true of a norm: such an entry never stops its signal.
    assert sparsefast.omp(x, d, S, tol=np.full(N, np.nan)).equals(sparsefast.omp(x, d, S))


@pytest.mark.parametrize("batch", [(), (2, 3), (3, 0)], ids=str)
def test_tol_has_the_batch_dimensions_of_the_signals(batch):
    x, d = problem(batch=batch)
    tol = np.linspace(0.1, 3, int(np.prod(batch)))
    code = sparsefast.omp(x, d, S, tol=tol.reshape(batch))
    flat = sparsefast.omp(x.reshape(-1, F), d, S, tol=tol)
    np.testing.assert_array_equal(code.values.reshape(-1, S), flat.values)
    np.testing.assert_array_equal(code.status.reshape(-1), flat.status)
    assert code.decode(d).shape == (*batch, F)


def test_a_gram_that_is_given_changes_no_answer():
    x, d = problem()
    expected = sparsefast.omp(x, d, S).decode(d)
    for dictionary, options in ((d, {"gram": d @ d.T}), (sparsefast.prepare(d, d @ d.T), {})):
        code = sparsefast.omp(x, dictionary, S, **options)
        np.testing.assert_allclose(code.decode(d), expected, atol=bound("float64"), rtol=0)


def test_more_atoms_than_features_stops_there_with_that_status():
    x, d = problem()
    code = sparsefast.omp(x, d, F + 3)
    assert code.values.shape == (N, F + 3)
    assert (code.counts <= F).all()
    assert set(code.status.tolist()) <= {Status.EXHAUSTED, Status.ORTHOGONAL, Status.DEPENDENT}
    assert (code.values[:, F:] == 0).all()
    assert (code.indices[:, F:] == 0).all()


def test_a_signal_that_could_not_be_coded_decodes_to_nan():
    x, d = problem("float32")
    x[3, 2] = np.nan
    assert np.isnan(sparsefast.omp(x, d, S).decode(d)).all(axis=1).nonzero()[0].tolist() == [3]
