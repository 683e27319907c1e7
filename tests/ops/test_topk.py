"""`topk` against a sort of all correlations."""

import numpy as np
import pytest

import sparsefast
from sparsefast import Status
from tests.ops.helper import CELLS, F, K, N, bound, problem


@pytest.fixture(params=[backend for op, backend in CELLS if op.row == "topk"], autouse=True)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


@pytest.mark.parametrize("n_nonzero", [1, 7, F + 3, K])
def test_it_is_the_head_of_the_sorted_correlations(n_nonzero):
    x, d = problem()
    correlations = x @ d.T
    order = np.argsort(-np.abs(correlations), axis=1, kind="stable")[:, :n_nonzero]
    code = sparsefast.topk(x, d, n_nonzero)
    np.testing.assert_array_equal(code.indices, order)
    expected = np.take_along_axis(correlations, order, axis=1)
    np.testing.assert_allclose(code.values, expected, atol=bound("float64"), rtol=0)
    assert (code.status == Status.COMPLETE).all()
    assert (code.counts == n_nonzero).all()


def test_positive_takes_what_correlates_positively_alone():
    x, d = problem()
    correlations = x @ d.T
    code = sparsefast.topk(x, d, K, positive=True)
    np.testing.assert_array_equal(code.counts, (correlations > 0).sum(axis=1))
    for row in range(N):
        expected = np.argsort(-correlations[row], kind="stable")[: code.counts[row]]
        np.testing.assert_array_equal(code.indices[row, : code.counts[row]], expected)
    assert (code.values[code.values != 0] > 0).all()
    np.testing.assert_array_equal(code.status, np.where(code.counts < K, Status.ORTHOGONAL, Status.COMPLETE))


def test_ties_go_to_the_lowest_index_and_what_does_not_correlate_is_left_out():
    d = np.concatenate([np.eye(F), -np.eye(F)])
    x = np.zeros((3, F))
    x[0, [2, 5]], x[1, 7] = (3, -3), 1
    code = sparsefast.topk(x, d, 6)
    assert code.indices.tolist() == [[2, 5, 17, 20, 0, 0], [7, 22, 0, 0, 0, 0], [0] * 6]
    assert code.values.tolist() == [[3, -3, -3, 3, 0, 0], [1, -1, 0, 0, 0, 0], [0] * 6]
    assert code.counts.tolist() == [4, 2, 0]
    assert (code.status == Status.ORTHOGONAL).all()


def test_positive_is_a_bool():
    with pytest.raises(TypeError, match="topk: positive='yes'; it must be True or False"):
        sparsefast.topk(*problem(), 2, positive="yes")
