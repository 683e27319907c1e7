"""What every kernel that codes signals promises, whatever the code: rows apart, exact scaling, any strides."""

from typing import Any

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import hidden, photo_problem, random_problem
from tests.kernels.helper import CODERS, Code, Kernel, kernels

N_NONZERO = 4
HAS_TOL = ("ols", "positive", "masked", "iht")

# OMP has had its own tests of all this before the others came.
others = [kernel for name in CODERS if name != "omp" for kernel in kernels(name)]


def label(kernel: Kernel) -> str:
    return f"{kernel.name}-{kernel}"


all_kernels = pytest.mark.parametrize("kernel", others, ids=label)
fast_kernels = pytest.mark.parametrize("kernel", [k for k in others if k.backend != "reference"], ids=label)
with_tol = pytest.mark.parametrize("kernel", [k for k in others if k.name in HAS_TOL], ids=label)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def options(kernel: Kernel, signals: np.ndarray, **more: Any) -> dict[str, Any]:
    """What the kernel takes besides: a mask of each signal, or a number of iterations."""
    if kernel.name == "masked":
        more["mask"] = hidden(signals, 0.3)
    if kernel.name == "iht":
        more["n_iterations"] = 7
    return more


def of_rows(more: dict[str, Any], rows: Any) -> dict[str, Any]:
    return {name: value[rows] if name == "mask" else value for name, value in more.items()}


@fast_kernels
@both_dtypes
def test_results_do_not_depend_on_batches_or_threads(kernel: Kernel, dtype: type) -> None:
    p = photo_problem(701, 8, 250).astype(dtype)
    more = options(kernel, p.signals)
    tol = 0.3 if kernel.name in HAS_TOL else None
    layout = kernel.prepare(p.dictionary)
    whole = kernel.code(p.signals, p.dictionary, 6, tol, layout=layout, **more)
    for n_threads in (2, 3):
        assert whole.same_bits(kernel.code(p.signals, p.dictionary, 6, tol, n_threads=n_threads, **more))
    shuffled = np.random.default_rng(0).permutation(701)
    for rows in (*np.array_split(np.arange(701), 7), *np.array_split(np.arange(131), 40), shuffled):
        part = kernel.code(p.signals[rows], p.dictionary, 6, tol, layout=layout, **of_rows(more, rows))
        assert part.same_bits(whole, rows)


@all_kernels
@both_dtypes
def test_powers_of_two_scale_the_values_exactly(kernel: Kernel, dtype: type) -> None:
    p = random_problem(15, 13, 50).astype(dtype)
    more = options(kernel, p.signals)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO, **more)
    assert (code.status == Status.COMPLETE).all()
    back = 1 if kernel.name == "topk" else -1
    top = 120 if dtype == np.float32 else 1000
    for of_signals, of_atoms in ((-90, 0), (3, -5), (top, 0), (1 - top, 0), (0, 100), (0, -100), (100, 100 * -back)):
        scaled = kernel.code(p.signals * dtype(2.0**of_signals), p.dictionary * dtype(2.0**of_atoms), N_NONZERO, **more)
        np.testing.assert_array_equal(scaled.indices, code.indices)
        np.testing.assert_array_equal(scaled.status, code.status)
        factor = 2.0 ** (of_signals + back * of_atoms)
        np.testing.assert_array_equal(scaled.values, (code.values.astype(np.float64) * factor).astype(dtype))


@all_kernels
def test_subnormal_signals(kernel: Kernel) -> None:
    p = random_problem(15, 13, 50).astype(np.float32)
    code = kernel.code(p.signals * np.float32(1e-42), p.dictionary, N_NONZERO, **options(kernel, p.signals))
    assert (code.status == Status.COMPLETE).all()
    assert np.isfinite(code.values).all()


@all_kernels
@both_dtypes
def test_zero_signals_select_nothing(kernel: Kernel, dtype: type) -> None:
    p = random_problem(9, 13, 50).astype(dtype)
    p.signals[[0, 4, 8]] = 0
    p.signals[4] = -0.0
    more = options(kernel, p.signals)
    code = kernel.code(p.signals, p.dictionary, 3, **more)
    assert code.counts.tolist() == [0, 3, 3, 3, 0, 3, 3, 3, 0]
    assert (code.status[[0, 4, 8]] == Status.ORTHOGONAL).all()
    if kernel.name in HAS_TOL:
        code = kernel.code(p.signals, p.dictionary, 3, 0.0, **more)
        assert (code.status[[0, 4, 8]] == Status.TOLERANCE).all()


@all_kernels
@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_nonfinite_signal_stays_in_its_row(kernel: Kernel, dtype: type, bad: float) -> None:
    p = random_problem(70, 13, 50).astype(dtype)
    more = options(kernel, p.signals)
    rows, features = [0, 3, 31, 69], [0, 12, 7, 2]
    if kernel.name == "masked":
        more["mask"][rows, features] = True
    clean = kernel.code(p.signals, p.dictionary, N_NONZERO, **more)
    p.signals[rows, features] = bad
    code = kernel.code(p.signals, p.dictionary, N_NONZERO, **more)
    rest = np.setdiff1d(np.arange(70), rows)
    assert (code.status[rows] == Status.NONFINITE).all()
    assert Code(*(a[rest] for a in vars(code).values())).same_bits(clean, rest)


@pytest.mark.parametrize("kernel", [*kernels(), *others], ids=label)
@both_dtypes
def test_atoms_that_are_not_finite_count_as_zero(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 13, 40).astype(dtype)
    more = options(kernel, p.signals)
    holes, zeros = p.dictionary.copy(), p.dictionary.copy()
    holes[0], holes[17, 3], holes[39, 12] = np.nan, np.inf, -np.inf
    holes[17, 4] = 2.0**60  # of a row that does not count: no scale for the others
    zeros[[0, 17, 39]] = 0
    code = kernel.code(p.signals, holes, N_NONZERO, **more)
    assert code.same_bits(kernel.code(p.signals, zeros, N_NONZERO, **more))
    assert not np.isin(code.indices[code.status == Status.COMPLETE], [0, 17, 39]).any()
    left = np.setdiff1d(np.arange(40), [0, 17, 39])
    without = kernel.code(p.signals, p.dictionary[left], N_NONZERO, **more)
    np.testing.assert_array_equal(code.indices, left[without.indices])
    for none in (np.full((3, 13), np.nan, dtype), np.zeros((3, 13), dtype)):
        code = kernel.code(p.signals, none, 2, **more)
        assert (code.counts == 0).all()
        assert (code.status == Status.ORTHOGONAL).all()


@all_kernels
@both_dtypes
def test_strides_and_index_widths_do_not_matter(kernel: Kernel, dtype: type) -> None:
    p = random_problem(19, 13, 50).astype(dtype)
    more = options(kernel, p.signals)
    code = kernel.code(p.signals, p.dictionary, N_NONZERO, **more)

    def layouts(a: np.ndarray) -> list[np.ndarray]:
        wide = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan, dtype)
        wide[::2, ::3] = a
        frozen = a.copy()
        frozen.flags.writeable = False
        return [np.asfortranarray(a), wide[::2, ::3], a[::-1, ::-1].copy()[::-1, ::-1], frozen]

    for signals, dictionary in zip(layouts(p.signals), layouts(p.dictionary), strict=True):
        assert code.same_bits(kernel.code(signals, dictionary, N_NONZERO, **more))
    same = np.broadcast_to(p.signals[:1], (9, 13))
    more = of_rows(more, [0] * 9)
    assert (kernel.code(same, p.dictionary, N_NONZERO, **more).values == code.values[0]).all()

    more = options(kernel, p.signals)
    wide = kernel.code(p.signals, p.dictionary, N_NONZERO, index_dtype=np.int64, **more)
    np.testing.assert_array_equal(wide.indices, code.indices)
    assert wide.values.tobytes() == code.values.tobytes()


@all_kernels
@both_dtypes
def test_smallest_sizes(kernel: Kernel, dtype: type) -> None:
    for n_signals, n_features, n_atoms in ((0, 13, 40), (1, 1, 1), (5, 1, 9), (5, 9, 1)):
        p = random_problem(n_signals, n_features, n_atoms).astype(dtype)
        more = options(kernel, p.signals)
        if kernel.name == "masked":
            more["mask"][:] = True
        signals = p.signals * np.sign(p.signals @ p.dictionary[0])[:, None]  # for the one atom that there is
        code = kernel.code(signals, p.dictionary, 1, n_threads=2, **more)
        assert (code.counts == 1).all()
        assert (code.status == Status.COMPLETE).all()
        best = (signals @ p.dictionary.T).argmax(axis=1) if n_features > 1 or n_atoms == 1 else code.indices[:, 0]
        np.testing.assert_array_equal(code.indices[:, 0], best)


@all_kernels
def test_a_prepared_dictionary_does_not_follow_the_callers(kernel: Kernel) -> None:
    p = random_problem(5, 13, 40)
    gram = p.dictionary @ p.dictionary.T
    more = options(kernel, p.signals)
    expected = kernel.code(p.signals, p.dictionary, 3, gram=gram, **more)
    layout = kernel.prepare(p.dictionary, gram)
    kept = p.dictionary.copy()
    p.dictionary[:], gram[:] = 0, 0
    assert expected.same_bits(kernel.code(p.signals, kept, 3, layout=layout, **more))


@all_kernels
@both_dtypes
def test_a_given_gram_is_the_gram(kernel: Kernel, dtype: type) -> None:
    # Atoms of small integers, whose inner products every sum has exactly.
    rng = np.random.default_rng(0)
    dictionary = rng.integers(-2, 3, (40, 13)).astype(dtype)
    signals = rng.standard_normal((15, 13)).astype(dtype)
    more = options(kernel, signals)
    code = kernel.code(signals, dictionary, N_NONZERO, **more)
    gram = dictionary @ dictionary.T
    assert code.same_bits(kernel.code(signals, dictionary, N_NONZERO, gram=gram, **more))
    assert code.same_bits(kernel.code(signals, dictionary, N_NONZERO, gram=np.asfortranarray(gram), **more))


@with_tol
@both_dtypes
def test_tolerance_of_each_signal_is_met_at_the_first_step_that_can(kernel: Kernel, dtype: type) -> None:
    p = photo_problem(30, 6, 100).astype(dtype)
    more = options(kernel, p.signals)
    seen = np.where(more["mask"], p.signals, 0) if kernel.name == "masked" else p.signals
    norms = np.linalg.norm(seen, axis=1)
    tol = (np.linspace(0.2, 1.1, 30) * norms).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, 6, tol, **more)
    left = p.signals - code.dense(100) @ p.dictionary.astype(np.float64)
    left = np.linalg.norm(np.where(more["mask"], left, 0) if kernel.name == "masked" else left, axis=1)
    slack = 64 * np.finfo(dtype).eps * norms
    met = code.status == Status.TOLERANCE
    assert 5 < met.sum() < 30
    assert (left[met] <= tol[met] + slack[met]).all()
    assert (left[~met] >= tol[~met] - slack[~met]).all()
    assert code.counts[-1] == 0
    assert met[-1]
    if kernel.name in ("ols", "masked"):  # whose supports are prefixes of one another
        shorter = kernel.code(p.signals, p.dictionary, 6, **more)
        for n, k in enumerate(code.counts):
            np.testing.assert_array_equal(code.indices[n, :k], shorter.indices[n, :k])
    wide = np.zeros(60, dtype)
    wide[::2] = tol
    assert code.same_bits(kernel.code(p.signals, p.dictionary, 6, wide[::2], **more))
    free = kernel.code(p.signals, p.dictionary, 6, **more)
    for never in (-1.0, np.nan, np.full(30, -1, dtype)):
        assert free.same_bits(kernel.code(p.signals, p.dictionary, 6, never, **more))
