"""The statistics of online dictionary learning, and the atoms that they give, on every backend."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.decomposition._dict_learning import _update_dict

from tests.kernels.ksvd_cases import BACKENDS, ON_CPU, case, objective, online, stats

every_backend = pytest.mark.parametrize("backend", BACKENDS)
fast_backend = pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "reference"])


def products(c):
    """By SciPy: A, B, usage and totals."""
    slots = np.arange(c.values.shape[1]) < c.counts[:, None]
    codes = csr_array((c.values[slots].astype(float), c.indices[slots], np.r_[0, np.cumsum(c.counts)]),
                      shape=(len(c.signals), len(c.dictionary)))  # fmt: skip
    x = c.signals.astype(float)
    usage = np.bincount(c.indices[slots], minlength=len(c.dictionary))
    return (codes.T @ codes).toarray(order="C"), codes.T @ x, usage, np.array([len(x), (x * x).sum()])


@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_are_the_products_of_scipy_and_are_added(backend, dtype):
    c = case(200, 49, 31, 5, dtype)
    for found, expected in zip(stats(c, backend, start=2.0), products(c), strict=True):
        # Sums of at most 200 x 49 terms, whatever the dtype of the signals.
        np.testing.assert_allclose(found - 2, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@fast_backend
def test_the_bits_depend_on_neither_threads_nor_strides(backend):
    c = case(4000, 33, 20, 4, "float32")
    first = stats(c, backend)
    strided = c._replace(signals=np.asfortranarray(c.signals), indices=c.indices.astype(np.int64))
    for again in (stats(c, backend, 2), stats(c, backend, 3), stats(strided, backend)):
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


@every_backend
def test_signals_that_are_not_finite_are_left_out(backend):
    c = case(60, 5, 7, 3)
    c.signals[4, 2], c.signals[9, 0] = np.nan, np.inf
    rest = np.setdiff1d(np.arange(60), [4, 9])
    kept = c._replace(signals=c.signals[rest], indices=c.indices[rest], values=c.values[rest], counts=c.counts[rest])
    for a, b in zip(stats(c, backend), stats(kept, backend), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_bad_code_adds_nothing(backend):
    c = case(20, 5, 6, 2)
    c.indices[int(np.flatnonzero(c.counts)[0]), 0] = 6
    with pytest.raises(ValueError, match="names an atom that is not one of 6"):
        stats(c, backend)


@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_atoms_are_those_of_scikit_learn(backend, dtype):
    c = case(500, 20, 15, 4)
    a, b, _, _ = products(c)
    expected = c.dictionary.copy()
    # Its update works in place on a C-contiguous (n_components, n_features), from A and B transposed.
    _update_dict(expected, np.empty((0, 20)), np.empty((0, 15)), A=a, B=np.asfortranarray(b.T), random_state=0)
    found = online(a, b, c.dictionary.astype(dtype), backend)
    np.testing.assert_allclose(found, expected, atol=1e-12 if dtype == "float64" else 3e-7)


@every_backend
def test_the_objective_falls_with_every_pass_and_constraints_hold(backend):
    c = case(500, 20, 15, 4)
    a, b, _, _ = products(c)
    start = c.dictionary * 0.5
    errors = [objective(c, online(a, b, start, backend, n_iterations=n), c.values) for n in (1, 2, 3, 10)]
    assert all(after < before for before, after in pairwise(errors))
    assert (np.linalg.norm(online(a, b, start, backend, n_iterations=3), axis=1) <= 1 + 1e-14).all()
    on_sphere = online(a, b, start, backend, n_iterations=2, sphere=True)
    np.testing.assert_allclose(np.linalg.norm(on_sphere, axis=1), 1, rtol=1e-13)


@every_backend
def test_atoms_that_no_signal_used_stay(backend):
    c = case(100, 6, 8, 2)
    a, b, _, _ = products(c)
    a[3], a[:, 3], b[3] = 0, 0, 0
    b[5] = np.nan
    found = online(a, b, c.dictionary, backend, n_iterations=2)
    np.testing.assert_array_equal(found[[3, 5]], c.dictionary[[3, 5]])
    assert not (found[[0, 1, 2]] == c.dictionary[[0, 1, 2]]).any()
