"""SparseCoder and omp give scikit-learn's answers, and meet what scikit-learn expects of its own."""

import numpy as np
import pytest
from sklearn.datasets import make_sparse_coded_signal
from sklearn.decomposition import SparseCoder as TheirSparseCoder
from sklearn.linear_model import orthogonal_mp

import sparsefast
from sparsefast import SparseCoder, Status
from tests.data import Problem, photo_problem, problem_id, random_problem
from tests.kernels.helper import Code, condition
from tests.kernels.replay import clear


def allowed(signals: np.ndarray, atoms: np.ndarray, found: np.ndarray) -> np.ndarray:
    """How far coefficients (N, K) on the same supports may lie from those found: both solve normal equations, whose
    errors grow with the square of the condition number."""
    norms = np.linalg.norm(atoms, axis=1)
    out = np.empty(found.shape)
    for row, x, values in zip(out, signals, found.astype(np.float64), strict=True):
        support = np.flatnonzero(values)
        parts = np.linalg.norm(x) + np.abs(values) @ norms
        row[:] = (x.size + len(support)) * condition(atoms[support]) ** 2 * parts / norms
    return 8 * float(np.finfo(found.dtype).eps) * out


@pytest.mark.parametrize(
    "problem",
    [random_problem(101, 63, 100), random_problem(37, 49, 250), photo_problem(101, 8, 256)],
    ids=problem_id,
)
@pytest.mark.parametrize("n_nonzero", [None, 4])
def test_answers_are_scikit_learns(problem: Problem, n_nonzero: int | None) -> None:
    # Without flat patches: scikit-learn stops at an absolute limit, |<d, r>|^2 < eps.
    loud = np.linalg.norm(problem.signals, axis=1) > 1e-3
    problem = Problem(problem.name, problem.signals[loud], problem.dictionary)
    ours = SparseCoder(problem.dictionary, n_nonzero=n_nonzero)
    theirs = TheirSparseCoder(problem.dictionary, transform_n_nonzero_coefs=n_nonzero).transform(problem.signals)
    found = ours.set_params(output="code").transform(problem.signals)
    code = Code(found.values, found.indices, found.counts, found.status)
    # Where two atoms correlate alike, rounding decides which is selected.
    same = clear(problem.signals, problem.dictionary, code, np.finfo(np.float64).eps)
    assert same.mean() > 0.9
    dense = ours.set_params(output="dense").transform(problem.signals)
    assert (np.abs(dense - theirs) <= allowed(problem.signals, problem.dictionary, dense))[same].all()
    np.testing.assert_array_equal((dense != 0)[same], (theirs != 0)[same])


def test_tolerance_is_the_norm_and_holds_beside_n_nonzero():
    p = random_problem(25, 49, 120)
    dense = SparseCoder(p.dictionary, tol=3.0).transform(p.signals)
    theirs = orthogonal_mp(p.dictionary.T, p.signals.T, tol=3.0**2).T
    assert (np.abs(dense - theirs) <= allowed(p.signals, p.dictionary, dense)).all()
    assert (np.linalg.norm(p.signals - dense @ p.dictionary, axis=1) <= 3.0).all()
    assert (np.count_nonzero(dense, axis=1) > 2).all()
    both = SparseCoder(p.dictionary, tol=3.0, n_nonzero=2).transform(p.signals)
    assert (np.count_nonzero(both, axis=1) == 2).all()


# What scikit-learn expects of its own orthogonal matching pursuit (sklearn/linear_model/tests/test_omp.py), of ours:
# 3 signals that are 5 of 35 atoms in 25 features, nothing of unit norm.
SIGNALS, ATOMS, TRUTH = make_sparse_coded_signal(
    n_samples=3, n_components=35, n_features=25, n_nonzero_coefs=5, random_state=0
)  # fmt: skip
SIGNALS, ATOMS = 10 * SIGNALS, 10 * ATOMS


def by_estimator(signals, atoms, n_nonzero, tol=None):
    return SparseCoder(atoms, n_nonzero=n_nonzero, tol=tol).transform(np.atleast_2d(signals))


def by_op(signals, atoms, n_nonzero, tol=None):
    return sparsefast.omp(np.atleast_2d(signals), atoms, n_nonzero, tol=tol).to_dense()


def by_op_with_gram(signals, atoms, n_nonzero, tol=None):
    return sparsefast.omp(np.atleast_2d(signals), atoms, n_nonzero, tol=tol, gram=atoms @ atoms.T).to_dense()


solvers = pytest.mark.parametrize("solve", [by_estimator, by_op, by_op_with_gram])


@solvers
def test_sparse_signals_are_recovered_from_read_only_arrays(solve):
    signals, atoms = SIGNALS.copy(), ATOMS.copy()
    signals.flags.writeable = atoms.flags.writeable = False
    found = solve(signals, atoms, 5)
    np.testing.assert_array_equal(found != 0, TRUTH != 0)
    assert (np.abs(found - TRUTH) <= allowed(signals, atoms, found)).all()
    one = solve(signals[0], atoms, 5)
    np.testing.assert_array_equal(one[0], found[0])


@solvers
def test_shorter_pursuits_select_what_longer_ones_select_first(solve):
    order = sparsefast.omp(SIGNALS, ATOMS, 5).indices
    for n_nonzero in range(1, 6):
        found = solve(SIGNALS, ATOMS, n_nonzero)
        for row, selected in zip(found, order, strict=True):
            assert set(np.flatnonzero(row)) == set(selected[:n_nonzero])


@solvers
def test_residual_meets_the_tolerance(solve):
    found = solve(SIGNALS, ATOMS, 25, 0.7)
    assert (np.linalg.norm(SIGNALS - found @ ATOMS, axis=1) <= 0.7).all()
    # The last atom selected was needed.
    assert (np.count_nonzero(found, axis=1) <= 5).all()


@solvers
def test_unreachable_tolerance_ends_where_none_does(solve):
    np.testing.assert_array_equal(solve(SIGNALS, ATOMS, 25, 0.0), solve(SIGNALS, ATOMS, 25))


@solvers
def test_all_atoms_reach_least_squares(solve):
    p = random_problem(3, 10, 8)
    found = solve(p.signals, p.dictionary, 8)
    best = np.linalg.lstsq(p.dictionary.T, p.signals.T)[0].T
    assert (np.abs(found - best) <= allowed(p.signals, p.dictionary, found)).all()


@solvers
def test_zero_signals_and_equal_atoms_end_early(solve):
    assert (solve(np.zeros_like(SIGNALS), ATOMS, 1) == 0).all()
    atoms = ATOMS.copy()
    atoms[1] = atoms[0]
    found = solve(atoms[:1] + atoms[1], atoms, 2)
    assert np.flatnonzero(found).tolist() == [0]
    assert abs(found[0, 0] - 2) <= allowed(atoms[:1] + atoms[1], atoms, found)[0, 0]


@solvers
def test_atoms_selected_out_of_order_keep_their_coefficients(solve):
    signals = ATOMS[21:22] + 0.5 * ATOMS[0]
    found = solve(signals, ATOMS, 2)
    np.testing.assert_array_equal(np.flatnonzero(found), [0, 21])
    assert (np.abs(found[0, [0, 21]] - [0.5, 1]) <= allowed(signals, ATOMS, found)[0, [0, 21]]).all()


@solvers
def test_single_precision_differs_from_double_by_its_rounding(solve):
    narrow = solve(SIGNALS.astype(np.float32), ATOMS.astype(np.float32), 5)
    assert narrow.dtype == np.float32
    np.testing.assert_array_equal(narrow != 0, TRUTH != 0)
    assert (np.abs(narrow - solve(SIGNALS, ATOMS, 5)) <= allowed(SIGNALS, ATOMS, narrow)).all()


@solvers
def test_more_nonzeros_than_atoms_are_refused(solve):
    with pytest.raises(ValueError, match="n_nonzero=36; it must be 1 to"):
        solve(SIGNALS, ATOMS, 36)


def test_statuses_say_why_pursuits_ended():
    assert (sparsefast.omp(SIGNALS, ATOMS, 5).status == Status.COMPLETE).all()
    assert (sparsefast.omp(SIGNALS, ATOMS, 5, tol=1e-6).status == Status.TOLERANCE).all()
    assert (sparsefast.omp(np.zeros_like(SIGNALS), ATOMS, 5).status == Status.ORTHOGONAL).all()
