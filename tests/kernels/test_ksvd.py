"""The sweep of K-SVD on every backend: against its definition, against dense linear algebra, and by its properties."""

import numpy as np
import pytest

from tests.kernels.ksvd_cases import BACKENDS, ON_CPU, Case, Updated, alone, case, decode, objective, update

every_backend = pytest.mark.parametrize("backend", BACKENDS)
fast_backend = pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "reference"])
threaded_backend = pytest.mark.parametrize("backend", [b for b in ON_CPU if b != "reference"])
method = pytest.mark.parametrize("exact", [False, True], ids=["approx", "exact"])
SIZES = [(300, 16, 24, 3), (61, 1, 3, 2), (200, 3, 7, 3), (150, 49, 60, 5), (90, 100, 41, 4), (60, 150, 12, 4)]


def dense_sweep(c: Case, exact: bool) -> Updated:
    """The sweep as textbooks have it: E is formed, from dense codes."""
    codes = np.zeros((len(c.signals), len(c.dictionary)))
    for i, count in enumerate(c.counts):
        codes[i, c.indices[i, :count]] = c.values[i, :count]
    d, used = c.dictionary.astype(float), codes != 0
    for k in range(len(d)):
        rows = used[:, k]
        if not rows.any():
            continue
        others = codes[rows].copy()
        others[:, k] = 0
        e = c.signals[rows] - others @ d
        new = np.linalg.svd(e)[2][0] if exact else e.T @ codes[rows, k]
        new = new / np.linalg.norm(new) * (-1 if exact and new @ d[k] < 0 else 1)
        d[k], codes[rows, k] = new, e @ new
    slots = np.take_along_axis(codes, c.indices.astype(np.int64), axis=1)
    slots[np.arange(slots.shape[1]) >= c.counts[:, None]] = 0
    return Updated(d, slots, np.linalg.norm(c.signals - codes @ d, axis=1), used.sum(axis=0))


@every_backend
@method
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_sweep_is_that_of_dense_linear_algebra(backend, exact, size):
    c = case(*size)
    found, expected = update(c, backend, exact=exact), dense_sweep(c, exact)
    # A singular vector is known to the solver's residual over its gap, which is at least 1e-4 of the value here.
    rtol = 1e-7 if exact else 1e-11
    scale = np.abs(c.values).max()
    np.testing.assert_allclose(found.atoms, expected.atoms, rtol=0, atol=rtol)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=0, atol=rtol * scale)
    np.testing.assert_allclose(found.errors, expected.errors, rtol=0, atol=rtol * scale)
    np.testing.assert_array_equal(found.usage, expected.usage)


@fast_backend
@method
def test_float32_leaves_the_error_that_float64_leaves(backend, exact):
    c = case(400, 64, 48, 4, dtype="float32")
    found = update(c, backend, exact=exact)
    expected = update(Case(*(x.astype(float) if x.dtype == np.float32 else x for x in c)), "reference", exact=exact)
    # Sums of at most 64 features and some 40 entries an atom, each rounded once.
    bound = 200 * float(np.finfo(np.float32).eps)
    total = np.linalg.norm(expected.errors)
    assert np.linalg.norm(found.errors.astype(float)) == pytest.approx(total, rel=bound)
    assert np.sqrt(objective(c, found.atoms, found.coefficients)) == pytest.approx(total, rel=bound)


@every_backend
@method
def test_the_error_never_grows_from_atom_to_atom(backend, exact):
    """An atom alone, the others held: the objective does not grow, and with exact is the least there is."""
    c = case(200, 12, 9, 4, seed=3)
    for k in range(9):
        one = alone(c, k)
        before, found = objective(one, one.dictionary, one.values), update(one, backend, exact=exact)
        after = objective(one, found.atoms, found.coefficients)
        assert after <= before * (1 + 1e-13)
        rows = one.counts > 0
        tail = np.linalg.svd(one.signals[rows], compute_uv=False)[1:]
        least = (tail**2).sum() + (one.signals[~rows] ** 2).sum()
        assert after >= least * (1 - 1e-12)
        assert not exact or after == pytest.approx(least, rel=1e-11)


@every_backend
@method
@pytest.mark.parametrize("seed", range(4))
def test_what_holds_after_every_sweep(backend, exact, seed):
    """The error does not grow, used atoms have norm 1, others are untouched, errors are those of the result, and
    coefficients of either sign are fitted anew."""
    c = case(150, 10, 30, 3, seed=seed)
    c.dictionary[...] *= np.random.default_rng(seed).uniform(0.2, 5, (30, 1))
    c = c._replace(indices=np.where(c.indices >= 27, 5 * 0 + 1, c.indices))  # 27, 28, 29 are used by none
    twice = np.array([len(set(row[:m])) < m for row, m in zip(c.indices, c.counts, strict=True)])
    c = c._replace(counts=np.where(twice, 0, c.counts).astype(np.int32))
    found = update(c, backend, exact=exact)
    assert objective(c, found.atoms, found.coefficients) <= objective(c, c.dictionary, c.values) * (1 + 1e-12)
    used = found.usage > 0
    np.testing.assert_allclose(np.linalg.norm(found.atoms[used], axis=1), 1, rtol=1e-13)
    assert not used[27:].any() and used[:20].all()
    np.testing.assert_array_equal(found.atoms[~used], c.dictionary[~used])
    residual = c.signals - decode(c, found.atoms, found.coefficients)
    np.testing.assert_allclose(found.errors, np.linalg.norm(residual, axis=1), rtol=1e-11, atol=1e-12)
    in_use = np.arange(3) < c.counts[:, None]
    np.testing.assert_array_equal(found.coefficients[~in_use], c.values[~in_use])
    for sign in (-1, 1):
        mine = in_use & (np.sign(c.values) == sign)
        assert (found.coefficients[mine] != c.values[mine]).mean() > 0.9


@fast_backend
@method
def test_parallel_takes_every_atom_from_the_residual_as_it_was(backend, exact):
    c = case(200, 20, 15, 4)
    found = update(c, backend, exact=exact, parallel=True)
    expected = update(c, "reference", exact=exact, parallel=True)
    for k in range(15):
        one = alone(c, k)
        np.testing.assert_allclose(found.atoms[k], update(one, "reference", exact=exact).atoms[k], atol=1e-7)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, atol=1e-6)
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-6)
    residual = c.signals - decode(c, found.atoms, found.coefficients)
    np.testing.assert_allclose(found.errors, np.linalg.norm(residual, axis=1), rtol=1e-12)


@threaded_backend
@method
@pytest.mark.parametrize("parallel", [False, True], ids=["", "parallel"])
def test_threads_do_not_change_a_bit(backend, exact, parallel):
    c = case(6000, 64, 5, 3, dtype="float32")  # some 1800 rows an atom: two tiles, and work for two threads
    first = update(c, backend, exact=exact, parallel=parallel)
    for n_threads in (2, 3):
        again = update(c, backend, exact=exact, parallel=parallel, n_threads=n_threads)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


@fast_backend
def test_arrays_of_any_strides_and_indices_of_both_widths(backend):
    c = case(150, 49, 60, 5, dtype="float32")
    expected = update(c, backend)
    wide = np.zeros((150, 98), np.float32)
    wide[:, ::2] = c.signals
    for signals, dictionary in (
        (wide[:, ::2], np.asfortranarray(c.dictionary)),
        (c.signals[::-1, ::-1].copy()[::-1, ::-1], c.dictionary[::-1].copy()[::-1]),
    ):
        for a, b in zip(update(c._replace(signals=signals, dictionary=dictionary), backend), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(update(c._replace(indices=c.indices.astype(np.int64)), backend), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@every_backend
@method
def test_signals_that_use_no_atom_take_no_part(backend, exact):
    c = case(80, 7, 9, 2)
    out = c.counts == 0
    c.signals[np.flatnonzero(out)[0]] = np.nan
    c.values[out] = np.nan
    rest = Case(c.signals[~out], c.dictionary, c.indices[~out], c.values[~out], c.counts[~out])
    found, kept = update(c, backend, exact=exact), update(rest, backend, exact=exact)
    np.testing.assert_array_equal(found.atoms, kept.atoms)
    np.testing.assert_array_equal(found.coefficients[~out], kept.coefficients)
    assert np.isnan(found.coefficients[out]).all()
    np.testing.assert_allclose(found.errors[out], np.linalg.norm(c.signals[out], axis=1), rtol=1e-14)


@every_backend
@method
def test_an_atom_that_has_nothing_to_fit_stays(backend, exact):
    """Coefficients of zero on signals of zero; and with exact an atom whose E^T g is zero but E is not."""
    d = np.array([[1.0, 0], [0.6, 0.8]])
    zero = Case(np.zeros((3, 2)), d, np.zeros((3, 1), np.int32), np.zeros((3, 1)), np.ones(3, np.int32))
    found = update(zero, backend, exact=exact)
    np.testing.assert_array_equal(found.atoms, d)
    np.testing.assert_array_equal(found.coefficients, 0)
    idle = zero._replace(signals=np.array([[0.0, 3], [0, 4], [0, 0]]))
    found = update(idle, backend, exact=exact)
    np.testing.assert_array_equal(found.usage, [3, 0])
    if exact:
        np.testing.assert_allclose(np.abs(found.atoms[0]), [0, 1], atol=1e-12)
        np.testing.assert_allclose(found.errors, 0, atol=1e-12)
    else:
        np.testing.assert_array_equal(found.atoms, d)
        np.testing.assert_array_equal(found.errors, [3, 4, 0])


@every_backend
def test_no_signals_and_no_entries(backend):
    for n, s in ((0, 3), (4, 0)):
        c = Case(np.ones((n, 5)), np.eye(5), np.zeros((n, s), np.int32), np.zeros((n, s)), np.zeros(n, np.int32))
        found = update(c, backend)
        np.testing.assert_array_equal(found.atoms, np.eye(5))
        np.testing.assert_array_equal(found.errors, np.full(n, np.sqrt(5)))


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_code_that_names_what_is_not_there_is_refused_before_anything_is_written(backend):
    c = case(20, 5, 6, 2)
    row = int(np.flatnonzero(c.counts)[3])
    for bad in (-1, 6, 2**31 - 1):
        indices = c.indices.copy()
        indices[row, 0] = bad
        with pytest.raises(ValueError, match=f"code: signal {row} names an atom that is not one of 6"):
            update(c._replace(indices=indices), backend)
    for bad in (-1, 3):
        counts = c.counts.copy()
        counts[7] = bad
        with pytest.raises(ValueError, match=f"code: counts holds {bad} for signal 7; it must be 0 to 2"):
            update(c._replace(counts=counts), backend)
