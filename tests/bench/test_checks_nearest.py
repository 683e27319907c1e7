"""The check of nearest atoms: each way of being wrong is caught, and what is right passes."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms
from sparsefast.bench.checks.nearest import NearestChecker

N, F, K = 40, 7, 23


def problem(dtype="float32"):
    rng = np.random.default_rng(6)
    return Problem(rng.standard_normal((N, F)).astype(dtype), rng.standard_normal((K, F)).astype(dtype), 1)


def distances(p):
    x, d = p.signals.astype(np.float64), p.dictionary.astype(np.float64)
    return np.sqrt(((x[:, None, :] - d) ** 2).sum(axis=2))


def right(p):
    every = distances(p)
    best = every.argmin(axis=1)
    return Code(best[:, None], every.min(axis=1)[:, None].astype(p.signals.dtype), np.ones(N, dtype=int))


def check(p, code, **terms):
    return NearestChecker(p).check(code, N, Terms(**terms))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_result_passes(dtype):
    assert check(problem(dtype), right(problem(dtype))) is None


def second_nearest(p, code):
    order = np.argsort(distances(p)[3])
    code.indices[3, 0], code.values[3, 0] = order[1], distances(p)[3, order[1]]


def perturbed(p, code):
    code.values[3, 0] *= 1 + 1e-5


def squared(p, code):
    np.square(code.values, out=code.values)


def largest_inner_product(p, code):
    code.indices[:, 0] = (p.signals @ p.dictionary.T).argmax(axis=1)


def none(p, code):
    code.counts[3] = 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (second_nearest, "first signal 3: took atom"),
        (perturbed, "first signal 3: distance"),
        (squared, "distance"),
        (largest_inner_product, "took atom"),
        (none, "0 atoms where one is nearest"),
    ],
)
def test_a_wrong_result_is_caught_and_named(spoil, reason):
    code = right(problem())
    spoil(problem(), code)
    assert reason in str(check(problem(), code))


def test_an_exact_tie_may_go_either_way():
    p = problem()
    p.dictionary[5] = p.dictionary[11]
    p.signals[8] = p.dictionary[11] + 0.01
    code = right(p)
    assert (code.indices == 5).any()
    code.indices[code.indices == 5] = 11
    assert check(p, code) is None


def test_a_distance_from_products_is_right_for_those_who_say_so():
    """Far from the origin and near the atom, ||x||^2 - 2 <x, d> + ||d||^2 has lost all that the distance was."""
    p = problem()
    p.signals[:] = 1000
    p.dictionary[0] = 1000.125
    code = right(p)
    assert check(p, code) is None
    code.values[:] = 1
    assert check(p, code, expands=True) is None
    assert "distance" in str(check(p, code))


def test_the_residual_is_what_is_found_and_not_what_was_said():
    p = problem()
    code = right(p)
    code.values[:] = 0
    expected = distances(p).min(axis=1) / np.sqrt(np.mean(np.sum(p.signals.astype(np.float64) ** 2, axis=1)))
    np.testing.assert_allclose(NearestChecker(p).residuals(code, N), expected, rtol=1e-12)
