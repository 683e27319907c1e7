"""Inputs on which an OMP kernel easily goes wrong: each has one defined answer, on every backend."""

import numpy as np
import pytest

from sparsefast.kernels.status import Status
from tests.data import coherent_problem, photo_problem, random_problem, sparse_problem, unit
from tests.kernels.helper import Kernel, condition, kernels, residual_norms
from tests.kernels.replay import check_choices

all_kernels = pytest.mark.parametrize("kernel", kernels(), ids=str)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@all_kernels
@both_dtypes
def test_zero_signal_selects_nothing(kernel: Kernel, dtype: type) -> None:
    p = random_problem(9, 49, 100).astype(dtype)
    p.signals[[0, 4, 8]] = 0
    p.signals[4] = -0.0
    code = kernel.code(p.signals, p.dictionary, 3)
    assert code.counts.tolist() == [0, 3, 3, 3, 0, 3, 3, 3, 0]
    assert (code.status[[0, 4, 8]] == Status.ORTHOGONAL).all()
    assert (kernel.code(p.signals, p.dictionary, 3, 0.0).status[[0, 4, 8]] == Status.TOLERANCE).all()


@all_kernels
@both_dtypes
@pytest.mark.parametrize("n_atoms", [35, 128, 257], ids=lambda k: f"{k}-atoms")
def test_equal_atoms_tie_to_the_lowest_index(kernel: Kernel, dtype: type, n_atoms: int) -> None:
    p = random_problem(40, 21, n_atoms).astype(dtype)
    doubled = np.concatenate([p.dictionary, p.dictionary, -p.dictionary])
    code = kernel.code(p.signals, doubled, 5)
    single = kernel.code(p.signals, p.dictionary, 5)
    np.testing.assert_array_equal(code.indices, single.indices)
    assert (code.counts == 5).all()


@all_kernels
@both_dtypes
def test_repeats_of_one_atom_are_selected_once(kernel: Kernel, dtype: type) -> None:
    p = random_problem(40, 21, 1).astype(dtype)
    code = kernel.code(p.signals, np.repeat(p.dictionary, 9, axis=0), 5)
    assert (code.counts == 1).all()
    assert (code.indices == 0).all()
    assert np.isin(code.status, [Status.ORTHOGONAL, Status.DEPENDENT]).all()


@all_kernels
@both_dtypes
def test_nearly_equal_atom_is_dependent(kernel: Kernel, dtype: type) -> None:
    # Outside the first atom by `step`: its squared distance is rounding, its correlation step * 0.1 is not.
    step = 1e-3 if dtype == np.float32 and kernel.backend != "reference" else 1e-8
    dictionary = np.array([[1, 0, 0], [1, step, 0]], dtype)
    code = kernel.code(np.array([[1, -0.1, 0.1]], dtype), dictionary, 2)
    assert code.indices.tolist() == [[0, 0]]
    assert code.counts.tolist() == [1]
    assert code.status.tolist() == [Status.DEPENDENT]


@all_kernels
@both_dtypes
@pytest.mark.parametrize("size", [(5, 7), (5, 9), (5, 5), (7, 5), (1, 4), (4, 1), (1, 1), (16, 40)], ids=str)
def test_more_atoms_asked_for_than_can_be_independent(kernel: Kernel, dtype: type, size: tuple[int, int]) -> None:
    n_features, n_atoms = size
    p = random_problem(20, n_features, n_atoms).astype(dtype)
    limit = min(size)
    exact = kernel.code(p.signals, p.dictionary, limit)
    full = exact.counts == limit
    # The last atoms of a square system can be too small a part of the residual, or too near the span.
    assert full.mean() >= 0.8
    assert (exact.status[full] == Status.COMPLETE).all()
    assert np.isin(exact.status[~full], [Status.ORTHOGONAL, Status.DEPENDENT]).all()
    if n_atoms >= n_features:
        norms = residual_norms(p.signals, p.dictionary, exact) / np.linalg.norm(p.signals, axis=1)
        assert (norms[full] < 1e4 * np.finfo(dtype).eps).all()
    for n_nonzero in range(limit + 1, n_atoms + 1):
        beyond = kernel.code(p.signals, p.dictionary, n_nonzero)
        assert (beyond.status[full] == Status.EXHAUSTED).all()
        np.testing.assert_array_equal(beyond.status[~full], exact.status[~full])
        np.testing.assert_array_equal(beyond.indices[:, :limit], exact.indices)
        np.testing.assert_array_equal(beyond.counts, exact.counts)


@all_kernels
@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_nonfinite_signal_stays_in_its_row(kernel: Kernel, dtype: type, bad: float) -> None:
    p = random_problem(70, 49, 100).astype(dtype)
    clean = kernel.code(p.signals, p.dictionary, 4, 1.0)
    rows = [0, 3, 31, 69]
    p.signals[rows, [0, 48, 7, 20]] = bad
    code = kernel.code(p.signals, p.dictionary, 4, 1.0)
    others = np.setdiff1d(np.arange(70), rows)
    assert (code.status[rows] == Status.NONFINITE).all()
    assert np.isnan(code.values[rows]).all()
    assert (code.counts[rows] == 0).all()
    for name, a in vars(code).items():
        assert a[others].tobytes() == getattr(clean, name)[others].tobytes()


@all_kernels
@both_dtypes
def test_atom_with_nan_is_never_selected(kernel: Kernel, dtype: type) -> None:
    p = random_problem(50, 21, 70).astype(dtype)
    holes, zeros = p.dictionary.copy(), p.dictionary.copy()
    holes[[0, 17]] = np.nan
    holes[69, 3] = np.nan
    zeros[[0, 17, 69]] = 0
    code = kernel.code(p.signals, holes, 6)
    np.testing.assert_array_equal(code.indices, kernel.code(p.signals, zeros, 6).indices)
    assert not np.isin(code.indices, [0, 17, 69]).any()
    only = kernel.code(p.signals, np.full((3, 21), np.nan, dtype), 2)
    assert (only.counts == 0).all()
    assert (only.status == Status.ORTHOGONAL).all()


@all_kernels
@both_dtypes
def test_infinite_atom_is_never_selected_and_taints_no_other(kernel: Kernel, dtype: type) -> None:
    p = random_problem(10, 21, 30).astype(dtype)
    expected = kernel.code(p.signals, np.delete(p.dictionary, 11, axis=0), 4)
    p.dictionary[11, 5] = np.inf
    code = kernel.code(p.signals, p.dictionary, 4)
    np.testing.assert_array_equal(code.indices, expected.indices + (expected.indices >= 11))
    np.testing.assert_allclose(code.values, expected.values, rtol=100 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_tolerance_of_each_signal_is_met_at_the_first_step_that_can(kernel: Kernel, dtype: type) -> None:
    p = photo_problem(60, 8, 200).astype(dtype)
    norms = np.linalg.norm(p.signals, axis=1)
    tol = (np.linspace(0.2, 1.1, 60) * norms).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, 6, tol)
    eps = np.finfo(dtype).eps
    left = residual_norms(p.signals, p.dictionary, code)
    met = code.status == Status.TOLERANCE
    assert 10 < met.sum() < 60
    assert (left[met] <= tol[met] + 64 * eps * norms[met]).all()
    assert (left[~met] >= tol[~met] - 64 * eps * norms[~met]).all()
    longer = kernel.code(p.signals, p.dictionary, 6)
    for k in range(1, 7):
        before = norms
        if k > 1:
            before = residual_norms(p.signals, p.dictionary, kernel.code(p.signals, p.dictionary, k - 1))
        late = code.counts == k
        assert (before[late] >= tol[late] - 64 * eps * norms[late]).all()
        np.testing.assert_array_equal(code.indices[late, :k], longer.indices[late, :k])


@all_kernels
@both_dtypes
def test_tolerances_at_the_ends_of_their_range(kernel: Kernel, dtype: type) -> None:
    p = random_problem(20, 49, 100).astype(dtype)
    free = kernel.code(p.signals, p.dictionary, 4)
    for never in (0.0, -1.0, np.nan, 1e-300, np.zeros(20, dtype)):
        assert free.same_bits(kernel.code(p.signals, p.dictionary, 4, never))
    for always in (1e30, np.inf, np.linalg.norm(p.signals, axis=1).astype(dtype) * dtype(1.001)):
        code = kernel.code(p.signals, p.dictionary, 4, always)
        assert (code.counts == 0).all()
        assert (code.status == Status.TOLERANCE).all()
    # Met by the very last atom: TOLERANCE, not COMPLETE.
    tol = (residual_norms(p.signals, p.dictionary, free) * 1.001).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, 4, tol)
    assert (code.status == Status.TOLERANCE).all()
    assert free.indices.tobytes() == code.indices.tobytes()


@all_kernels
@both_dtypes
def test_tolerance_below_the_rounding_of_the_squared_norm(kernel: Kernel, dtype: type) -> None:
    # ||x||^2 - sum y^2 would be rounding alone: the noise is sqrt(eps)/10 of the signal.
    noise = np.sqrt(np.finfo(dtype).eps) / 10
    p = sparse_problem(50, 64, 90, 3, noise).astype(dtype)
    free = kernel.code(p.signals, p.dictionary, 3)
    left = residual_norms(p.signals, p.dictionary, free)
    three = left < 1.01 * noise  # OMP found the three atoms
    assert three.mean() > 0.7
    above = kernel.code(p.signals, p.dictionary, 8, 1.1 * noise)
    below = kernel.code(p.signals, p.dictionary, 3, 0.9 * noise)
    assert (above.counts[three] == 3).all()
    assert (above.status == Status.TOLERANCE).mean() > 0.7
    assert (above.status[three] == Status.TOLERANCE).all()
    assert (below.status[three] == Status.COMPLETE).all()


@all_kernels
@both_dtypes
def test_signal_in_the_span_of_few_atoms_ends_there(kernel: Kernel, dtype: type) -> None:
    dictionary = np.eye(20, 24, dtype=dtype)
    signals = np.zeros((3, 24), dtype)
    signals[0, 4], signals[1, [2, 7]], signals[2, 22] = 3, (1, -2), 1
    code = kernel.code(signals, dictionary, 5)
    assert code.counts.tolist() == [1, 2, 0]
    assert (code.status == Status.ORTHOGONAL).all()
    np.testing.assert_allclose(code.values[:, :2], [[3, 0], [-2, 1], [0, 0]], rtol=4 * np.finfo(dtype).eps)
    assert code.indices[:, :2].tolist() == [[4, 0], [7, 2], [0, 0]]


@all_kernels
@both_dtypes
def test_signal_made_of_few_atoms_ends_where_rounding_begins(kernel: Kernel, dtype: type) -> None:
    if kernel.backend == "reference":
        dtype = np.float64  # in which it computes: what float32 rounded off the signals is a signal to it
    p = sparse_problem(50, 64, 90, 3, noise=0).astype(dtype)
    found = residual_norms(p.signals, p.dictionary, kernel.code(p.signals, p.dictionary, 3)) < 1e-5
    assert found.mean() > 0.7
    code = kernel.code(p.signals, p.dictionary, 8)
    assert (code.counts[found] == 3).all()
    assert (code.status[found] == Status.ORTHOGONAL).all()


@all_kernels
@both_dtypes
def test_rounding_in_a_large_atom_does_not_hide_a_small_one(kernel: Kernel, dtype: type) -> None:
    # What rounding leaves of the first atom's correlation is larger than the second's.
    p = random_problem(40, 49, 2).astype(dtype)
    ratio = dtype(0.01 / np.finfo(dtype).eps)
    p.dictionary[1] *= ratio
    code = kernel.code(p.signals, p.dictionary / np.sqrt(ratio), 2)
    assert (code.indices == [1, 0]).all()
    assert (code.status == Status.COMPLETE).all()


@all_kernels
@pytest.mark.parametrize("scale", [1e30, 1e38 / 49, 1e-30, 1e-37], ids=str)
def test_huge_and_tiny_float32_signals(kernel: Kernel, scale: float) -> None:
    p = random_problem(20, 49, 100).astype(np.float32)
    tol = np.float32(4.0)
    code = kernel.code(p.signals, p.dictionary, 4, float(tol))
    scaled = kernel.code(p.signals * np.float32(scale), p.dictionary, 4, float(tol) * scale)
    assert len(set(code.counts)) > 1
    np.testing.assert_array_equal(scaled.indices, code.indices)
    np.testing.assert_array_equal(scaled.status, code.status)
    np.testing.assert_allclose(scaled.values / np.float32(scale), code.values, rtol=1e-4, atol=1e-5)


@all_kernels
def test_subnormal_signals(kernel: Kernel) -> None:
    p = random_problem(20, 49, 100).astype(np.float32)
    code = kernel.code(p.signals * np.float32(1e-42), p.dictionary, 4)
    assert (code.status == Status.COMPLETE).all()
    assert np.isfinite(code.values).all()


@all_kernels
@pytest.mark.parametrize("scale", [1e30, 1e-30], ids=str)
def test_huge_and_tiny_float32_dictionaries(kernel: Kernel, scale: float) -> None:
    p = random_problem(20, 49, 100).astype(np.float32)
    code = kernel.code(p.signals, p.dictionary, 4)
    scaled = kernel.code(p.signals, p.dictionary * np.float32(scale), 4)
    np.testing.assert_array_equal(scaled.indices, code.indices)
    np.testing.assert_allclose(scaled.values * np.float32(scale), code.values, rtol=1e-4, atol=1e-5)


@all_kernels
@both_dtypes
def test_empty_batch(kernel: Kernel, dtype: type) -> None:
    p = random_problem(1, 49, 100).astype(dtype)
    for tol in (None, 1.0, np.zeros(0, dtype)):
        assert kernel.code(p.signals[:0], p.dictionary, 4, tol, n_threads=2).values.shape == (0, 4)


@all_kernels
@both_dtypes
def test_strides_do_not_matter(kernel: Kernel, dtype: type) -> None:
    p = random_problem(37, 49, 130).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, 4)

    def layouts(a: np.ndarray) -> list[np.ndarray]:
        wide = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan, dtype)
        wide[::2, ::3] = a
        frozen = a.copy()
        frozen.flags.writeable = False
        return [np.asfortranarray(a), wide[::2, ::3], a[::-1, ::-1].copy()[::-1, ::-1], frozen]

    for signals, dictionary in zip(layouts(p.signals), layouts(p.dictionary), strict=True):
        assert code.same_bits(kernel.code(signals, p.dictionary, 4))
        assert code.same_bits(kernel.code(p.signals, dictionary, 4))
    # Every second of the tolerances of an array.
    tol = np.linspace(0, 9, 2 * 37).astype(dtype)
    assert kernel.code(p.signals, p.dictionary, 4, tol[::2].copy()).same_bits(
        kernel.code(p.signals, p.dictionary, 4, tol[::2])
    )
    same = kernel.code(np.broadcast_to(p.signals[:1], (9, 49)), p.dictionary, 4)
    assert (same.values == code.values[0]).all()


@all_kernels
@both_dtypes
def test_a_given_gram_gives_the_same_code(kernel: Kernel, dtype: type) -> None:
    p = coherent_problem(37, 49, 130).astype(dtype)
    gram = (p.dictionary.astype(np.float64) @ p.dictionary.T.astype(np.float64)).astype(dtype)
    code = kernel.code(p.signals, p.dictionary, 4)
    given = kernel.code(p.signals, p.dictionary, 4, gram=gram)
    assert (given.indices == code.indices).mean() > 0.95
    same = (given.indices == code.indices).all(axis=1)
    scale = np.abs(code.values).max()
    np.testing.assert_allclose(given.values[same], code.values[same], rtol=0, atol=1000 * np.finfo(dtype).eps * scale)
    assert given.same_bits(kernel.code(p.signals, p.dictionary, 4, gram=np.asfortranarray(gram)))


@all_kernels
def test_a_prepared_dictionary_does_not_follow_the_callers(kernel: Kernel) -> None:
    p = random_problem(5, 16, 40)
    gram = p.dictionary @ p.dictionary.T
    expected = kernel.code(p.signals, p.dictionary, 3, gram=gram)
    layout = kernel.prepare(p.dictionary, gram)
    kept = p.dictionary.copy()
    p.dictionary[:], gram[:] = 0, 0
    assert expected.same_bits(kernel.code(p.signals, kept, 3, layout=layout))


@all_kernels
@both_dtypes
def test_both_index_widths(kernel: Kernel, dtype: type) -> None:
    p = random_problem(37, 21, 63).astype(dtype)
    narrow = kernel.code(p.signals, p.dictionary, 5, 1.0)
    wide = kernel.code(p.signals, p.dictionary, 5, 1.0, index_dtype=np.int64)
    assert wide.indices.dtype == np.int64
    np.testing.assert_array_equal(narrow.indices, wide.indices)
    assert narrow.values.tobytes() == wide.values.tobytes()


@all_kernels
def test_unequal_norms_select_by_the_correlation_as_given(kernel: Kernel) -> None:
    dictionary = unit(np.array([[1.0, 0.0], [1.0, 1.0]]))
    signals = np.array([[1.0, 0.0]])
    assert kernel.code(signals, dictionary, 1).indices.tolist() == [[0]]
    assert kernel.code(signals, dictionary * [[1], [2]], 1).indices.tolist() == [[1]]


@pytest.mark.parametrize("kernel", [k for k in kernels() if k.backend == "cpu"], ids=str)
@both_dtypes
def test_dictionary_whose_gram_would_be_too_large_is_coded_from_the_residual(kernel: Kernel, dtype: type) -> None:
    n_atoms = 17000 if dtype == np.float32 else 12000  # a Gram matrix of more than a gigabyte
    p = random_problem(21, 13, n_atoms).astype(dtype)
    layout = kernel.prepare(p.dictionary)
    assert layout.method == "residual"
    assert layout.bytes < 4 * p.dictionary.nbytes
    code = kernel.code(p.signals, p.dictionary, 4, layout=layout)
    reference = Kernel("reference").code(p.signals, p.dictionary, 4)
    difference = residual_norms(p.signals, p.dictionary, code) - residual_norms(p.signals, p.dictionary, reference)
    norms = np.linalg.norm(p.signals, axis=1)
    eps = float(np.finfo(dtype).eps)
    same = (code.indices == reference.indices).all(axis=1)
    assert same.mean() > 0.8
    worst = max(condition(p.dictionary[support]) for support in reference.supports())
    assert (np.abs(difference[same]) <= 4 * eps * (13 + 4) * worst * norms[same]).all()
    check_choices(p.signals, p.dictionary, code, 4, eps)
    pieces = np.concatenate(
        [kernel.code(p.signals[n : n + 1], p.dictionary, 4, layout=layout).values for n in range(21)]
    )
    np.testing.assert_array_equal(pieces, code.values)
