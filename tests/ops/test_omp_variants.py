"""`omp` with selection="ols" and with positive=True."""

import numpy as np
import pytest
from scipy.optimize import nnls

import sparsefast
from sparsefast import Status
from tests.ops.helper import CELLS, F, N, S, bound, problem

OLS = [backend for op, backend in CELLS if op.row == "ols"]
POSITIVE = [backend for op, backend in CELLS if op.row == "positive"]


@pytest.mark.parametrize("backend", OLS)
def test_ols_selects_the_atom_that_leaves_the_smallest_residual(backend):
    x, d = problem()
    code = sparsefast.omp(x, d, 3, selection="ols", backend=backend)
    for row in range(N):
        support: list[int] = []
        for selected in code.indices[row]:
            residuals = [
                np.linalg.norm(x[row] - d[[*support, i]].T @ np.linalg.lstsq(d[[*support, i]].T, x[row])[0])
                for i in range(len(d))
            ]
            assert residuals[selected] <= min(residuals) + bound("float64")
            support.append(int(selected))


@pytest.mark.parametrize("backend", OLS)
def test_ols_starts_as_omp_does_and_its_second_atom_leaves_no_more(backend):
    x, d = problem()
    omp, ols = (sparsefast.omp(x, d, 2, selection=name, backend=backend) for name in ("omp", "ols"))
    np.testing.assert_array_equal(omp.indices[:, 0], ols.indices[:, 0])  # for unit atoms
    left = [np.linalg.norm(x - code.decode(d), axis=1) for code in (omp, ols)]
    assert (left[1] <= left[0] + bound("float64")).all()
    assert (omp.indices != ols.indices).any()


@pytest.mark.parametrize("backend", POSITIVE)
def test_positive_coefficients_are_the_non_negative_least_squares_on_their_support(backend):
    x, d = problem()
    code = sparsefast.omp(x, d, S, positive=True, backend=backend)
    assert (code.counts > 1).all()
    for row in range(N):
        support, values = code.indices[row, : code.counts[row]], code.values[row, : code.counts[row]]
        assert (values > 0).all()
        np.testing.assert_allclose(values, nnls(d[support].T, x[row])[0], atol=bound("float64"), rtol=0)


@pytest.mark.parametrize("backend", POSITIVE)
def test_positive_needs_a_positive_correlation(backend):
    d = np.eye(F)
    code = sparsefast.omp(np.stack([-d[0], d[1] - d[2], 0 * d[0]]), d, 3, positive=True, backend=backend)
    assert code.counts.tolist() == [0, 1, 0]
    assert code.indices[1, 0] == 1
    assert (code.status == Status.ORTHOGONAL).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"selection": "spams"}, ValueError, "omp: selection='spams'; it must be 'omp' or 'ols'"),
        ({"selection": None}, ValueError, "omp: selection=None; it must be 'omp' or 'ols'"),
        ({"positive": 1}, TypeError, "omp: positive=1; it must be True or False"),
        ({"positive": np.ones(3)}, TypeError, "omp: positive="),
        ({"selection": "ols", "positive": True}, ValueError, "omp: positive=True goes with selection='omp' only"),
    ],
    ids=str,
)
def test_a_variant_that_is_none_is_refused(options, error, message):
    with pytest.raises(error) as raised:
        sparsefast.omp(*problem(), S, **options)
    assert str(raised.value).startswith(message)


def test_a_variant_without_a_kernel_is_refused_under_its_own_name():
    with pytest.raises(sparsefast.BackendUnavailable, match="ols: backend 'cuda' cannot run on float64 arrays on CPU"):
        sparsefast.omp(*problem(), S, selection="ols", backend="cuda")
