"""What only the CUDA kernels of dictionary learning have: blocks that wait for each other, codes that nobody looks at
first, forms that sizes choose, and a border that takes numbers for arrays. On the emulated device."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.kernels.ksvd_cases import EMULATED, Case, case, objective, online, stats, update

emulated = pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
in_every_order = pytest.mark.parametrize("backend", EMULATED)
method = pytest.mark.parametrize("exact", [False, True], ids=["approx", "exact"])


@pytest.fixture(autouse=True)
def multiprocessors() -> Iterator[None]:
    before = emulated.multiprocessors()
    yield
    emulated.set_multiprocessors(before)


def same_bits(results: Any) -> bool:
    first, *rest = results
    return all(a.tobytes() == b.tobytes() for other in rest for a, b in zip(first, other, strict=True))


def on_several_devices(call: Any) -> Iterator[Any]:
    for count in (1, 2, 5):
        emulated.set_multiprocessors(count)
        yield call()


@method
@pytest.mark.parametrize("parallel", [False, True], ids=["", "parallel"])
@pytest.mark.parametrize("size", [(400, 20, 5, 2), (90, 131, 3, 2)], ids=str)
def test_neither_blocks_nor_orders_change_a_bit(size: Any, parallel: bool, exact: bool) -> None:
    c = case(*size, dtype="float32")  # several tiles an atom
    calls = [lambda b=b: update(c, b, exact=exact, parallel=parallel) for b in EMULATED]
    assert same_bits([found for call in calls for found in on_several_devices(call)])


@pytest.mark.parametrize("n_features", [70, 131], ids=["by a block", "by several"])
def test_statistics_and_their_atoms_do_not_depend_on_them_either(n_features: int) -> None:
    c = case(300, n_features, 20, 4, dtype="float32")
    assert same_bits([found for b in EMULATED for found in on_several_devices(lambda b=b: stats(c, b))])
    a, b, _, _ = stats(c, "reference")
    atoms = [
        [found]
        for name in EMULATED
        for found in on_several_devices(lambda name=name: online(a, b, c.dictionary, name, n_iterations=2))
    ]
    assert same_bits(atoms)
    np.testing.assert_allclose(atoms[0][0], online(a, b, c.dictionary, "reference", n_iterations=2), atol=3e-7)


@in_every_order
def test_more_entries_than_the_least_tiles_hold(backend: str) -> None:
    c = case(9000, 2, 1, 1)
    found, expected = update(c, backend), update(c, "reference")
    assert found.usage.min() > 32 * 128
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("n", "n_features", "exact"), [(8500, 100, False), (16500, 33, True)])
def test_tiles_of_more_rows_than_a_block_holds(n: int, n_features: int, exact: bool) -> None:
    """In float64 a block holds 64 rows of 100 features, or 128 of 33, at once; an atom has 128 tiles."""
    rng = np.random.default_rng(0)
    signals, atom = rng.standard_normal((n, n_features)), np.ones((1, n_features)) / n_features**0.5
    signals[:, 0] *= 2  # a gap between the leading directions
    c = Case(signals, atom, np.zeros((n, 1), np.int32), signals @ atom.T, np.ones(n, np.int32))
    found, expected = update(c, "cuda-shuffled", exact=exact), update(c, "reference", exact=exact)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("n_features", "exact"), [(400, True), (2600, False)])
def test_vectors_that_do_not_fit_into_shared_memory(n_features: int, exact: bool) -> None:
    c = case(9, n_features, 2, 1)
    found, expected = update(c, "cuda-shuffled", exact=exact), update(c, "reference", exact=exact)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_features", [63, 64, 65, 127, 128])
def test_gram_matrices_of_one_block_and_of_several(n_features: int) -> None:
    c = case(180, n_features, 2, 1, seed=n_features)
    found, expected = update(c, "cuda-reversed", exact=True), update(c, "reference", exact=True)
    np.testing.assert_allclose(found.atoms, expected.atoms, rtol=0, atol=1e-8)
    total = float((expected.errors**2).sum())
    assert objective(c, found.atoms, found.coefficients) == pytest.approx(total, rel=1e-11)


@pytest.mark.parametrize(("n_atoms", "n_nonzero"), [(600, 40), (2100, 3)], ids=["lanes go round", "sums in A itself"])
def test_statistics_of_many_atoms(n_atoms: int, n_nonzero: int) -> None:
    c = case(12, 41, n_atoms, n_nonzero)
    for found, expected in zip(stats(c, "cuda-shuffled", start=1.0), stats(c, "reference", start=1.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


def test_statistics_of_atoms_with_several_tiles() -> None:
    c = case(2000, 9, 3, 2)
    assert stats(c, "reference")[2].min() > 2 * 256
    for found, expected in zip(stats(c, "cuda-shuffled", start=1.0), stats(c, "reference", start=1.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@in_every_order
@method
def test_entries_that_name_no_atom_are_left_out(backend: str, exact: bool) -> None:
    c = case(120, 10, 9, 3)
    bad = Case(*(x.copy() for x in c))
    full = np.flatnonzero(c.counts == 3)
    wrong, counted = full[::2], full[1::4]
    bad.indices[wrong, 2] = np.resize([-1, 9, 2**31 - 1, -(2**31)], len(wrong))
    bad.counts[counted] = np.resize([-1, 4, 2**31 - 1], len(counted))
    c.counts[wrong], c.counts[counted] = 2, 0
    found, expected = update(bad, backend, exact=exact), update(c, backend, exact=exact)
    np.testing.assert_array_equal(found.atoms, expected.atoms)
    np.testing.assert_array_equal(found.usage, expected.usage)
    np.testing.assert_array_equal(found.errors, expected.errors)
    kept = np.arange(3) < c.counts[:, None]
    np.testing.assert_array_equal(found.coefficients[kept], expected.coefficients[kept])
    np.testing.assert_array_equal(found.coefficients[~kept], bad.values[~kept])
    for a, b in zip(stats(bad, backend), stats(c, backend), strict=True):
        np.testing.assert_array_equal(a, b)


@in_every_order
@method
@pytest.mark.parametrize("parallel", [False, True], ids=["", "parallel"])
def test_atoms_of_signals_that_are_not_finite_stay(backend: str, parallel: bool, exact: bool) -> None:
    c = case(100, 6, 12, 2)
    used = np.flatnonzero(c.counts == 2)
    c.signals[used[0], 3], c.signals[used[1], 0], c.values[used[2], 1] = np.nan, np.inf, np.nan
    found = update(c, backend, exact=exact, parallel=parallel)
    expected = update(c, "reference", exact=exact, parallel=parallel)
    # Of a signal that is not finite nothing can be said but that it is not.
    good = np.isfinite(expected.errors)
    stay = np.unique(c.indices[~good & (c.counts > 0)][:, :2])
    np.testing.assert_array_equal(found.atoms[stay], c.dictionary[stay])
    np.testing.assert_allclose(found.atoms, expected.atoms, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.errors[good], expected.errors[good], rtol=0, atol=1e-7)
    assert not np.isfinite(found.errors[~good]).any()


@in_every_order
def test_the_longest_row_is_the_start_where_nothing_else_is(backend: str) -> None:
    """E^T g = 0 over several tiles: the longest e is 50 of row 41, the first of two that are as long."""
    signals = np.zeros((100, 3))
    signals[:, 1] = np.linspace(1, 9, 100)
    signals[41, 1], signals[70, 1] = 50, -50
    c = Case(signals, np.eye(3), np.zeros((100, 1), np.int32), np.zeros((100, 1)), np.ones(100, np.int32))
    for n_multiprocessors in (1, 3):
        emulated.set_multiprocessors(n_multiprocessors)
        found = update(c, backend, exact=True)
        np.testing.assert_allclose(found.atoms[0], [0, 1, 0], atol=1e-15)
        np.testing.assert_allclose(found.errors, 0, atol=1e-13)
        np.testing.assert_allclose(found.coefficients[:, 0], signals[:, 1], rtol=1e-14)
    c.signals[41, 1] = 1e200
    assert np.array_equal(update(c, backend, exact=True).atoms, c.dictionary)


def test_a_device_without_cooperative_launches_says_so() -> None:
    c = case(20, 129, 4, 2)  # more features than a block has alone in online_update
    a, b, _, _ = stats(c, "reference")
    emulated.set_multiprocessors(0)
    for call in (lambda: update(c, "cuda-forward"), lambda: online(a, b, c.dictionary, "cuda-forward")):
        with pytest.raises(RuntimeError, match="CUDA: the device cannot launch a kernel cooperatively"):
            call()
    update(c, "cuda-forward", parallel=True)


def test_the_border_refuses_what_does_not_fit() -> None:
    from sparsefast.kernels.cuda.memory import allocate, describe

    c = case(20, 5, 6, 2, dtype="float32")
    outputs = np.empty((6, 5), np.float32), np.empty((20, 2), np.float32), np.empty(20, np.float32)
    usage = np.empty(6, np.int64)
    n_bytes = emulated.cuda_ksvd_workspace_bytes("float32", 20, 5, 6, 2, False, False)
    workspace, small = allocate(c.signals, n_bytes), allocate(c.signals, n_bytes - 1)
    good: dict[str, Any] = {
        **{name: describe(x) for name, x in c._asdict().items()},
        "exact": False,
        "parallel": False,
        **{name: describe(x) for name, x in zip(("atoms", "coefficients", "errors"), outputs, strict=True)},
        "usage": describe(usage),
        "workspace": workspace.description,
        "device": 0,
        "stream": 0,
    }
    emulated.cuda_ksvd_update(**good)
    np.testing.assert_array_equal(usage, update(c, "reference").usage)
    other = np.empty((6, 7), np.float32)
    for change, message in (
        ({"signals": describe(c.signals.astype(np.float64))}, "dictionary must be float64, not float32"),
        ({"signals": describe(c.signals[:, :0])}, "must have features"),
        ({"signals": (16, "float32", (20, 2**31), (0, 0))}, "more than 2.30 features"),
        ({"dictionary": describe(other)}, "dictionary's features"),
        ({"dictionary": describe(other[:0, :5])}, "must not be empty"),
        ({"indices": describe(c.indices.astype(np.int16))}, "must be int32, not int16"),
        ({"indices": describe(c.indices[:19])}, "wrong shape"),
        ({"values": describe(np.asfortranarray(c.values))}, "C-contiguous"),
        ({"counts": describe(c.counts.astype(np.int64))}, "must be int32"),
        ({"atoms": describe(other)}, "wrong shape"),
        ({"errors": describe(outputs[2][:19])}, "wrong shape"),
        ({"usage": describe(usage.astype(np.int32))}, "must be int64"),
        ({"workspace": small.description}, "workspace is too small"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            emulated.cuda_ksvd_update(**{**good, **change})
