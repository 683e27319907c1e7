"""Every OMP kernel computes what it is defined to: against the reference, scikit-learn and least squares."""

import functools

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import ODD_SIZES, Problem, non_unit_problem, photo_problem, problem_id, problems, random_problem
from tests.kernels.helper import Code, Kernel, condition, kernels, residual_norms
from tests.kernels.replay import check_choices, check_least_squares, clear

N_NONZERO = 4
DTYPES = [np.float32, np.float64]

all_kernels = pytest.mark.parametrize("kernel", kernels(), ids=str)
fast_kernels = pytest.mark.parametrize("kernel", [k for k in kernels() if k.backend != "reference"], ids=str)
all_problems = pytest.mark.parametrize("problem", problems(), ids=problem_id)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


@functools.cache
def expected(problem: Problem, dtype: type) -> tuple[Code, np.ndarray]:
    """The reference's code, and for which signals rounding cannot change its supports."""
    p = problem.astype(dtype)
    code = Kernel("reference").code(p.signals, p.dictionary, N_NONZERO)
    return code, clear(p.signals, p.dictionary, code, float(np.finfo(dtype).eps))


@fast_kernels
@all_problems
@both_dtypes
def test_supports_and_residuals_are_the_references(kernel: Kernel, problem: Problem, dtype: type) -> None:
    p = problem.astype(dtype)
    eps = float(np.finfo(dtype).eps)
    n_features = p.signals.shape[1]
    ours = kernel.code(p.signals, p.dictionary, N_NONZERO)
    reference, sure = expected(problem, dtype)

    assert sure.mean() > 0.9
    np.testing.assert_array_equal(ours.indices[sure], reference.indices[sure])
    np.testing.assert_array_equal(ours.counts[sure], reference.counts[sure])
    np.testing.assert_array_equal(ours.status[sure], reference.status[sure])

    norms = np.linalg.norm(p.signals.astype(np.float64), axis=1)
    worst = max(condition(p.dictionary[support].astype(np.float64)) for support in reference.supports())
    difference = residual_norms(p.signals, p.dictionary, ours) - residual_norms(p.signals, p.dictionary, reference)
    assert (np.abs(difference[sure]) <= 4 * eps * (n_features + N_NONZERO) * worst * norms[sure]).all()
    # Where rounding decided between two atoms, the choice may differ but not be a worse one.
    check_choices(p.signals, p.dictionary, ours, N_NONZERO, eps)


@all_kernels
@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_coefficients_are_scikit_learns(kernel: Kernel, size: tuple[int, int, int]) -> None:
    from sklearn.linear_model import orthogonal_mp

    p = random_problem(*size)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO)
    theirs = orthogonal_mp(p.dictionary.T, p.signals.T, n_nonzero_coefs=N_NONZERO).T
    np.testing.assert_allclose(code.dense(size[2]), theirs, rtol=0, atol=1e-10)


@all_kernels
def test_tolerance_is_scikit_learns_square_root(kernel: Kernel) -> None:
    from sklearn.linear_model import orthogonal_mp

    p = random_problem(25, 49, 120)
    code = kernel.code(p.signals, p.dictionary, 49, 3.0)
    theirs = orthogonal_mp(p.dictionary.T, p.signals.T, tol=3.0**2).T
    assert (code.status == Status.TOLERANCE).all()
    assert len(set(code.counts)) > 3
    np.testing.assert_allclose(code.dense(120), theirs, rtol=0, atol=1e-10)


@all_kernels
@all_problems
@both_dtypes
def test_coefficients_are_least_squares_and_the_residual_is_orthogonal(
    kernel: Kernel, problem: Problem, dtype: type
) -> None:
    p = problem.astype(dtype)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO)
    check_least_squares(p.signals, p.dictionary, code, float(np.finfo(dtype).eps))


@all_kernels
@both_dtypes
def test_residual_never_grows_with_n_nonzero_and_supports_are_prefixes(kernel: Kernel, dtype: type) -> None:
    for problem in (random_problem(29, 49, 250), non_unit_problem(15, 24, 50), photo_problem(40, 7, 100)):
        p = problem.astype(dtype)
        eps = np.finfo(dtype).eps
        norms = np.linalg.norm(p.signals, axis=1)
        longest = kernel.code(p.signals, p.dictionary, 9)
        before = norms.astype(np.float64)
        for n_nonzero in range(1, 9):
            code = kernel.code(p.signals, p.dictionary, n_nonzero)
            after = residual_norms(p.signals, p.dictionary, code)
            assert (after <= before + 64 * eps * norms).all()
            before = after
            np.testing.assert_array_equal(code.counts, np.minimum(longest.counts, n_nonzero))
            np.testing.assert_array_equal(code.indices, longest.indices[:, :n_nonzero])


@all_kernels
@both_dtypes
def test_permuted_atoms_give_the_same_code_under_their_new_names(kernel: Kernel, dtype: type) -> None:
    p = random_problem(30, 49, 250).astype(dtype)
    order = np.random.default_rng(0).permutation(250)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO)
    permuted = kernel.code(p.signals, p.dictionary[order], N_NONZERO)
    sure = clear(p.signals, p.dictionary, code, float(np.finfo(dtype).eps))
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(order[permuted.indices[sure]], code.indices[sure])
    np.testing.assert_allclose(permuted.values[sure], code.values[sure], rtol=0, atol=1000 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_signs_of_atoms_and_signals_only_change_signs(kernel: Kernel, dtype: type) -> None:
    p = random_problem(30, 49, 250).astype(dtype)
    rng = np.random.default_rng(0)
    of_atoms, of_signals = (rng.choice([-1, 1], n).astype(dtype) for n in (250, 30))
    code = kernel.code(p.signals, p.dictionary, N_NONZERO)
    flipped = kernel.code(p.signals * of_signals[:, None], p.dictionary * of_atoms[:, None], N_NONZERO)
    np.testing.assert_array_equal(flipped.indices, code.indices)
    # Exact but for LAPACK, whose Householder vectors depend on signs.
    tolerance = 1000 * np.finfo(dtype).eps if kernel.backend == "reference" else 0
    np.testing.assert_allclose(
        flipped.values * of_signals[:, None] * of_atoms[code.indices], code.values, rtol=0, atol=tolerance
    )


@all_kernels
@both_dtypes
@pytest.mark.parametrize("exponent", [-90, -1, 3, 90])
def test_signals_and_atoms_scaled_by_powers_of_two_scale_the_values_exactly(
    kernel: Kernel, dtype: type, exponent: int
) -> None:
    p = random_problem(30, 49, 250).astype(dtype)
    factor = dtype(2.0**exponent)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO, 2.0)
    scaled = kernel.code(p.signals * factor, p.dictionary, N_NONZERO, 2.0 * float(factor))
    np.testing.assert_array_equal(scaled.indices, code.indices)
    np.testing.assert_array_equal(scaled.values, code.values * factor)
    np.testing.assert_array_equal(scaled.status, code.status)
    small = dtype(2.0 ** (exponent // 8))
    scaled = kernel.code(p.signals, p.dictionary * small, N_NONZERO, 2.0)
    np.testing.assert_array_equal(scaled.indices, code.indices)
    np.testing.assert_array_equal(scaled.values, code.values / small)


@fast_kernels
@both_dtypes
@pytest.mark.parametrize("tol", [None, 0.3], ids=["n_nonzero", "tol"])
def test_results_do_not_depend_on_batches_or_threads(kernel: Kernel, dtype: type, tol: float | None) -> None:
    n = 301 if kernel.backend == "cuda" else 3001  # several tiles; the emulated device is slow
    p = photo_problem(n, 8, 250).astype(dtype)
    layout = kernel.prepare(p.dictionary)
    whole = kernel.code(p.signals, p.dictionary, 8, tol, layout=layout)
    for n_threads in (2, 3):
        assert whole.same_bits(kernel.code(p.signals, p.dictionary, 8, tol, n_threads=n_threads))
    for n_parts, stop in ((7, n), (40, 131), (100, 100)):
        for part in np.array_split(np.arange(stop), n_parts):
            code = kernel.code(p.signals[part], p.dictionary, 8, tol, layout=layout)
            for name, a in vars(code).items():
                assert a.tobytes() == getattr(whole, name)[part].tobytes()
    shuffled = np.random.default_rng(0).permutation(n)
    code = kernel.code(p.signals[shuffled], p.dictionary, 8, tol, layout=layout)
    for name, a in vars(code).items():
        assert a.tobytes() == getattr(whole, name)[shuffled].tobytes()
