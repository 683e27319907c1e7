"""Iterative hard thresholding: each iteration is the step that is defined, the residual shrinks, sparse codes are
found."""

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import coherent_problem, few_problems, random_problem, unit
from tests.kernels.helper import Kernel, kernels, residual_norms

N_NONZERO = 4

all_kernels = pytest.mark.parametrize("kernel", kernels("iht"), ids=str)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def spikes_and_waves(n_signals: int, n_nonzero: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals (N, 64), the dictionary of spikes and cosines (128, 64), of inner products at most 0.18, and the codes
    (N, 128) with n_nonzero entries from 1 to 2 in magnitude."""
    n = np.arange(64)
    dictionary = np.concatenate([np.eye(64), unit(np.cos(np.pi * (n + 0.5) * n[:, None] / 64))])
    rng = np.random.default_rng(0)
    codes = np.zeros((n_signals, 128))
    for row in codes:
        row[rng.choice(128, n_nonzero, replace=False)] = rng.uniform(1, 2, n_nonzero) * rng.choice([-1, 1], n_nonzero)
    return codes @ dictionary, dictionary, codes


def largest(a: np.ndarray, s: int) -> np.ndarray:
    """H_s of a (K,)."""
    kept = np.argsort(-np.abs(a), kind="stable")[:s]
    out = np.zeros_like(a)
    out[kept] = a[kept]
    return out


def leads_to(x: np.ndarray, atoms: np.ndarray, a: np.ndarray, new: np.ndarray, s: int, eps: float) -> bool:
    """Whether the normalised iteration of x (F,), in float64, takes a (K,) to `new`, to rounding.

    Each entry of c is a sum of F products of an atom with x and s rows, off by 2 eps (F + s) ||d|| (||x|| +
    sum |a_j| ||d_j||) at most: `of_c` for the longest atom. From it follow the errors of mu, of a + mu c, and of the
    two sides of the line search.
    """
    longest = np.linalg.norm(atoms, axis=1).max()
    of_c = 2 * eps * (x.size + s) * longest * (np.linalg.norm(x) + np.abs(a).sum() * longest)
    c = atoms @ (x - a @ atoms)
    support = np.flatnonzero(a if a.any() else largest(c, s))
    ascent = np.linalg.norm(c[support] @ atoms[support])
    mu = np.linalg.norm(c[support]) ** 2 / ascent**2
    of_gradient = np.sqrt(s) * of_c
    of_mu = 2 * of_gradient * (1 / np.linalg.norm(c[support]) + np.sqrt(s) * longest / ascent) + 4 * x.size * eps
    kept = np.flatnonzero(new)
    for halving in range(31):
        target = a + mu * c
        errors = mu * (of_c + np.abs(c) * of_mu) + 8 * eps * np.abs(target).max()
        mine = largest(target, s)
        change = mine - a
        of_change = np.sqrt(2 * s) * errors[np.flatnonzero(mine)].max()
        length, energy = np.linalg.norm(change), np.linalg.norm(change @ atoms)
        ratio = mu * energy**2 / (0.99 * length**2)
        slack = of_mu + 2 * of_change * (1 / length + np.sqrt(2 * s) * longest / energy) + 4 * x.size * eps

        left = np.delete(np.abs(target) - errors, kept)
        is_this = (np.abs(new - target)[kept] <= errors[kept]).all() and (
            len(left) == 0 or left.max() <= (np.abs(target) + errors)[kept].min()
        )
        if is_this and (halving == 30 or np.array_equal(kept, support) or ratio <= 1 + slack):
            return True
        if np.array_equal(np.flatnonzero(mine), support) or ratio < 1 - slack:
            return False
        mu /= 2
    return False


@all_kernels
@both_dtypes
def test_each_iteration_is_the_one_defined(kernel: Kernel, dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    for problem in few_problems():
        p = problem.astype(dtype)
        atoms = p.dictionary.astype(np.float64)
        before = np.zeros((len(p.signals), len(atoms)))
        for n_iterations in range(1, 7):
            code = kernel.code(p.signals, p.dictionary, N_NONZERO, n_iterations=n_iterations)
            after = code.dense(len(atoms))
            assert (np.diff(np.abs(code.values), axis=1) <= 0).all()
            for n, x in enumerate(p.signals.astype(np.float64)):
                assert code.counts[n] == N_NONZERO or not x.any()
                assert not x.any() or leads_to(x, atoms, before[n], after[n], N_NONZERO, eps), (n_iterations, n)
            before = after


@all_kernels
@both_dtypes
def test_residual_never_grows_with_iterations(kernel: Kernel, dtype: type) -> None:
    for problem in (*few_problems(), coherent_problem(20, 49, 200)):
        p = problem.astype(dtype)
        norms = np.linalg.norm(p.signals, axis=1)
        before = norms.astype(np.float64)
        for n_iterations in (1, 2, 3, 4, 6, 12, 13):
            code = kernel.code(p.signals, p.dictionary, 6, n_iterations=n_iterations)
            after = residual_norms(p.signals, p.dictionary, code)
            assert (after <= before + 64 * np.finfo(dtype).eps * norms).all()
            before = after
        assert (before < 0.99 * norms).mean() > 0.9


@all_kernels
@both_dtypes
def test_finds_sparse_codes_in_an_incoherent_dictionary_and_stops(kernel: Kernel, dtype: type) -> None:
    signals, dictionary, codes = (a.astype(dtype) for a in spikes_and_waves(20, 3))
    eps = float(np.finfo(dtype).eps)
    for step in (0.0, 0.5):
        code = kernel.code(signals, dictionary, 3, n_iterations=300, step=step)
        # It ends where steps are 4 eps of the largest entry, 2, and shrink by half or more: as far again from the end.
        np.testing.assert_allclose(code.dense(128), codes, rtol=0, atol=(2 * 4 + 2 * (64 + 3) * 3) * 2 * eps)
        # Nor does this take for ever.
        assert code.same_bits(kernel.code(signals, dictionary, 3, n_iterations=10**9, step=step))
        assert (code.status == Status.COMPLETE).all()
    met = kernel.code(signals, dictionary, 3, 1e-3)
    assert (met.status == Status.TOLERANCE).all()
    assert (residual_norms(signals, dictionary, met) <= 1e-3 + 400 * eps).all()


@all_kernels
@both_dtypes
def test_tolerance_ends_it_before_the_first_iteration_that_is_not_needed(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 21, 50).astype(dtype)
    after = [
        residual_norms(p.signals, p.dictionary, kernel.code(p.signals, p.dictionary, 4, n_iterations=n))
        for n in (1, 2, 3)
    ]
    for n_iterations, tol in ((1, after[0] * 1.001), (3, (after[1] + after[2]) / 2)):
        tol = tol.astype(dtype)
        falls = after[1] - after[2] > 1000 * np.finfo(dtype).eps * after[0]
        assert falls.mean() > 0.8
        exact = kernel.code(p.signals, p.dictionary, 4, n_iterations=n_iterations)
        code = kernel.code(p.signals, p.dictionary, 4, tol)
        assert (code.status[falls] == Status.TOLERANCE).all()
        np.testing.assert_array_equal(code.indices[falls], exact.indices[falls])
        np.testing.assert_array_equal(code.values[falls], exact.values[falls])
    met = kernel.code(p.signals, p.dictionary, 4, 1e3)
    assert (met.status == Status.TOLERANCE).all()
    assert (met.counts == 0).all()
    # Asked at the end too.
    last = kernel.code(p.signals, p.dictionary, 4, (after[0] * 1.001).astype(dtype), n_iterations=1)
    assert (last.status == Status.TOLERANCE).all()


@all_kernels
@both_dtypes
def test_step_one_with_orthonormal_atoms_is_topk(kernel: Kernel, dtype: type) -> None:
    # Small integers and a signed permutation: every operation is exact, and many entries are equal or zero.
    rng = np.random.default_rng(0)
    dictionary = (np.eye(21)[rng.permutation(21)] * rng.choice([-1, 1], 21)).astype(dtype)
    signals = rng.integers(-4, 5, (30, 21)).astype(dtype)
    signals[3:6] *= np.arange(21) < 3
    topk = kernel.named("topk").code(signals, dictionary, 5)
    for step, n_iterations in ((1.0, 1), (1.0, 10), (0.0, 10)):
        code = kernel.code(signals, dictionary, 5, step=step, n_iterations=n_iterations)
        np.testing.assert_array_equal(code.indices, topk.indices)
        np.testing.assert_array_equal(code.values, topk.values)
        np.testing.assert_array_equal(code.status, topk.status)


@all_kernels
@both_dtypes
def test_a_fixed_step_is_plain_gradient_descent_thresholded(kernel: Kernel, dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    for p in (few_problems()[0].astype(dtype), few_problems()[5].astype(dtype), few_problems()[7].astype(dtype)):
        x, atoms = p.signals.astype(np.float64), p.dictionary.astype(np.float64)
        step = 1 / np.linalg.norm(atoms, 2) ** 2
        expected = np.zeros((len(x), len(atoms)))
        clear = np.ones(len(x), bool)
        for iteration in range(1, 6):
            target = expected + step * (x - expected @ atoms) @ atoms.T
            expected = np.stack([largest(a, N_NONZERO) for a in target])
            # This step stretches no error, so that those of the iterations add up.
            parts = np.linalg.norm(x, axis=1) + np.abs(expected).sum(axis=1)
            errors = iteration * eps * (2 * step * (x.shape[1] + N_NONZERO) * parts + 4 * np.abs(target).max(axis=1))
            errors = np.sqrt(2 * N_NONZERO) * errors
            sizes = -np.sort(-np.abs(target), axis=1)
            clear &= sizes[:, N_NONZERO - 1] - sizes[:, N_NONZERO] > 2 * errors
            code = kernel.code(p.signals, p.dictionary, N_NONZERO, n_iterations=iteration, step=step)
            assert (np.abs(code.dense(len(atoms)) - expected)[clear].max(axis=1) <= errors[clear]).all()
        assert clear.mean() > 0.8


@all_kernels
@both_dtypes
def test_step_is_in_units_of_the_dictionary_as_given(kernel: Kernel, dtype: type) -> None:
    p = random_problem(12, 21, 50).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, 4, n_iterations=5, step=0.25)
    scaled = kernel.code(p.signals, p.dictionary * dtype(8), 4, n_iterations=5, step=0.25 / 64)
    np.testing.assert_array_equal(scaled.indices, code.indices)
    np.testing.assert_array_equal(scaled.values * 8, code.values)


@all_kernels
@both_dtypes
def test_a_step_that_is_too_long_comes_to_an_end(kernel: Kernel, dtype: type) -> None:
    p = random_problem(12, 21, 50).astype(dtype)
    for step in (1e3, 1e30, 1e300):
        code = kernel.code(p.signals, p.dictionary, 4, n_iterations=400, step=step)
        assert (code.counts <= 4).all()
    p.signals[[2, 9]] = 0
    code = kernel.code(p.signals, p.dictionary, 4, step=1e3)
    assert (code.counts[[2, 9]] == 0).all()


@all_kernels
@both_dtypes
def test_fewer_entries_than_asked_for(kernel: Kernel, dtype: type) -> None:
    dictionary = np.eye(20, 24, dtype=dtype)
    signals = np.zeros((4, 24), dtype)
    signals[0, 4], signals[1, [2, 7]], signals[2, 22] = 3, (1, -2), 1
    code = kernel.code(signals, dictionary, 5)
    assert code.counts.tolist() == [1, 2, 0, 0]
    assert (code.status == Status.ORTHOGONAL).all()
    assert code.indices[:, :2].tolist() == [[4, 0], [7, 2], [0, 0], [0, 0]]
    assert code.values[:, :2].tolist() == [[3, 0], [-2, 1], [0, 0], [0, 0]]
    for n_features, n_atoms in ((5, 9), (9, 5), (1, 4), (1, 1), (4, 1)):
        p = random_problem(12, n_features, n_atoms).astype(dtype)
        limit = min(n_features, n_atoms)
        code = kernel.code(p.signals, p.dictionary, n_atoms, n_iterations=3)
        assert (code.counts == limit).all()
        assert (code.status == (Status.COMPLETE if limit == n_atoms else Status.EXHAUSTED)).all()


@all_kernels
@both_dtypes
def test_signs_only_change_signs_and_equal_atoms_keep_their_order(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 21, 40).astype(dtype)
    rng = np.random.default_rng(0)
    of_atoms, of_signals = (rng.choice([-1, 1], n).astype(dtype) for n in (40, 20))
    code = kernel.code(p.signals, p.dictionary, 4, n_iterations=6)
    flipped = kernel.code(p.signals * of_signals[:, None], p.dictionary * of_atoms[:, None], 4, n_iterations=6)
    np.testing.assert_array_equal(flipped.indices, code.indices)
    np.testing.assert_array_equal(flipped.values * of_signals[:, None] * of_atoms[code.indices], code.values)
    # One entry for each pair of equal atoms, the first: after one iteration, and for s = 1 always.
    single = kernel.code(p.signals, p.dictionary, 1, n_iterations=6)
    doubled = kernel.code(p.signals, np.concatenate([p.dictionary, p.dictionary]), 1, n_iterations=6)
    np.testing.assert_array_equal(doubled.indices, single.indices)
