"""The public function: what it accepts and hands back, on every backend. The mathematics is in tests/kernels."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import Status, dispatch

BACKENDS = sparsefast.backends("omp", device="cpu")
DTYPES = ["float32", "float64"]
N, F, K, S = 37, 15, 41, 5


def problem(dtype="float64", batch=(N,), n_features=F, n_atoms=K, seed=0):
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((n_atoms, n_features))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    return rng.standard_normal((*batch, n_features)).astype(dtype), dictionary.astype(dtype)


def bound(dtype, factor=1000):
    """A few sums of F terms, and the conditioning of S atoms."""
    return factor * np.finfo(dtype).eps


@pytest.fixture(params=BACKENDS)
def backend(request):
    with sparsefast.use_backend(request.param):
        yield request.param


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_come_back_with_the_stated_shapes_and_dtypes(backend, dtype):
    x, d = problem(dtype)
    code = sparsefast.omp(x, d, S)
    assert (code.shape, code.n_nonzero, code.n_atoms, len(code)) == ((N,), S, K, N)
    assert code.values.dtype == dtype
    assert code.values.shape == (N, S)
    assert code.indices.dtype == np.int32
    assert code.indices.shape == (N, S)
    assert code.counts.dtype == np.int32
    assert (code.counts == S).all()
    assert code.status.dtype == np.uint8
    assert (code.status == Status.COMPLETE).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_backends_agree_with_the_reference(backend, dtype):
    x, d = problem(dtype)
    expected = sparsefast.omp(x, d, S, backend="reference").decode(d)
    np.testing.assert_allclose(sparsefast.omp(x, d, S).decode(d), expected, atol=bound(dtype), rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_gives_the_answers_of_numpy_bit_for_bit(backend, dtype):
    x, d = problem(dtype)
    expected = sparsefast.omp(x, d, S, tol=1.5)
    code = sparsefast.omp(torch.from_numpy(x), torch.from_numpy(d), S, tol=1.5)
    assert code.indices.dtype == torch.int64
    assert code.counts.dtype == torch.int32
    assert code.status.dtype == torch.uint8
    assert code.values.dtype == getattr(torch, dtype)
    assert code.equals(expected)


def test_signals_reach_the_kernel_and_codes_leave_it_without_a_copy(backend, monkeypatch):
    module = dispatch.resolve("omp", "cpu", "float32", backend).module
    kernel, seen = module.omp, []

    def spy(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads):
        seen[:] = [signals, values, indices, counts, status]
        kernel(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads)

    monkeypatch.setattr(module, "omp", spy)
    x, d = problem("float32", batch=(3, 7))
    for signals, dictionary in ((x, d), (torch.from_numpy(x), torch.from_numpy(d))):
        code = sparsefast.omp(signals, dictionary, S).numpy()
        for mine, theirs in zip(seen, (x, code.values, code.indices, code.counts, code.status), strict=True):
            assert np.shares_memory(mine, theirs)


def test_a_listed_backend_runs_its_own_kernel_and_no_other(backend, monkeypatch):
    calls = []
    for name in BACKENDS:
        module = dispatch.resolve("omp", "cpu", "float64", name).module
        assert module.__name__ == f"sparsefast.kernels.{name}.omp"

        def counted(*args, name=name, kernel=module.omp):
            calls.append(name)
            kernel(*args)

        monkeypatch.setattr(module, "omp", counted)
    x, d = problem()
    sparsefast.omp(x, d, S)
    assert calls == [backend]


@pytest.mark.skipif("cpu" not in BACKENDS, reason="the native module is not built")
def test_the_cpu_backend_runs_the_native_kernel(monkeypatch):
    from sparsefast.kernels.cpu import omp as adapter

    calls = []

    class Counting:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(sparsefast._native.module, name)

    monkeypatch.setattr(adapter, "_C", Counting())
    sparsefast.omp(*problem(), S, backend="cpu")
    assert {"OmpDictionary", "omp"} <= set(calls)


@pytest.mark.parametrize("batch", [(), (1,), (2, 3), (2, 1, 4), (3, 0), (0,)], ids=str)
def test_batch_dimensions_are_kept_and_change_no_answer(backend, batch):
    x, d = problem(batch=batch)
    code = sparsefast.omp(x, d, S, tol=np.full(batch, 0.5))
    assert code.shape == batch
    assert code.values.shape == (*batch, S)
    assert code.status.shape == batch
    flat = sparsefast.omp(x.reshape(-1, F), d, S, tol=0.5)
    np.testing.assert_array_equal(code.values.reshape(-1, S), flat.values)
    np.testing.assert_array_equal(code.indices.reshape(-1, S), flat.indices)
    assert code.decode(d).shape == (*batch, F)


def test_no_signals_give_an_empty_code_in_both_kinds(backend):
    x, d = problem(batch=(0,))
    assert len(sparsefast.omp(x, d, S)) == 0
    code = sparsefast.omp(torch.from_numpy(x), torch.from_numpy(d), S)
    assert code.decode(torch.from_numpy(d)).shape == (0, F)
    assert code.to_dense().shape == (0, K)


def layouts(x):
    """The same numbers laid out in every way that NumPy has."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    record = np.zeros(x.shape[0], np.dtype([("tag", "i1"), ("x", x.dtype, x.shape[1:])]))
    record["x"] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    yield "Fortran", np.asfortranarray(x)
    yield "every second", wide[..., ::2]
    yield "backwards", x[::-1, ::-1].copy()[::-1, ::-1]
    yield "unaligned", record["x"]
    yield "read-only", read_only


def test_strides_alignment_and_read_only_memory_change_no_answer(backend):
    x, d = problem("float32")
    expected = sparsefast.omp(x, d, S)
    for (name, signals), (_, dictionary) in zip(layouts(x), layouts(d), strict=True):
        assert sparsefast.omp(signals, dictionary, S).equals(expected), name
        assert sparsefast.omp(signals, sparsefast.prepare(dictionary), S).equals(expected), name
    stretched = np.broadcast_to(x[0], (4, F))
    assert sparsefast.omp(stretched, d, S).equals(expected[[0, 0, 0, 0]])
    assert sparsefast.omp(torch.from_numpy(x).t().contiguous().t(), torch.from_numpy(d), S).equals(expected)


def test_tol_is_the_norm_of_the_residual_and_not_its_square(backend):
    x, d = problem()
    code = sparsefast.omp(x, d, F, tol=1.5)
    residual = np.linalg.norm(x - code.decode(d), axis=1)
    assert (residual <= 1.5).all()
    assert (code.status == Status.TOLERANCE).all()
    for row in np.flatnonzero(code.counts > 1):
        shorter = sparsefast.omp(x[row], d, int(code.counts[row]) - 1)
        assert np.linalg.norm(x[row] - shorter.decode(d)) > 1.5


def test_tol_may_be_one_for_each_signal_of_any_real_dtype(backend):
    x, d = problem("float32")
    tol = np.linspace(0.1, 3, N)
    code = sparsefast.omp(x, d, S, tol=tol)
    assert code.equals(sparsefast.omp(x, d, S, tol=tol.astype(np.float32)))
    assert code.equals(sparsefast.omp(torch.from_numpy(x), torch.from_numpy(d), S, tol=torch.from_numpy(tol)))
    for row in (0, 17, N - 1):
        one = sparsefast.omp(x[row : row + 1], d, S, tol=float(np.float32(tol[row])))
        assert one.equals(code[row : row + 1])
    for same in (1, np.float32(1), np.array(1.0), np.float64(1)):
        assert sparsefast.omp(x, d, S, tol=same).equals(sparsefast.omp(x, d, S, tol=1.0))
    assert (sparsefast.omp(x, d, S, tol=float("inf")).counts == 0).all()
    # Never true of a norm: such an entry never stops its signal.
    assert sparsefast.omp(x, d, S, tol=np.full(N, np.nan)).equals(sparsefast.omp(x, d, S))


def test_a_gram_that_is_given_changes_no_answer(backend):
    x, d = problem()
    expected = sparsefast.omp(x, d, S).decode(d)
    for dictionary, options in ((d, {"gram": d @ d.T}), (sparsefast.prepare(d, d @ d.T), {})):
        code = sparsefast.omp(x, dictionary, S, **options)
        np.testing.assert_allclose(code.decode(d), expected, atol=bound("float64"), rtol=0)


def test_more_atoms_than_features_stops_there_with_that_status(backend):
    x, d = problem()
    code = sparsefast.omp(x, d, F + 3)
    assert code.values.shape == (N, F + 3)
    assert (code.counts <= F).all()
    assert set(code.status.tolist()) <= {Status.EXHAUSTED, Status.ORTHOGONAL, Status.DEPENDENT}
    assert (code.values[:, F:] == 0).all()
    assert (code.indices[:, F:] == 0).all()


def test_a_signal_with_nan_stays_alone_and_decodes_to_nan(backend):
    x, d = problem("float32")
    expected = sparsefast.omp(x, d, S)
    x[3, 2], x[8, 0] = np.nan, -np.inf
    code = sparsefast.omp(x, d, S)
    others = np.delete(np.arange(N), [3, 8])
    assert code[others].equals(expected[others])
    assert (code.status[[3, 8]] == Status.NONFINITE).all()
    assert (code.counts[[3, 8]] == 0).all()
    assert np.isnan(code.values[[3, 8]]).all()
    assert np.isnan(code.decode(d)[[3, 8]]).all()
