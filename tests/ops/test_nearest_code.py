"""`nearest_code` against the distances to all codes."""

import numpy as np
import pytest
import torch

import sparsefast
from tests.ops.helper import CELLS, F, K, N, bound, in_torch, problem


@pytest.fixture(params=[backend for op, backend in CELLS if op.row == "nearest_code"], autouse=True)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


def test_it_is_the_smallest_of_all_distances_and_that_distance_is_not_squared():
    x, d = problem()
    distances = np.linalg.norm(x[:, None] - d, axis=2)
    indices, nearest = sparsefast.nearest_code(x, d)
    np.testing.assert_array_equal(indices, distances.argmin(axis=1))
    np.testing.assert_allclose(nearest, distances.min(axis=1), rtol=bound("float64"))


def test_a_code_is_nearest_to_itself_at_distance_zero_and_ties_go_to_the_lowest_index():
    d = problem("float32")[1]
    result = sparsefast.nearest_code(d, np.concatenate([d, d]))
    np.testing.assert_array_equal(result.indices, np.arange(K))
    assert not result.distances.any()


def test_the_distance_of_a_near_code_is_exact_to_rounding():
    d = 1000 * problem("float32")[1]
    x = d + np.float32(2**-8)  # rounded to one of the neighbours of each entry
    expected = np.linalg.norm(x.astype(float) - d, axis=1)
    np.testing.assert_allclose(sparsefast.nearest_code(x, d).distances, expected, rtol=bound("float32", 2 * F))


def test_the_result_indexes_the_codebook():
    x, d = in_torch(*problem("float32", batch=(2, 3)))
    result = sparsefast.nearest_code(x, d)
    assert isinstance(result, sparsefast.NearestCode)
    assert result._fields == ("indices", "distances")
    assert d[result.indices].shape == (2, 3, F)
    # sqrt of a sum of F squares, and the same in another order
    np.testing.assert_allclose(
        torch.linalg.vector_norm(x - d[result.indices], dim=-1), result.distances, rtol=bound("float32", F)
    )


def test_without_a_finite_code_there_is_no_distance():
    x, d = problem()
    result = sparsefast.nearest_code(x, np.full_like(d, np.inf))
    assert not result.indices.any()
    assert np.isnan(result.distances).all()
    assert len(result.indices) == N
