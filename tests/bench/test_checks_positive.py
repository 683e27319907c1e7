"""The check of non-negative pursuits: any path that rounding allows is right, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefast.bench.case import Problem
from sparsefast.bench.checks import Code, Terms
from sparsefast.bench.checks.positive import PositiveChecker

N, F, K, S = 60, 11, 37, 5


def problem(dtype="float32"):
    """Atoms that lean to one side, so that some are dropped again."""
    rng = np.random.default_rng(8)
    signals, dictionary = rng.standard_normal((N, F)), rng.standard_normal((K, F)) + 0.7
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    return Problem((signals + 0.4).astype(dtype), dictionary.astype(dtype), S)


def pursue(problem):
    """The definition, with normal equations for each fit: codes, and how many atoms were dropped."""
    d = problem.dictionary.astype(np.float64)
    indices, values = np.zeros((N, S), dtype=np.int64), np.zeros((N, S), dtype=problem.signals.dtype)
    counts, dropped = np.zeros(N, dtype=np.int64), 0
    for n, x in enumerate(problem.signals.astype(np.float64)):
        support: list[int] = []
        gamma: dict[int, float] = {}
        for _ in range(4 * S):
            c = d @ (x - sum((g * d[i] for i, g in gamma.items()), np.zeros(F)))
            c[support] = -np.inf
            if len(support) == S or c.max() < 1e-12:
                break
            new = int(np.argmax(c))
            support.append(new)
            gamma[new] = 0.0
            while True:
                a = d[support]
                z = dict(zip(support, np.linalg.solve(a @ a.T, a @ x), strict=True))
                negative = [i for i in support if z[i] <= 0]
                if not negative:
                    break
                alpha, leaving = min((gamma[i] / (gamma[i] - z[i]), i) for i in negative)
                gamma = {i: gamma[i] + alpha * (z[i] - gamma[i]) for i in support if i != leaving}
                support.remove(leaving)
                dropped += 1
            gamma = z
        counts[n] = len(support)
        indices[n, : counts[n]], values[n, : counts[n]] = support, list(gamma.values())
    return Code(indices, values, counts), dropped


def check(problem, code, **terms):
    return PositiveChecker(problem).check(code, N, Terms(**terms))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_result_passes_though_atoms_come_and_go(dtype):
    code, dropped = pursue(problem(dtype))
    assert dropped > 0
    assert check(problem(dtype), code) is None


def refit(p, code, n):
    """Least squares on the support as it is now, so that only the support can be wrong."""
    atoms = p.dictionary[code.indices[n, : code.counts[n]]].astype(np.float64)
    code.values[n, : code.counts[n]] = np.linalg.lstsq(atoms.T, p.signals[n], rcond=None)[0]


def perturbed(p, code):
    code.values[7, 1] *= 1 + 1e-4


def negative(p, code):
    code.values[7, 1] *= -1


def another_atom(p, code):
    """The first for which the fit is positive too."""
    for i in set(range(K)) - set(code.indices[7].tolist()):
        code.indices[7, 0] = i
        refit(p, code, 7)
        if (code.values[7, : code.counts[7]] > 0).all():
            return
    raise AssertionError("no atom fits")


def one_atom_too_few(p, code):
    n = int(np.flatnonzero(code.counts == S)[0])
    for k in range(S):
        left = np.delete(code.indices[n], k)
        fit = np.linalg.lstsq(p.dictionary[left].T.astype(np.float64), p.signals[n], rcond=None)[0]
        if (fit > 0).all():
            code.counts[n] = S - 1
            code.indices[n, : S - 1], code.values[n, : S - 1] = left, fit
            return
    raise AssertionError("every atom is needed")


def twice(p, code):
    code.indices[7, 1] = code.indices[7, 0]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (perturbed, "not least squares"),
        (negative, "not above zero"),
        (another_atom, "no path ends in"),
        (one_atom_too_few, "no path ends in"),
        (twice, "selected twice"),
    ],
)
def test_a_wrong_result_is_caught_and_named(spoil, reason):
    code, _ = pursue(problem())
    spoil(problem(), code)
    assert reason in str(check(problem(), code))


def test_an_exact_tie_may_go_either_way():
    p = problem()
    p.dictionary[5] = p.dictionary[11]
    code, _ = pursue(p)
    assert (code.indices == 5).any()
    code.indices[code.indices == 5] = 11
    assert check(p, code) is None


def test_the_end_may_be_at_a_peers_own_threshold():
    p = problem()
    code = Code(np.zeros((N, S), int), np.zeros((N, S)), np.zeros(N, int))
    assert "no path ends in the support []" in str(check(p, code))
    assert check(p, code, stops_below=100.0) is None
