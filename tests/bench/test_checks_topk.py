"""The check of the largest correlations: each way of being wrong is caught, and what is right passes."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms
from sparsefast.bench.checks.topk import TopkChecker

N, F, K, S = 25, 19, 33, 5


def problem(dtype="float32"):
    rng = np.random.default_rng(4)
    return Problem(rng.standard_normal((N, F)).astype(dtype), rng.standard_normal((K, F)).astype(dtype), S)


def right(p):
    c = (p.signals.astype(np.float64) @ p.dictionary.astype(np.float64).T).astype(p.signals.dtype)
    order = np.argsort(-np.abs(c), axis=1)[:, :S]
    return Code(order, np.take_along_axis(c, order, axis=1), np.full(N, S))


def check(p, code):
    return TopkChecker(p).check(code, N, Terms())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_result_passes(dtype):
    assert check(problem(dtype), right(problem(dtype))) is None


def perturbed(p, code):
    code.values[6, 2] *= 1 + 1e-4


def next_best_last(p, code):
    c = p.signals[6] @ p.dictionary.T
    code.indices[6, -1] = np.argsort(-np.abs(c))[S]
    code.values[6, -1] = c[code.indices[6, -1]]


def two_in_each_others_place(p, code):
    for part in (code.indices, code.values):
        part[6, [1, 2]] = part[6, [2, 1]]


def magnitudes(p, code):
    np.abs(code.values, out=code.values)


def one_too_few(p, code):
    code.counts[6] = S - 1


def twice(p, code):
    code.indices[6, 1], code.values[6, 1] = code.indices[6, 0], code.values[6, 0]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (perturbed, "entry 2 has value"),
        (next_best_last, "was left out for atom"),
        (two_in_each_others_place, "decreasing |value|"),
        (magnitudes, "where <d, x> is -"),
        (one_too_few, "only 4 atoms although"),
        (twice, "selected twice"),
    ],
)
def test_a_wrong_result_is_caught_and_named(spoil, reason):
    code = right(problem())
    spoil(problem(), code)
    assert reason in str(check(problem(), code))


def test_an_exact_tie_may_go_either_way():
    p = problem()
    p.dictionary[5] = -p.dictionary[11]
    code = right(p)
    taken = (code.indices == 5) | (code.indices == 11)
    assert taken.any()
    alone = taken & (taken.sum(axis=1, keepdims=True) == 1)
    code.values[alone] *= -1
    code.indices[alone] = 16 - code.indices[alone]
    assert check(p, code) is None


def test_atoms_without_correlation_may_be_left_out():
    p = problem()
    p.signals[:] = 0
    code = right(p)
    code.counts[:] = 0
    assert check(p, code) is None
