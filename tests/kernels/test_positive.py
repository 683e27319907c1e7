"""Non-negative OMP: greedy by the signed correlation, fitted by Lawson and Hanson's non-negative least squares."""

import functools

import numpy as np
import pytest
import scipy.optimize

from sparsefast.kernels.status import Status
from tests.data import Problem, coherent_problem, decoy_problem, few_problems, random_problem
from tests.kernels.helper import Kernel, condition, kernels, lstsq, residual_norms, residuals
from tests.kernels.replay import Replay, check_least_squares

N_NONZERO = 5

all_kernels = pytest.mark.parametrize("kernel", kernels("positive"), ids=str)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@functools.cache
def some_problems() -> tuple[Problem, ...]:
    return (*few_problems(), decoy_problem(40, 23, 37))


@functools.cache
def paths(problem: Problem, dtype: type, eps: float) -> tuple[list[set[tuple[int, ...]] | None], int]:
    """For each signal the supports that rounding may lead to (see `supports`), and how many atoms were dropped."""
    p = problem.astype(dtype)
    found = [supports(Replay(x, p.dictionary, eps, "positive")) for x in p.signals]
    return [outcomes for outcomes, _ in found], sum(n_dropped for _, n_dropped in found)


def supports(replay: Replay) -> tuple[set[tuple[int, ...]] | None, int]:
    """The supports that rounding may lead to, more than one where several atoms are nearly the best; None where it
    decides over a sign. And how many atoms were dropped on the way."""
    limit = min(N_NONZERO, *replay.atoms.shape)
    outcomes: set[tuple[int, ...]] = set()
    n_dropped = 0
    waiting: list[tuple[list[int], np.ndarray]] = [([], np.empty(0))]
    while waiting:
        support, gamma = waiting.pop()
        step = replay.step(np.array(support, int))
        for i in np.flatnonzero(step.scores + step.errors >= (step.scores - step.errors).max()):
            if len(support) == limit or not step.surely[i]:
                outcomes.add(tuple(support))
            if len(support) < limit and step.perhaps[i]:
                after = refit(replay, [*support, int(i)], np.append(gamma, 0.0))
                if after is None:
                    return None, 0
                n_dropped += len(support) + 1 - len(after[0])
                if i in after[0]:
                    waiting.append(after)
                else:
                    outcomes.add(tuple(support))
    return outcomes, n_dropped


def refit(replay: Replay, support: list[int], gamma: np.ndarray) -> tuple[list[int], np.ndarray] | None:
    """The inner loop of Lawson and Hanson; None where rounding decides what it drops."""
    while True:
        selected = replay.atoms[support]
        z = lstsq(replay.x, selected)
        parts = np.linalg.norm(replay.x) + np.abs(z) @ replay.norms[support]
        bound = 4 * replay.eps * (replay.x.size + len(z)) * condition(selected) ** 2 * parts / replay.norms[support]
        if (np.abs(z) <= bound).any():
            return None
        falling = np.flatnonzero(z < 0)
        if not len(falling):
            return support, z
        alphas = gamma[falling] / (gamma[falling] - z[falling])
        first = int(alphas.argmin())
        if len(falling) > 1 and np.partition(alphas, 1)[1] - alphas[first] <= 2 * (bound / np.abs(z)).max():
            return None
        gamma = np.delete(gamma + alphas[first] * (z - gamma), falling[first])
        support = [i for i in support if i != support[falling[first]]]


@all_kernels
@both_dtypes
def test_supports_are_those_that_the_definition_leads_to(kernel: Kernel, dtype: type) -> None:
    n_signals = n_sure = all_dropped = 0
    for problem in some_problems():
        p = problem.astype(dtype)
        code = kernel.code(p.signals, p.dictionary, N_NONZERO)
        reference = kernel.reference().code(p.signals, p.dictionary, N_NONZERO)
        outcomes, n_dropped = paths(problem, dtype, kernel.eps(dtype))
        for n, (support, possible) in enumerate(zip(code.supports(), outcomes, strict=True)):
            assert possible is None or tuple(support) in possible
            replay = Replay(p.signals[n], p.dictionary, kernel.eps(dtype), "positive")
            replay.check_end(support, code.status[n], N_NONZERO)
            if possible is not None and len(possible) == 1 and len(support) == N_NONZERO:
                np.testing.assert_array_equal(code.indices[n], reference.indices[n])
                assert code.status[n] == reference.status[n]
                n_sure += 1
        n_signals, all_dropped = n_signals + len(p.signals), all_dropped + n_dropped
    assert n_sure > 0.7 * n_signals
    assert all_dropped > 20  # the inner loop had work


@all_kernels
@both_dtypes
def test_coefficients_are_positive_and_least_squares(kernel: Kernel, dtype: type) -> None:
    for problem in some_problems():
        p = problem.astype(dtype)
        code = kernel.code(p.signals, p.dictionary, N_NONZERO)
        check_least_squares(p.signals, p.dictionary, code, float(np.finfo(dtype).eps))
        assert all((coefficients > 0).all() for coefficients in code.coefficients())


@all_kernels
def test_coefficients_are_scipys_on_the_support(kernel: Kernel) -> None:
    for p in some_problems()[1], some_problems()[-1]:
        code = kernel.code(p.signals, p.dictionary, N_NONZERO)
        assert (code.counts > 0).all()
        for x, support, coefficients in zip(p.signals, code.supports(), code.coefficients(), strict=True):
            theirs, _ = scipy.optimize.nnls(p.dictionary[support].T, x)  # which crashes where there is no atom
            np.testing.assert_allclose(coefficients, theirs, rtol=0, atol=1e-9)


@all_kernels
@both_dtypes
@pytest.mark.parametrize("problem", [random_problem(15, 12, 30), decoy_problem(30, 17, 11)], ids=["wide", "tall"])
def test_without_a_limit_it_is_non_negative_least_squares(kernel: Kernel, dtype: type, problem: Problem) -> None:
    p = problem.astype(dtype)
    n_nonzero = min(p.dictionary.shape)
    code = kernel.code(p.signals, p.dictionary, n_nonzero)
    assert (code.counts < n_nonzero).mean() > 0.5 or p.dictionary.shape[0] > n_nonzero
    atoms, x = p.dictionary.astype(np.float64), p.signals.astype(np.float64)
    ours = code.dense(len(atoms))
    gradients = residuals(x, atoms, code) @ atoms.T
    eps = float(np.finfo(dtype).eps)
    for n, support in enumerate(code.supports()):
        # The Karush-Kuhn-Tucker conditions, but for the rounding of each <d, r> and the rule ORTHOGONAL.
        parts = np.linalg.norm(x[n]) + np.abs(ours[n]).sum()
        rounding = (32 + 4 * x.shape[1] * condition(atoms[support]) ** 2) * eps * parts
        assert (gradients[n] <= rounding).all()
        assert (gradients[n, support] >= -rounding).all()
        # A convex function exceeds its least value by no more than its gradient times the way there.
        theirs, least = scipy.optimize.nnls(atoms.T, x[n])
        left = np.linalg.norm(x[n] - ours[n] @ atoms)
        assert left**2 <= least**2 + 2 * rounding * (np.abs(theirs).sum() + np.abs(ours[n]).sum()) + 1e-12
        assert left >= least * (1 - 1e-10) - 1e-10


@all_kernels
@both_dtypes
def test_an_atom_that_would_turn_negative_is_dropped(kernel: Kernel, dtype: type) -> None:
    # Atom 0 correlates most with x = (1, 1, -0.1), and once both others are there its coefficient would be -0.3.
    dictionary = np.array([[1, 1, 0.5], [1, 0, 0], [0, 1, 0]], dtype) / np.array([[1.5], [1], [1]], dtype)
    signals = np.array([[1, 1, -0.1]], dtype)
    assert kernel.code(signals, dictionary, 2).indices.tolist() == [[0, 1]]
    code = kernel.code(signals, dictionary, 3)
    assert code.indices.tolist() == [[1, 2, 0]]
    assert code.counts.tolist() == [2]
    assert code.status.tolist() == [Status.ORTHOGONAL]
    np.testing.assert_allclose(code.values, [[1, 1, 0]], rtol=8 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_a_signal_that_all_atoms_point_away_from_has_no_code(kernel: Kernel, dtype: type) -> None:
    p = random_problem(9, 23, 37).astype(dtype)
    code = kernel.code(-np.abs(p.signals), np.abs(p.dictionary), 3)
    assert (code.counts == 0).all()
    assert (code.status == Status.ORTHOGONAL).all()


@all_kernels
@both_dtypes
def test_equals_omp_where_that_is_positive_all_the_way(kernel: Kernel, dtype: type) -> None:
    # Near-orthogonal atoms, each signal three of them with positive weights.
    rng = np.random.default_rng(0)
    dictionary = np.concatenate([np.eye(20), rng.standard_normal((5, 20)) / 20]).astype(dtype)
    signals = np.zeros((12, 25))
    for row in signals:
        row[rng.choice(20, 3, replace=False)] = 1.0, 1.5, 2.0
    x = (signals @ dictionary).astype(dtype)
    code = kernel.code(x, dictionary, 3)
    omp = kernel.named("omp").code(x, dictionary, 3)
    np.testing.assert_array_equal(code.indices, omp.indices)
    np.testing.assert_allclose(code.values, omp.values, rtol=100 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_residual_never_grows_with_n_nonzero(kernel: Kernel, dtype: type) -> None:
    for problem in some_problems()[0], some_problems()[5], some_problems()[-1]:
        p = problem.astype(dtype)
        norms = np.linalg.norm(p.signals, axis=1)
        before = norms.astype(np.float64)
        for n_nonzero in range(1, 10):
            code = kernel.code(p.signals, p.dictionary, n_nonzero)
            after = residual_norms(p.signals, p.dictionary, code)
            assert (after <= before + 64 * np.finfo(dtype).eps * norms).all()
            before = after


@all_kernels
@both_dtypes
def test_permuted_atoms_give_the_same_code_under_their_new_names(kernel: Kernel, dtype: type) -> None:
    problem = some_problems()[0]
    p = problem.astype(dtype)
    sure = np.array([o is not None and len(o) == 1 for o in paths(problem, dtype, float(np.finfo(dtype).eps))[0]])
    assert sure.mean() > 0.8
    order = np.random.default_rng(0).permutation(len(p.dictionary))
    code = kernel.code(p.signals, p.dictionary, N_NONZERO)
    permuted = kernel.code(p.signals, p.dictionary[order], N_NONZERO)
    np.testing.assert_array_equal(order[permuted.indices[sure]], code.indices[sure])


@all_kernels
@both_dtypes
def test_equal_atoms_tie_to_the_lowest_index_and_are_selected_once(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 21, 35).astype(dtype)
    single = kernel.code(p.signals, p.dictionary, 5)
    doubled = kernel.code(p.signals, np.concatenate([p.dictionary, p.dictionary]), 5)
    np.testing.assert_array_equal(doubled.indices, single.indices)
    code = kernel.code(np.abs(p.signals), np.full((9, 21), 0.25, dtype), 5)
    assert (code.counts == 1).all()
    assert (code.indices == 0).all()
    assert np.isin(code.status, [Status.ORTHOGONAL, Status.DEPENDENT]).all()


@all_kernels
@both_dtypes
def test_coherent_atoms_come_and_go_and_it_ends(kernel: Kernel, dtype: type) -> None:
    p = coherent_problem(20, 13, 60).astype(dtype)
    p.dictionary[1::2] = p.dictionary[::2] * (1 + 3 * np.finfo(dtype).eps)  # pairs that only rounding tells apart
    code = kernel.code(p.signals, p.dictionary, 60)
    assert (code.values >= 0).all()
    assert (residual_norms(p.signals, p.dictionary, code) <= np.linalg.norm(p.signals, axis=1)).all()
    assert np.isin(code.status, [Status.EXHAUSTED, Status.ORTHOGONAL, Status.DEPENDENT]).all()
    assert (code.counts <= 13).all()


@all_kernels
@both_dtypes
@pytest.mark.parametrize("size", [(5, 7), (5, 5), (7, 5), (1, 4), (4, 1), (1, 1), (16, 40)], ids=str)
def test_more_atoms_asked_for_than_can_be_independent(kernel: Kernel, dtype: type, size: tuple[int, int]) -> None:
    p = random_problem(12, *size).astype(dtype)
    limit = min(size)
    for n_nonzero in {limit, min(limit + 1, size[1]), size[1]}:
        code = kernel.code(p.signals, p.dictionary, n_nonzero)
        full = code.counts == limit
        assert (code.status[full] == (Status.COMPLETE if n_nonzero == limit else Status.EXHAUSTED)).all()
        assert np.isin(code.status[~full], [Status.ORTHOGONAL, Status.DEPENDENT]).all()
        assert (code.counts <= limit).all()
        ahead = (p.signals.astype(np.float64) @ p.dictionary.T.astype(np.float64) > 1e-3).any(axis=1)
        assert (code.counts[ahead] > 0).all()
