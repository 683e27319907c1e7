"""The check of masked pursuits: what is hidden counts for nothing, and an answer that used it is caught."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms, residuals
from sparsefast.bench.checks.greedy import GreedyChecker

N, F, K, S = 30, 14, 31, 3


def problem():
    """Signals that are NaN where they are hidden."""
    rng = np.random.default_rng(5)
    signals, dictionary = rng.standard_normal((N, F)), rng.standard_normal((K, F))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    mask = rng.permuted(np.tile(np.arange(F) < 8, (N, 1)), axis=1)
    signals[~mask] = np.nan
    return Problem(signals.astype(np.float32), dictionary.astype(np.float32), S, mask)


def pursue(problem, score="weighted"):
    """Masked OMP by least squares on the observed features alone, from the definition."""
    indices, values = np.zeros((N, S), dtype=np.int64), np.zeros((N, S), dtype=np.float32)
    whole = problem.dictionary.astype(np.float64)
    for n in range(N):
        mask = problem.mask[n]
        x, seen = problem.signals[n, mask].astype(np.float64), whole[:, mask]
        support: list[int] = []
        fit, r = np.empty(0), x
        for _ in range(S):
            scores = np.abs(seen @ r)
            if score == "weighted":
                lengths = np.linalg.norm(seen, axis=1)
                scores[lengths > 0] *= np.linalg.norm(whole[lengths > 0], axis=1) / lengths[lengths > 0]
            scores[support] = -1
            support.append(int(np.argmax(scores)))
            fit = np.linalg.lstsq(seen[support].T, x, rcond=None)[0]
            r = x - fit @ seen[support]
        indices[n], values[n] = support, fit
    return Code(indices, values, np.full(N, S))


def check(problem, code):
    return GreedyChecker(problem).check(code, N, Terms())


def test_a_right_result_passes_whatever_is_hidden():
    assert check(problem(), pursue(problem())) is None


def test_atoms_that_were_compared_without_their_weights_are_caught():
    assert "took atom" in str(check(problem(), pursue(problem(), score="plain")))


def test_coefficients_that_are_not_least_squares_on_the_observed_are_caught():
    """What SPAMS's ompMask does: as if the seen part of an atom had unit norm."""
    code = pursue(problem())
    p = problem()
    seen = np.where(p.mask[4], p.dictionary[code.indices[4]], 0)
    code.values[4] *= np.sum(seen * seen, axis=1)
    assert "first signal 4: coefficients are not least squares" in str(check(p, code))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda code: np.multiply(code.values[9], 1 + 1e-4, out=code.values[9]), "not least squares"),
        (lambda code: code.counts.__setitem__(9, S - 1), "not least squares"),
        (lambda code: code.indices.__setitem__((9, 1), code.indices[9, 0]), "selected twice"),
        (lambda code: code.values.__setitem__((9, 1), np.nan), "not finite"),
    ],
    ids=["perturbed", "short", "twice", "nan"],
)
def test_a_wrong_result_is_caught_and_named(spoil, reason):
    code = pursue(problem())
    spoil(code)
    assert reason in str(check(problem(), code))


def test_a_hidden_atom_is_no_candidate():
    p = problem()
    p.dictionary[3] = 0
    p.dictionary[3, ~p.mask[2]] = 1
    code = pursue(p)
    assert check(p, code) is None
    assert 3 not in code.indices[2]


def test_the_residual_is_that_of_the_observed_features():
    p = problem()
    code = pursue(p)
    x, r = p.signals[0, p.mask[0]], p.signals[0] - code.values[0] @ p.dictionary[code.indices[0]]
    expected = np.linalg.norm(r[p.mask[0]]) / np.linalg.norm(x)
    assert residuals(code, p.signals, p.dictionary, p.mask)[0] == pytest.approx(expected, rel=1e-5)
