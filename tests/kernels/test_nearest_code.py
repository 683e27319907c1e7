"""The nearest code: against SciPy, scikit-learn and the distances themselves, and inputs on which it goes wrong."""

import numpy as np
import pytest

from tests.data import few_problems, photo_problem, random_problem
from tests.kernels.helper import Kernel, kernels

all_kernels = pytest.mark.parametrize("kernel", kernels("nearest_code"), ids=str)
fast_kernels = pytest.mark.parametrize(
    "kernel", [k for k in kernels("nearest_code") if k.backend != "reference"], ids=str
)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def all_distances(signals: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """(N, K) in float64."""
    return np.linalg.norm(signals[:, None].astype(np.float64) - codebook.astype(np.float64), axis=2)


@all_kernels
@both_dtypes
def test_no_atom_is_nearer_than_rounding_and_distances_are_exact(kernel: Kernel, dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    for problem in few_problems():
        p = problem.astype(dtype)
        n_features = p.signals.shape[1]
        out = kernel.nearest(p.signals, p.dictionary)
        distances = all_distances(p.signals, p.dictionary)
        chosen = np.take_along_axis(distances, out.indices[:, None], 1)[:, 0]
        # Differences are rounded once, and their squares summed: a relative error, however near the atom is.
        np.testing.assert_allclose(out.distances, chosen, rtol=(n_features / 2 + 4) * eps)
        # The choice may be made from ||d||^2 - 2 <x, d>, whose rounding is that of the norms.
        parts = np.linalg.norm(p.signals, axis=1)[:, None] + np.linalg.norm(p.dictionary, axis=1)
        rounding = 2 * eps * (n_features + 2) * parts.max(axis=1) ** 2
        assert (chosen**2 <= distances.min(axis=1) ** 2 + rounding).all()
        clear = np.diff(np.partition(distances**2, 1)[:, :2])[:, 0] > rounding
        assert clear.mean() > 0.9 or problem.name == "non-unit"
        reference = kernel.reference().nearest(p.signals, p.dictionary)
        np.testing.assert_array_equal(out.indices[clear], reference.indices[clear])


@all_kernels
@both_dtypes
def test_equals_scipy_and_scikit_learn(kernel: Kernel, dtype: type) -> None:
    from scipy.cluster.vq import vq
    from sklearn.metrics import pairwise_distances_argmin_min

    for p in (random_problem(60, 9, 33).astype(dtype), photo_problem(60, 6, 100).astype(dtype)):
        out = kernel.nearest(p.signals, p.dictionary)
        wide = p.astype(np.float64)
        near = np.sort(all_distances(wide.signals, wide.dictionary) ** 2, axis=1)
        scale = np.linalg.norm(wide.signals, axis=1) + 1
        clear = near[:, 1] - near[:, 0] > 2 * np.finfo(dtype).eps * (p.signals.shape[1] + 2) * scale**2
        assert clear.mean() > 0.9
        for indices, distances in (
            vq(wide.signals, wide.dictionary),
            pairwise_distances_argmin_min(wide.signals, wide.dictionary),
        ):
            np.testing.assert_array_equal(out.indices[clear], indices[clear])
            rounding = (p.signals.shape[1] / 2 + 4) * float(np.finfo(dtype).eps)
            np.testing.assert_allclose(out.distances[clear], distances[clear], rtol=rounding + 1e-12)


@all_kernels
@both_dtypes
def test_codes_of_the_codebook_itself_are_exact(kernel: Kernel, dtype: type) -> None:
    p = random_problem(1, 49, 250).astype(dtype)
    offset = p.dictionary + dtype(100)  # far from zero: ||x||^2 and <x, d> cancel
    for codebook in (p.dictionary, offset):
        out = kernel.nearest(codebook, codebook)
        np.testing.assert_array_equal(out.indices, np.arange(250))
        assert (out.distances == 0).all()


@all_kernels
@both_dtypes
def test_ties_go_to_the_lowest_index(kernel: Kernel, dtype: type) -> None:
    # Small integers: every sum is exact, and many distances are equal.
    rng = np.random.default_rng(0)
    for n_features, n_atoms in ((7, 250), (3, 33), (1, 9), (21, 512)):
        signals = rng.integers(-2, 3, (23, n_features)).astype(dtype)
        codebook = rng.integers(-1, 2, (n_atoms, n_features)).astype(dtype)
        squares = ((signals[:, None] - codebook) ** 2).sum(axis=2)
        out = kernel.nearest(signals, codebook)
        np.testing.assert_array_equal(out.indices, squares.argmin(axis=1))
        np.testing.assert_allclose(out.distances, np.sqrt(squares.min(axis=1)), rtol=np.finfo(dtype).eps)
    p = random_problem(20, 13, 40).astype(dtype)
    doubled = kernel.nearest(p.signals, np.concatenate([p.dictionary, p.dictionary, p.dictionary]))
    assert doubled.same_bits(kernel.nearest(p.signals, p.dictionary))


@all_kernels
@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_what_is_not_finite_stays_alone(kernel: Kernel, dtype: type, bad: float) -> None:
    p = random_problem(70, 13, 40).astype(dtype)
    clean = kernel.nearest(p.signals, p.dictionary)
    rows = [0, 3, 31, 69]
    signals = p.signals.copy()
    signals[rows, [0, 12, 7, 2]] = bad
    out = kernel.nearest(signals, p.dictionary)
    others = np.setdiff1d(np.arange(70), rows)
    assert (out.indices[rows] == 0).all()
    assert np.isnan(out.distances[rows]).all()
    np.testing.assert_array_equal(out.indices[others], clean.indices[others])
    np.testing.assert_array_equal(out.distances[others], clean.distances[others])

    # A zero atom would be a good code for these signals, one that is not finite is none.
    signals = p.signals / 100
    codebook = p.dictionary.copy()
    codebook[[0, 39], [0, 12]] = bad
    codebook[17] = bad
    left = np.setdiff1d(np.arange(40), [0, 17, 39])
    out = kernel.nearest(signals, codebook)
    np.testing.assert_array_equal(out.indices, left[kernel.nearest(signals, codebook[left]).indices])
    none = kernel.nearest(signals, np.full((3, 13), bad, dtype))
    assert (none.indices == 0).all()
    assert np.isnan(none.distances).all()


@all_kernels
@both_dtypes
def test_powers_of_two_scale_the_distances_exactly(kernel: Kernel, dtype: type) -> None:
    p = random_problem(30, 13, 100).astype(dtype)
    out = kernel.nearest(p.signals, p.dictionary)
    top = 120 if dtype == np.float32 else 1000
    for exponent in (-90, 3, top):
        factor = dtype(2.0**exponent)
        scaled = kernel.nearest(p.signals * factor, p.dictionary * factor)
        np.testing.assert_array_equal(scaled.indices, out.indices)
        np.testing.assert_array_equal(scaled.distances, out.distances * factor)


@all_kernels
@both_dtypes
def test_huge_and_tiny_beside_each_other(kernel: Kernel, dtype: type) -> None:
    p = random_problem(30, 13, 100).astype(dtype)
    far = p.dictionary.copy()
    far[-1] = 2.0**40
    assert kernel.nearest(p.signals, far).same_bits(kernel.nearest(p.signals, far[:-1]))
    huge = kernel.nearest(p.signals * dtype(2.0**100), far[:-1])
    np.testing.assert_allclose(
        huge.distances / dtype(2.0**100), np.linalg.norm(p.signals, axis=1), rtol=17 * np.finfo(dtype).eps
    )
    tiny = kernel.nearest(p.signals * dtype(2.0**-100), p.dictionary)
    norms = np.linalg.norm(p.dictionary.astype(np.float64), axis=1)
    np.testing.assert_allclose(tiny.distances, norms.min(), rtol=17 * np.finfo(dtype).eps)


@all_kernels
@both_dtypes
def test_sizes_strides_and_index_widths(kernel: Kernel, dtype: type) -> None:
    for size in ((1, 1, 1), (5, 1, 9), (5, 9, 1), (0, 4, 3)):
        p = random_problem(*size).astype(dtype)
        out = kernel.nearest(p.signals, p.dictionary, n_threads=2)
        np.testing.assert_array_equal(out.indices, all_distances(p.signals, p.dictionary).argmin(axis=1))
    p = random_problem(37, 13, 100).astype(dtype)
    out = kernel.nearest(p.signals, p.dictionary)
    wide = kernel.nearest(p.signals, p.dictionary, index_dtype=np.int64)
    np.testing.assert_array_equal(wide.indices, out.indices)
    apart = np.full((74, 39), np.nan, dtype)
    apart[::2, ::3] = p.signals
    codebook = p.dictionary[::-1, ::-1].copy()[::-1, ::-1]
    for signals in (np.asfortranarray(p.signals), apart[::2, ::3], p.signals[::-1, ::-1].copy()[::-1, ::-1]):
        assert out.same_bits(kernel.nearest(signals, codebook))
    same = kernel.nearest(np.broadcast_to(p.signals[:1], (9, 13)), np.asfortranarray(p.dictionary))
    assert (same.distances == out.distances[0]).all()
    assert (same.indices == out.indices[0]).all()


@fast_kernels
@both_dtypes
def test_results_do_not_depend_on_batches_or_threads(kernel: Kernel, dtype: type) -> None:
    p = photo_problem(1201, 8, 250).astype(dtype)
    layout = kernel.prepare(p.dictionary)
    whole = kernel.nearest(p.signals, p.dictionary, layout=layout)
    for n_threads in (2, 3):
        assert whole.same_bits(kernel.nearest(p.signals, p.dictionary, n_threads=n_threads))
    shuffled = np.random.default_rng(0).permutation(1201)
    for rows in (*np.array_split(np.arange(1201), 7), *np.array_split(np.arange(131), 40), shuffled):
        assert kernel.nearest(p.signals[rows], p.dictionary, layout=layout).same_bits(whole, rows)


@all_kernels
@both_dtypes
def test_atoms_under_other_names_are_found_under_them(kernel: Kernel, dtype: type) -> None:
    p = random_problem(60, 9, 100).astype(dtype)
    near = np.sort(all_distances(p.signals, p.dictionary) ** 2, axis=1)
    clear = near[:, 1] - near[:, 0] > 1000 * np.finfo(dtype).eps
    assert clear.mean() > 0.9
    order = np.random.default_rng(0).permutation(100)
    out, permuted = (kernel.nearest(p.signals, codebook) for codebook in (p.dictionary, p.dictionary[order]))
    np.testing.assert_array_equal(order[permuted.indices[clear]], out.indices[clear])
