"""The check of iterative hard thresholding: it tells rounding from a fault."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms
from sparsefast.bench.checks.iht import IhtChecker, hard_threshold

N, F, K, S, ITERATIONS = 40, 15, 27, 3, 12


def problem(dtype="float32"):
    rng = np.random.default_rng(9)
    dictionary = rng.standard_normal((K, F))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    signals = rng.standard_normal((N, F)) + 2 * dictionary[rng.integers(K, size=N)]
    return Problem(signals.astype(dtype), dictionary.astype(dtype), S, n_iterations=ITERATIONS)


def pursue(p, n_iterations=ITERATIONS, halve=True, dtype=np.float64):
    """The definition, a signal at a time."""
    d = p.dictionary.astype(dtype)
    dense = np.zeros((N, K), dtype=p.signals.dtype)
    for n, x in enumerate(p.signals.astype(dtype)):
        a = np.zeros(K, dtype=dtype)
        for iteration in range(n_iterations):
            c = d @ (x - a @ d)
            support = top(c if iteration == 0 else a)
            along = c[support] @ d[support]
            mu = (c[support] @ c[support]) / (along @ along)
            new = threshold(a + mu * c)
            for _ in range(30 if halve else 0):
                change = new - a
                if set(top(new)) == set(support) or mu * np.sum((change @ d) ** 2) <= 0.99 * np.sum(change**2):
                    break
                mu /= 2
                new = threshold(a + mu * c)
            a = new
        dense[n] = a
    order = np.argsort(-np.abs(dense), axis=1)[:, :S]
    return Code(order, np.take_along_axis(dense, order, axis=1), np.full(N, S))


def top(a):
    return np.sort(np.argsort(-np.abs(a))[:S])


def threshold(a):
    out = np.zeros_like(a)
    out[top(a)] = a[top(a)]
    return out


def check(p, code):
    return IhtChecker(p).check(code, N, Terms())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_result_passes_and_so_does_one_with_rounding(dtype):
    p = problem(dtype)
    assert check(p, pursue(p)) is None
    assert check(p, pursue(p, dtype=np.dtype(dtype).type)) is None


def test_few_rows_of_this_problem_are_left_to_rounding():
    """So that the tests below are of rows that the check decides."""
    checker = IhtChecker(problem())
    rounding = checker.rounding(Terms())
    checker._run(np.arange(N), rounding)
    runs = [checker._runs[rounding, n] for n in range(N)]
    assert sum(((r != 0) == (r[0] != 0)).all() for r in runs) > 0.9 * N


def one_iteration_less(p):
    return pursue(p, ITERATIONS - 1)


def steps_that_are_not_halved(p):
    return pursue(p, halve=False)


def perturbed(p):
    code = pursue(p)
    code.values[:, 1] *= 1 + 1e-3
    return code


def swapped_atom(p):
    code = pursue(p)
    code.indices[:, -1] = [next(i for i in range(K) if i not in row) for row in code.indices.tolist()]
    return code


def least_squares(p):
    """A better fit on the same support: another algorithm."""
    code = pursue(p, 2)
    for n in range(N):
        code.values[n] = np.linalg.lstsq(p.dictionary[code.indices[n]].T, p.signals[n], rcond=None)[0]
    return code


def twice(p):
    code = pursue(p)
    code.indices[:, 1] = code.indices[:, 0]
    return code


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (one_iteration_less, "is off by"),
        (steps_that_are_not_halved, "support"),
        (perturbed, "is off by"),
        (swapped_atom, "support"),
        (least_squares, "support"),
        (twice, "selected twice"),
    ],
)
def test_a_wrong_result_is_caught_and_named(wrong, reason):
    assert reason in str(check(problem(), wrong(problem())))


def test_where_runs_part_the_residual_must_be_one_of_theirs():
    """Two atoms that are one: which of them is kept is rounding, and either is right; half of it is not."""
    p = problem()
    p.dictionary[5], p.signals[:6] = p.dictionary[11], p.signals[:6] + 3 * p.dictionary[11]
    code = pursue(p)
    one = [row for row in range(6) if len({5, 11} & set(code.indices[row].tolist())) == 1]
    assert one
    assert check(p, code) is None
    swapped = {5: 11, 11: 5}
    for row in one:
        code.indices[row] = [swapped.get(i, i) for i in code.indices[row].tolist()]
    assert check(p, code) is None
    code.values[one[0]] /= 2
    assert f"first signal {one[0]}: residual" in str(check(p, code))


def test_a_problem_that_rounding_decides_cannot_be_checked():
    p = problem()
    p.dictionary[1::2] = p.dictionary[:-1:2]
    assert "rows, too many to check by the rest" in str(check(p, pursue(p)))


def test_a_threshold_keeps_the_largest():
    a = np.array([[1.0, -3.0, 2.0, 0.5], [0.0, 0.0, -1.0, 4.0]])
    np.testing.assert_array_equal(hard_threshold(a, 2), [[0, -3, 2, 0], [0, 0, -1, 4]])
    np.testing.assert_array_equal(hard_threshold(a, 4), a)
