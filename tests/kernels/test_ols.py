"""Order-recursive selection: each step leaves the smallest residual that one more atom can leave."""

import functools

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import Problem, few_problems, photo_problem, random_problem, sparse_problem, unit
from tests.kernels.helper import Code, Kernel, kernels, lstsq, residual_norms
from tests.kernels.replay import check_choices, check_least_squares, clear

N_NONZERO = 4

all_kernels = pytest.mark.parametrize("kernel", kernels("ols"), ids=str)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@functools.cache
def expected(problem: Problem, dtype: type) -> tuple[Code, np.ndarray]:
    """The reference's code, and for which signals rounding cannot change its supports."""
    p = problem.astype(dtype)
    code = Kernel("reference", "", "ols").code(p.signals, p.dictionary, N_NONZERO)
    return code, clear(p.signals, p.dictionary, code, float(np.finfo(dtype).eps), "ols")


@all_kernels
@both_dtypes
def test_choices_are_the_best_and_supports_the_references(kernel: Kernel, dtype: type) -> None:
    n_clear = n_signals = 0
    for problem in few_problems():
        p = problem.astype(dtype)
        code = kernel.code(p.signals, p.dictionary, N_NONZERO)
        check_choices(p.signals, p.dictionary, code, N_NONZERO, kernel.eps(dtype), "ols")
        check_least_squares(p.signals, p.dictionary, code, float(np.finfo(dtype).eps))
        reference, sure = expected(problem, dtype)
        np.testing.assert_array_equal(code.indices[sure], reference.indices[sure])
        np.testing.assert_array_equal(code.status[sure], reference.status[sure])
        n_clear, n_signals = n_clear + sure.sum(), n_signals + len(sure)
    assert n_clear > 0.8 * n_signals


@all_kernels
def test_residuals_are_those_of_spams(kernel: Kernel) -> None:
    spams = pytest.importorskip("spams")
    for p in (random_problem(23, 21, 60), photo_problem(40, 6, 90)):
        code = kernel.code(p.signals, p.dictionary, 5)
        x, atoms = np.asfortranarray(p.signals.T), np.asfortranarray(p.dictionary.T)
        theirs = spams.omp(x, atoms, L=5, eps=0.0, numThreads=1).toarray()
        ours = residual_norms(p.signals, p.dictionary, code)
        np.testing.assert_allclose(ours, np.linalg.norm(x - atoms @ theirs, axis=0), rtol=0, atol=1e-10)


@all_kernels
@both_dtypes
def test_every_other_atom_would_leave_more(kernel: Kernel, dtype: type) -> None:
    p = random_problem(9, 7, 11).astype(dtype)
    atoms = p.dictionary.astype(np.float64) * np.logspace(-1, 1, 11)[:, None]
    code = kernel.code(p.signals, atoms.astype(dtype), N_NONZERO)
    for x, selected in zip(p.signals.astype(np.float64), code.indices, strict=True):
        for k in range(N_NONZERO):
            left = np.full(11, np.inf)
            for i in np.setdiff1d(np.arange(11), selected[:k]):
                tried = atoms[[*selected[:k], i]]
                left[i] = np.linalg.norm(x - lstsq(x, tried) @ tried)
            # Far from a tie: the seed leaves no two atoms as near as this.
            assert np.partition(left, 1)[1] - left.min() > 1e-4
            assert left.argmin() == selected[k]


@all_kernels
@both_dtypes
def test_differs_from_omp_where_an_atom_leans_on_the_selected(kernel: Kernel, dtype: type) -> None:
    # What is left after atom 0 is (0, 3, 2): OMP takes (0, 1, 0), of correlation 3; OLS the one that leans on atom 0
    # and has, of the rest, just the direction that is left.
    lean = np.array([12.0, 3.0, 2.0])
    dictionary = unit(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], lean])).astype(dtype)
    signals = np.array([[-9.0, 3.0, 2.0]], dtype)
    assert kernel.named("omp").code(signals, dictionary, 2).indices.tolist() == [[0, 1]]
    code = kernel.code(signals, dictionary, 2)
    assert code.indices.tolist() == [[0, 2]]
    norm = np.linalg.norm(lean)
    np.testing.assert_allclose(code.values, [[-21, norm]], rtol=200 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_residual_never_grows_with_n_nonzero_and_supports_are_prefixes(kernel: Kernel, dtype: type) -> None:
    for problem in (few_problems()[0], few_problems()[6], few_problems()[7]):
        p = problem.astype(dtype)
        norms = np.linalg.norm(p.signals, axis=1)
        longest = kernel.code(p.signals, p.dictionary, 9)
        before = norms.astype(np.float64)
        for n_nonzero in range(1, 9):
            code = kernel.code(p.signals, p.dictionary, n_nonzero)
            after = residual_norms(p.signals, p.dictionary, code)
            assert (after <= before + 64 * np.finfo(dtype).eps * norms).all()
            before = after
            np.testing.assert_array_equal(code.counts, np.minimum(longest.counts, n_nonzero))
            np.testing.assert_array_equal(code.indices, longest.indices[:, :n_nonzero])


@all_kernels
@both_dtypes
def test_permuted_and_negated_atoms_give_the_same_code_under_their_new_names(kernel: Kernel, dtype: type) -> None:
    problem = few_problems()[0]
    p = problem.astype(dtype)
    sure = expected(problem, dtype)[1]
    assert sure.mean() > 0.8
    rng = np.random.default_rng(0)
    order, signs = rng.permutation(len(p.dictionary)), rng.choice([-1, 1], len(p.dictionary)).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO)
    other = kernel.code(-p.signals, p.dictionary[order] * signs[:, None], N_NONZERO)
    np.testing.assert_array_equal(order[other.indices[sure]], code.indices[sure])
    check_least_squares(-p.signals, p.dictionary[order] * signs[:, None], other, float(np.finfo(dtype).eps))


@all_kernels
@both_dtypes
def test_equal_atoms_tie_to_the_lowest_index_and_are_selected_once(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 21, 35).astype(dtype)
    single = kernel.code(p.signals, p.dictionary, 5)
    doubled = kernel.code(p.signals, np.concatenate([p.dictionary, -p.dictionary, p.dictionary]), 5)
    np.testing.assert_array_equal(doubled.indices, single.indices)
    assert (single.counts == 5).all()
    code = kernel.code(p.signals, np.repeat(p.dictionary[:1], 9, axis=0), 5)
    assert (code.counts == 1).all()
    assert (code.indices == 0).all()
    assert np.isin(code.status, [Status.ORTHOGONAL, Status.DEPENDENT]).all()


@all_kernels
@both_dtypes
def test_a_nearly_dependent_atom_is_passed_over(kernel: Kernel, dtype: type) -> None:
    # Outside the first atom by `step`: its squared distance is rounding, its correlation step * 0.1 is not, and its
    # score would be the best.
    step = 1e-3 if dtype == np.float32 and kernel.backend != "reference" else 1e-8
    dictionary = np.array([[1, 0, 0], [1, step, 0], [0, 0.6, 0.8]], dtype)
    signals = np.array([[1, -0.1, 0.01]], dtype)
    assert kernel.code(signals, dictionary, 3).indices[:, :2].tolist() == [[0, 2]]
    alone = kernel.code(signals, dictionary[:2], 2)
    assert alone.indices.tolist() == [[0, 0]]
    assert alone.counts.tolist() == [1]
    assert alone.status.tolist() == [Status.DEPENDENT]


@all_kernels
@both_dtypes
@pytest.mark.parametrize("size", [(5, 7), (5, 5), (7, 5), (1, 4), (4, 1), (1, 1), (16, 40)], ids=str)
def test_more_atoms_asked_for_than_can_be_independent(kernel: Kernel, dtype: type, size: tuple[int, int]) -> None:
    p = random_problem(12, *size).astype(dtype)
    limit = min(size)
    for n_nonzero in {limit, min(limit + 1, size[1]), size[1]}:
        code = kernel.code(p.signals, p.dictionary, n_nonzero)
        check_choices(p.signals, p.dictionary, code, n_nonzero, kernel.eps(dtype), "ols")
        full = code.counts == limit
        assert full.mean() > 0.5
        assert (code.status[full] == (Status.COMPLETE if n_nonzero == limit else Status.EXHAUSTED)).all()
        assert np.isin(code.status[~full], [Status.ORTHOGONAL, Status.DEPENDENT]).all()


@all_kernels
@both_dtypes
def test_signal_made_of_few_atoms_ends_where_rounding_begins(kernel: Kernel, dtype: type) -> None:
    if kernel.backend == "reference":
        dtype = np.float64  # in which it computes: what float32 rounded off the signals is a signal to it
    p = sparse_problem(30, 32, 50, 3, noise=0).astype(dtype)
    found = residual_norms(p.signals, p.dictionary, kernel.code(p.signals, p.dictionary, 3)) < 1e-5
    assert found.mean() > 0.7
    code = kernel.code(p.signals, p.dictionary, 8)
    assert (code.counts[found] == 3).all()
    assert (code.status[found] == Status.ORTHOGONAL).all()
