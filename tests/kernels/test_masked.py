"""OMP on the observed features of each signal, atoms scored as if the rest of them were as good."""

import functools

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import Problem, few_problems, hidden, random_problem, sparse_problem
from tests.kernels.helper import Code, Kernel, condition, kernels
from tests.kernels.replay import Replay, check_least_squares, clear

N_NONZERO = 4

all_kernels = pytest.mark.parametrize("kernel", kernels("masked"), ids=str)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def observed(x: np.ndarray, mask: np.ndarray, atoms: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """The observed features of one signal (F,), and of the atoms (K, F), each made as long again as it was; the atoms
    of which next to nothing is seen are zero."""
    seen = atoms[:, mask].astype(np.float64)
    norms, seen_norms = np.linalg.norm(atoms.astype(np.float64), axis=1), np.linalg.norm(seen, axis=1)
    factors = np.zeros(len(atoms))
    enough = seen_norms**2 > 16 * eps * norms**2
    factors[enough] = norms[enough] / seen_norms[enough]
    return x[mask], seen * factors[:, None]


@functools.cache
def expected(problem: Problem, dtype: type) -> tuple[np.ndarray, Code, np.ndarray]:
    """A mask, the reference's code, and for which signals rounding cannot change its supports."""
    p = problem.astype(dtype)
    mask = hidden(p.signals, 0.3)
    code = Kernel("reference", "", "masked").code(p.signals, p.dictionary, N_NONZERO, mask=mask)
    eps = float(np.finfo(dtype).eps)
    sure = np.zeros(len(p.signals), bool)
    for n, support in enumerate(code.supports()):
        sure[n] = Replay(*observed(p.signals[n], mask[n], p.dictionary, eps), eps).is_clear(support)
    return mask, code, sure


@all_kernels
@both_dtypes
def test_choices_are_the_best_and_supports_the_references(kernel: Kernel, dtype: type) -> None:
    n_clear = n_signals = 0
    for problem in few_problems():
        p = problem.astype(dtype)
        mask, reference, sure = expected(problem, dtype)
        code = kernel.code(p.signals, p.dictionary, N_NONZERO, mask=mask)
        for n, support in enumerate(code.supports()):
            eps = kernel.eps(dtype)
            replay = Replay(*observed(p.signals[n], mask[n], p.dictionary, eps), eps)
            replay.check(support)
            replay.check_end(support, code.status[n], N_NONZERO)
            one = Code(*(a[n : n + 1] for a in vars(code).values()))
            x, atoms = p.signals[n : n + 1, mask[n]], p.dictionary[:, mask[n]]
            check_least_squares(x, atoms, one, float(np.finfo(dtype).eps))
        np.testing.assert_array_equal(code.indices[sure], reference.indices[sure])
        np.testing.assert_array_equal(code.status[sure], reference.status[sure])
        n_clear, n_signals = n_clear + sure.sum(), n_signals + len(sure)
    assert n_clear > 0.8 * n_signals


@all_kernels
@pytest.mark.filterwarnings("ignore:.*linear dependence.*:RuntimeWarning")
def test_codes_are_scikit_learns_on_the_observed_part_of_the_dictionary(kernel: Kernel) -> None:
    from sklearn.linear_model import orthogonal_mp

    problem = few_problems()[0]
    mask, _, sure = expected(problem, np.float64)
    assert sure.mean() > 0.9
    code = kernel.code(problem.signals, problem.dictionary, N_NONZERO, mask=mask).dense(len(problem.dictionary))
    for n in np.flatnonzero(sure):
        x, atoms = observed(problem.signals[n], mask[n], problem.dictionary, 0.0)
        factors = np.linalg.norm(atoms, axis=1) / np.linalg.norm(problem.dictionary[:, mask[n]], axis=1)
        theirs = orthogonal_mp(atoms.T, x, n_nonzero_coefs=N_NONZERO) * factors
        np.testing.assert_allclose(code[n], theirs, rtol=0, atol=1e-10)


@all_kernels
@both_dtypes
def test_a_mask_that_hides_nothing_changes_nothing(kernel: Kernel, dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    for problem in few_problems():
        p = problem.astype(dtype)
        code = kernel.code(p.signals, p.dictionary, N_NONZERO, mask=np.ones(p.signals.shape, bool))
        omp = kernel.named("omp").code(p.signals, p.dictionary, N_NONZERO)
        same = clear(p.signals, p.dictionary, omp, eps)
        assert same.mean() > 0.7
        np.testing.assert_array_equal(code.indices[same], omp.indices[same])
        np.testing.assert_array_equal(code.status[same], omp.status[same])
        if kernel.backend == "reference":
            assert code.same_bits(omp)
        for n in np.flatnonzero(same):
            selected = p.dictionary[omp.indices[n, : omp.counts[n]]].astype(np.float64)
            norms = np.linalg.norm(selected, axis=1)
            parts = np.linalg.norm(p.signals[n]) + np.abs(omp.values[n, : omp.counts[n]]) @ norms
            bound = 8 * eps * (p.signals.shape[1] + N_NONZERO) * condition(selected) ** 2 * parts
            difference = np.abs(code.values[n] - omp.values[n])[: omp.counts[n]]
            assert (difference * norms <= bound).all()


@all_kernels
@both_dtypes
def test_permuted_and_negated_atoms_give_the_same_code_under_their_new_names(kernel: Kernel, dtype: type) -> None:
    problem = few_problems()[0]
    p = problem.astype(dtype)
    mask, reference, sure = expected(problem, dtype)
    rng = np.random.default_rng(0)
    order, signs = rng.permutation(len(p.dictionary)), rng.choice([-1, 1], len(p.dictionary)).astype(dtype)
    other = kernel.code(-p.signals, p.dictionary[order] * signs[:, None], N_NONZERO, mask=mask)
    np.testing.assert_array_equal(order[other.indices[sure]], reference.indices[sure])
    assert (np.sign(-other.values * signs[other.indices])[sure] == np.sign(reference.values)[sure]).all()


@all_kernels
@both_dtypes
def test_what_was_not_observed_is_not_used(kernel: Kernel, dtype: type) -> None:
    p = few_problems()[0].astype(dtype)
    mask = hidden(p.signals, 0.4)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO, 1.0, mask=mask)
    for unseen in (0.0, np.nan, np.inf, 1e30):
        other = np.where(mask, p.signals, dtype(unseen))
        assert code.same_bits(kernel.code(other, p.dictionary, N_NONZERO, 1.0, mask=mask))
    row, feature = np.argwhere(mask)[17]
    p.signals[row, feature] = np.nan
    seen = kernel.code(p.signals, p.dictionary, N_NONZERO, 1.0, mask=mask)
    others = np.arange(len(p.signals)) != row
    assert seen.status[row] == Status.NONFINITE
    np.testing.assert_array_equal(seen.values[others], code.values[others])


@all_kernels
@both_dtypes
def test_sparse_signals_are_filled_in(kernel: Kernel, dtype: type) -> None:
    p = sparse_problem(40, 64, 90, 3, noise=0).astype(dtype)
    mask = hidden(p.signals, 0.3)
    code = kernel.code(np.where(mask, p.signals, np.nan).astype(dtype), p.dictionary, 3, mask=mask)
    error = np.linalg.norm(code.dense(90) @ p.dictionary - p.signals, axis=1)
    assert (error < 1000 * np.finfo(dtype).eps).mean() > 0.6  # OMP found the three atoms


@all_kernels
@both_dtypes
def test_signals_of_which_nothing_or_little_was_observed(kernel: Kernel, dtype: type) -> None:
    p = random_problem(6, 9, 20).astype(dtype)
    mask = np.zeros((6, 9), bool)
    mask[1, 4] = mask[2, [0, 8]] = mask[4, [1, 2, 3]] = True
    mask[5] = True
    code = kernel.code(p.signals, p.dictionary, 5, mask=mask)
    assert code.counts.tolist() == [0, 1, 2, 0, 3, 5]
    assert (code.status[:5] == Status.EXHAUSTED).all()
    assert code.status[5] == Status.COMPLETE
    left = np.where(mask, p.signals - code.dense(20) @ p.dictionary, 0)[:5]
    assert (np.abs(left) < 1e4 * np.finfo(dtype).eps).all()
    met = kernel.code(p.signals, p.dictionary, 5, 0.0, mask=mask)
    assert (met.status[[0, 3]] == Status.TOLERANCE).all()


@all_kernels
@both_dtypes
def test_an_atom_is_scored_as_if_what_is_hidden_were_as_good(kernel: Kernel, dtype: type) -> None:
    # Of atom 1 only (0.6, 0) is seen: its correlation is 0.6 and its score 1, that of atom 0 is 0.8.
    dictionary = np.array([[0.8, 0.6, 0.0], [0.6, 0.0, 0.8]], dtype)
    signals, mask = np.array([[1.0, 0.0, np.nan]], dtype), np.array([[True, True, False]])
    code = kernel.code(signals, dictionary, 1, mask=mask)
    assert code.indices.tolist() == [[1]]
    np.testing.assert_allclose(code.values, [[1 / dictionary[1, 0]]], rtol=8 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_an_atom_that_is_hidden_but_for_rounding_is_never_selected(kernel: Kernel, dtype: type) -> None:
    # The seen part of atom 0 points at the signal, and its squared norm is below, then above, 16 eps.
    eps = kernel.eps(dtype)
    for seen, chosen in ((3 * np.sqrt(eps), 1), (5 * np.sqrt(eps), 0)):
        dictionary = np.array([[seen, 0, 1], [0.8, 0.6, 0]], dtype)
        mask = np.array([[True, True, False]])
        code = kernel.code(np.array([[1, 0, 0]], dtype), dictionary, 1, mask=mask)
        assert code.indices.tolist() == [[chosen]]
    alone = kernel.code(np.array([[1, 0, 0]], dtype), np.array([[0, 0, 1]], dtype), 1, mask=mask)
    assert alone.status.tolist() == [Status.ORTHOGONAL]


@all_kernels
@both_dtypes
def test_atoms_that_differ_only_where_hidden_tie_and_are_dependent(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 21, 35).astype(dtype)
    mask = np.ones((20, 21), bool)
    mask[:, 3:5] = False
    p.dictionary[:, 3] = 0.25
    p.dictionary[:, 4] = -0.5
    double = p.dictionary.copy()
    double[:, [3, 4]] = [-0.25, 0.5]  # as long as they were
    single = kernel.code(p.signals, p.dictionary, 5, mask=mask)
    doubled = kernel.code(p.signals, np.concatenate([p.dictionary, double]), 5, mask=mask)
    np.testing.assert_array_equal(doubled.indices, single.indices)
    code = kernel.code(p.signals, np.stack([p.dictionary[0], double[0]]), 2, mask=mask)
    assert (code.counts == 1).all()
    assert np.isin(code.status, [Status.ORTHOGONAL, Status.DEPENDENT]).all()


@all_kernels
def test_masks_of_any_strides(kernel: Kernel) -> None:
    p = few_problems()[1]
    n_signals, n_features = p.signals.shape
    mask = hidden(p.signals, 0.4)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO, mask=mask)
    wide = np.zeros((2 * n_signals, 3 * n_features), bool)
    wide[::2, ::3] = mask
    frozen = mask.copy()
    frozen.flags.writeable = False
    flipped = mask[::-1, ::-1].copy()[::-1, ::-1]
    for other in (np.asfortranarray(mask), wide[::2, ::3], flipped, frozen):
        assert code.same_bits(kernel.code(p.signals, p.dictionary, N_NONZERO, mask=other))
    one = np.broadcast_to(mask[:1], mask.shape)
    assert kernel.code(p.signals, p.dictionary, N_NONZERO, mask=one).same_bits(
        kernel.code(p.signals, p.dictionary, N_NONZERO, mask=one.copy())
    )
