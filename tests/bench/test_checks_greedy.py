"""A pursuit that is wrong has no speed: each way of being wrong is caught, and what is right passes."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms, from_csc, from_dense, residuals, sample_rows
from sparsefast.bench.checks.greedy import GreedyChecker

N, F, K, S = 40, 13, 29, 4


def problem(dtype="float32"):
    rng = np.random.default_rng(3)
    signals, dictionary = rng.standard_normal((N, F)), rng.standard_normal((K, F))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    return signals.astype(dtype), dictionary.astype(dtype)


def check(signals, dictionary, code, measured="omp", **terms):
    return GreedyChecker(Problem(signals, dictionary, S), measured).check(code, N, Terms(**terms))


def pursue(signals, dictionary, n_nonzero=S, selection="omp"):
    """OMP, or OLS by trying every atom, written from the definitions and sharing nothing with the checker."""
    d = dictionary.astype(np.float64)
    indices = np.zeros((len(signals), n_nonzero), dtype=np.int32)
    values = np.zeros((len(signals), n_nonzero), dtype=signals.dtype)
    for n, x in enumerate(signals.astype(np.float64)):
        support: list[int] = []
        fit, r = np.empty(0), x
        for _ in range(n_nonzero):
            if selection == "omp":
                scores = np.abs(d @ r)
            else:
                scores = np.array(
                    [-np.linalg.norm(x - lstsq(d[[*support, i]], x) @ d[[*support, i]]) for i in range(K)]
                )
            scores[support] = -np.inf
            support.append(int(np.argmax(scores)))
            fit = lstsq(d[support], x)
            r = x - fit @ d[support]
        indices[n], values[n] = support, fit
    return Code(indices, values, np.full(len(signals), n_nonzero, dtype=np.int32))


def lstsq(atoms, x):
    return np.linalg.lstsq(atoms.T, x, rcond=None)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("selection", ["omp", "ols"])
def test_a_right_result_passes(selection, dtype):
    signals, dictionary = problem(dtype)
    code = pursue(signals, dictionary, selection=selection)
    assert check(signals, dictionary, code, selection) is None
    assert check(signals, dictionary, code, selection=selection) is None


@pytest.mark.parametrize(("selection", "measured"), [("omp", "ols"), ("ols", "omp")])
def test_another_algorithm_is_another(selection, measured):
    signals, dictionary = problem()
    assert "took atom" in str(check(signals, dictionary, pursue(signals, dictionary, selection=selection), measured))


def off_by_a_little(code):
    code.values[7, 2] *= 1 + 1e-4


def second_best_atom_last(code):
    signals, dictionary = problem()
    support = code.indices[7, : S - 1]
    r = signals[7] - lstsq(dictionary[support], signals[7]) @ dictionary[support]
    scores = np.abs(dictionary @ r)
    code.indices[7, -1] = np.argsort(scores)[-2]
    code.values[7] = lstsq(dictionary[code.indices[7]], signals[7])


def one_atom_too_few(code):
    signals, dictionary = problem()
    code.counts[7] = S - 1
    code.values[7, :-1] = lstsq(dictionary[code.indices[7, :-1]], signals[7])


def same_atom_twice(code):
    code.indices[7, 1] = code.indices[7, 0]


def stale_row(code):
    code.indices[7], code.values[7] = code.indices[6], code.values[6]


def all_zero(code):
    code.counts[:] = 0
    code.values[:] = 0


def last_row_unwritten(code):
    code.values[-1] = np.nan


def index_out_of_range(code):
    code.indices[7, 1] = K


def count_too_large(code):
    code.counts[7] = S + 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (off_by_a_little, "not least squares"),
        (second_best_atom_last, "took atom"),
        (one_atom_too_few, "stopped after 3 atoms"),
        (same_atom_twice, "selected twice"),
        (stale_row, "not least squares"),
        (all_zero, "stopped after 0 atoms"),
        (last_row_unwritten, "not finite"),
        (index_out_of_range, "outside 0 .. 28"),
        (count_too_large, "a count of 5"),
    ],
)
def test_a_wrong_result_is_caught_and_named(spoil, reason):
    signals, dictionary = problem()
    code = pursue(signals, dictionary)
    spoil(code)
    assert reason in str(check(signals, dictionary, code))


def test_too_few_codes_are_caught():
    signals, dictionary = problem()
    assert check(signals, dictionary, pursue(signals[:-1], dictionary)) == f"{N - 1} codes for {N} signals"


def test_an_exact_tie_may_go_either_way():
    signals, dictionary = problem()
    dictionary[5] = dictionary[11]
    code = pursue(signals, dictionary)
    assert (code.indices == 5).any()
    code.indices[code.indices == 5] = 11
    assert check(signals, dictionary, code) is None


def test_a_zero_signal_has_no_coefficients_and_no_residual():
    signals, dictionary = problem()
    signals[3] = 0
    code = pursue(signals, dictionary)
    code.counts[3] = 0
    assert check(signals, dictionary, code) is None
    assert residuals(code, signals, dictionary)[3] == 0
    code.values[3, 0] = 1
    assert "zero signal" in str(check(signals, dictionary, code))


def test_stopping_at_a_peers_own_threshold_is_not_wrong():
    signals, dictionary = problem()
    signals *= 1e-3
    code = Code(np.zeros((N, S), int), np.zeros((N, S)), np.zeros(N, int))
    assert check(signals, dictionary, code, stops_below=1.0) is None
    assert check(signals, dictionary, code) is not None


def test_a_squared_residual_that_is_kept_by_subtraction_may_be_zero_early():
    """x is an atom and 1e-3 of another: 1e-6 of ||x||^2 is some eight roundings of it in float32, 1e-2 is not."""
    dictionary = np.eye(F, dtype=np.float32)
    signals = np.tile(dictionary[3], (N, 1))
    code = Code(np.full((N, S), 3), np.tile(np.float32([1, 0, 0, 0]), (N, 1)), np.ones(N, int))
    signals[:, 5] = 1e-3
    assert "stopped after 1 atoms" in str(check(signals, dictionary, code))
    assert check(signals, dictionary, code, subtracts=True) is None
    signals[:, 5] = 1e-1
    assert "stopped after 1 atoms" in str(check(signals, dictionary, code, subtracts=True))


def test_an_atom_in_the_span_of_the_support_may_end_a_pursuit_that_subtracts():
    dictionary = np.eye(F, dtype=np.float32)
    dictionary[7] = dictionary[3] + dictionary[5]
    signals = np.tile(dictionary[3] + dictionary[5] / 2 + dictionary[6] / 4, (N, 1))
    code = Code(np.tile([7, 3, 0, 0], (N, 1)), np.tile(np.float32([0.5, 0.5, 0, 0]), (N, 1)), np.full(N, 2))
    assert check(signals, dictionary, code, "ols", subtracts=True) is None
    assert "stopped after 2 atoms" in str(check(signals, dictionary, code, "ols"))


def test_dense_and_columns_are_read_as_the_same_code():
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.zeros((3, 7))
    dense[0, [2, 5]], dense[2, 6] = [1.5, -2], 3
    for code in (from_dense(dense, 2), from_csc(sparse.csc_matrix(dense.T), 2)):
        assert code.counts.tolist() == [2, 0, 1]
        assert code.indices[0].tolist() == [2, 5]
        assert code.values[0].tolist() == [1.5, -2]
        assert code.indices[2, 0] == 6


def test_rows_to_check_hold_both_ends():
    rows = sample_rows(10_000, 100)
    assert len(rows) == len(set(rows.tolist())) == 100
    assert {0, 1, 23, 9_999, 9_976} <= set(rows.tolist())
    assert sample_rows(50, 100).tolist() == list(range(50))
