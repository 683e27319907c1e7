"""The atoms of largest correlation, sorted: against NumPy's sort, exactly where the arithmetic is exact."""

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import few_problems, random_problem
from tests.kernels.helper import Kernel, kernels

all_kernels = pytest.mark.parametrize("kernel", kernels("topk"), ids=str)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_signs = pytest.mark.parametrize("positive", [False, True], ids=["magnitude", "positive"])


@all_kernels
@both_dtypes
@both_signs
def test_equals_numpys_sort_ties_and_all_where_sums_are_exact(kernel: Kernel, dtype: type, positive: bool) -> None:
    # Small integers: every sum is exact, and many correlations are equal or zero.
    rng = np.random.default_rng(0)
    for n_features, n_atoms in ((7, 250), (49, 33), (1, 9), (21, 512)):
        signals = rng.integers(-2, 3, (23, n_features)).astype(dtype)
        dictionary = rng.integers(-1, 2, (n_atoms, n_features)).astype(dtype)
        correlations = signals @ dictionary.T
        scores = np.maximum(correlations, 0) if positive else np.abs(correlations)
        order = np.argsort(-scores, axis=1, kind="stable")
        for n_nonzero in {1, 4, min(17, n_atoms), n_atoms - 1, n_atoms}:
            code = kernel.code(signals, dictionary, n_nonzero, positive=positive)
            expected = order[:, :n_nonzero]
            selected = np.take_along_axis(scores, expected, 1) > 0
            values = np.take_along_axis(correlations, expected, 1)
            np.testing.assert_array_equal(code.counts, selected.sum(axis=1))
            np.testing.assert_array_equal(code.indices, np.where(selected, expected, 0))
            np.testing.assert_array_equal(code.values, np.where(selected, values, 0))
            complete = code.counts == n_nonzero
            np.testing.assert_array_equal(code.status, np.where(complete, Status.COMPLETE, Status.ORTHOGONAL))


@all_kernels
@both_dtypes
@both_signs
def test_no_atom_left_out_is_better_than_rounding(kernel: Kernel, dtype: type, positive: bool) -> None:
    eps = float(np.finfo(dtype).eps)
    for problem in few_problems():
        p = problem.astype(dtype)
        n_features = p.signals.shape[1]
        correlations = p.signals.astype(np.float64) @ p.dictionary.T.astype(np.float64)
        scores = correlations if positive else np.abs(correlations)
        lengths = np.linalg.norm(p.dictionary.astype(np.float64), axis=1)
        # The sum of n_features products; scaled, signals keep all their digits.
        errors = 2 * eps * n_features * np.linalg.norm(p.signals, axis=1)[:, None] * lengths
        code = kernel.code(p.signals, p.dictionary, 6, positive=positive)
        reference = kernel.reference().code(p.signals, p.dictionary, 6, positive=positive)
        n_clear = 0
        for n, (support, values) in enumerate(zip(code.supports(), code.coefficients(), strict=True)):
            assert (np.abs(values - correlations[n, support]) <= errors[n, support]).all()
            assert (np.diff(np.abs(values)) <= 0).all()
            assert not positive or (values > 0).all()
            left_out = np.delete(scores[n] - errors[n], support)
            chosen = (scores[n] + errors[n])[support]
            assert (left_out <= (chosen.min() if len(support) == 6 else 0)).all()
            order = np.argsort(-scores[n])[:7]
            if len(support) == 6 and (-np.diff(scores[n, order]) > 2 * errors[n, order].max()).all():
                np.testing.assert_array_equal(code.indices[n], reference.indices[n])
                n_clear += 1
        assert n_clear >= 0.7 * (code.counts == 6).sum()


@all_kernels
@both_dtypes
def test_orthonormal_atoms_give_back_the_signal(kernel: Kernel, dtype: type) -> None:
    rng = np.random.default_rng(0)
    dictionary = np.linalg.qr(rng.standard_normal((33, 33)))[0].astype(dtype)
    signals = rng.standard_normal((9, 33)).astype(dtype)
    code = kernel.code(signals, dictionary, 33)
    bound = 8 * 33 * np.finfo(dtype).eps * np.linalg.norm(signals, axis=1).max()
    np.testing.assert_allclose(code.dense(33) @ dictionary, signals, rtol=0, atol=bound)


@all_kernels
@both_dtypes
def test_more_nonzeros_than_features_and_prefixes(kernel: Kernel, dtype: type) -> None:
    p = random_problem(9, 5, 40).astype(dtype)
    longest = kernel.code(p.signals, p.dictionary, 40)
    assert (longest.counts == 40).all()
    for n_nonzero in range(1, 40, 3):
        code = kernel.code(p.signals, p.dictionary, n_nonzero)
        np.testing.assert_array_equal(code.indices, longest.indices[:, :n_nonzero])
        np.testing.assert_array_equal(code.values, longest.values[:, :n_nonzero])


@all_kernels
@both_dtypes
def test_equal_and_opposite_atoms_keep_their_order(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 21, 40).astype(dtype)
    single = kernel.code(p.signals, p.dictionary, 4)
    doubled = kernel.code(p.signals, np.concatenate([p.dictionary, -p.dictionary]), 8)
    np.testing.assert_array_equal(doubled.indices[:, ::2], single.indices)
    np.testing.assert_array_equal(doubled.indices[:, 1::2], single.indices + 40)
    np.testing.assert_array_equal(doubled.values[:, 1::2], -single.values)
    positive = kernel.code(p.signals, np.concatenate([p.dictionary, -p.dictionary]), 4, positive=True)
    np.testing.assert_array_equal(positive.indices % 40, single.indices)
    np.testing.assert_array_equal(positive.values, np.abs(single.values))
