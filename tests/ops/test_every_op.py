"""What all public ops promise alike, on every backend: arrays in, arrays out. The mathematics is in tests/kernels."""

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import Status, dispatch
from tests.ops.helper import CELLS, F, K, N, S, assert_same, bound, in_torch, layouts, parts, problem

pytestmark = pytest.mark.parametrize(("op", "backend"), CELLS, ids=str)


@pytest.fixture(autouse=True)
def _on_the_backend(backend):
    with sparsefast.use_backend(backend):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_come_back_with_the_stated_shapes_and_dtypes(op, backend, dtype):
    result = op.call(*problem(dtype))
    if op.row == "nearest_code":
        assert type(result) is sparsefast.NearestCode
        expected = {"indices": (np.int32, (N,)), "distances": (dtype, (N,))}
    else:
        assert (result.shape, result.n_nonzero, result.n_atoms, len(result)) == ((N,), S, K, N)
        expected = {"indices": (np.int32, (N, S)), "values": (dtype, (N, S))}
        expected |= {"counts": (np.int32, (N,)), "status": (np.uint8, (N,))}
    assert {name: (x.dtype, x.shape) for name, x in parts(result).items()} == expected


def test_backends_agree_with_the_reference(op, backend):
    x, d = problem()
    result, expected = parts(op.call(x, d)), parts(op.call(x, d, backend="reference"))
    for name, numbers in expected.items():
        if numbers.dtype == np.float64:
            np.testing.assert_allclose(result[name], numbers, atol=bound("float64"), rtol=0)
        else:
            np.testing.assert_array_equal(result[name], numbers)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_gives_the_answers_of_numpy_bit_for_bit(op, backend, dtype):
    x, d = problem(dtype)
    options = {"tol": 1.5} if op.takes_tol else {}
    result = op.call(*in_torch(x, d), **options)
    assert result.indices.dtype == torch.int64
    assert all(isinstance(getattr(result, name), torch.Tensor) for name in parts(result))
    assert_same(result, op.call(x, d, **options))


@pytest.mark.parametrize("batch", [(), (1,), (2, 3), (2, 1, 4), (3, 0), (0,)], ids=str)
def test_batch_dimensions_are_kept_and_change_no_answer(op, backend, batch):
    x, d = problem(batch=batch)
    flat = op.call(x.reshape(-1, F), d)
    for result in (op.call(x, d), op.call(*in_torch(x, d))):
        for (name, a), b in zip(parts(result).items(), parts(flat).values(), strict=True):
            assert a.shape == (*batch, *b.shape[1:]), name
            np.testing.assert_array_equal(a.reshape(b.shape), b, err_msg=name)


def test_strides_alignment_and_read_only_memory_change_no_answer(op, backend):
    x, d = problem("float32")
    expected = op.call(x, d)
    for (name, signals), (_, dictionary) in zip(layouts(x), layouts(d), strict=True):
        assert_same(op.call(signals, dictionary), expected)
        assert_same(op.call(signals, sparsefast.prepare(dictionary)), expected)
        assert signals.flags.writeable == (name != "read-only")
    assert_same(op.call(np.broadcast_to(x[0], (4, F)), d), expected, rows=[0, 0, 0, 0])
    assert_same(op.call(torch.from_numpy(x).t().contiguous().t(), torch.from_numpy(d)), expected)


def test_a_prepared_dictionary_gives_the_same_answers_in_both_kinds(op, backend):
    x, d = problem("float32")
    prepared = sparsefast.prepare(d)
    expected = op.call(x, d)
    for _ in range(2):
        assert_same(op.call(x, prepared), expected)
        assert_same(op.call(torch.from_numpy(x), prepared), expected)
    d *= -2
    assert_same(op.call(x, prepared), op.call(x, d.copy()))


def test_a_signal_with_nan_stays_alone_and_an_atom_with_nan_is_left_out(op, backend):
    x, d = problem("float32")
    d[K // 2] = np.nan
    expected = op.call(x, d)
    assert K // 2 not in np.asarray(expected.indices)
    x[3, 2], x[8, 0] = np.nan, -np.inf
    result = op.call(x, d)
    others = np.delete(np.arange(N), [3, 8])
    for (name, a), b in zip(parts(result).items(), parts(expected).values(), strict=True):
        np.testing.assert_array_equal(a[others], b[others], err_msg=name)
    assert (result.indices[[3, 8]] == 0).all()
    if op.row == "nearest_code":
        assert np.isnan(result.distances[[3, 8]]).all()
    else:
        assert (result.status[[3, 8]] == Status.NONFINITE).all()
        assert (result.counts[[3, 8]] == 0).all()
        assert np.isnan(result.values[[3, 8]]).all()


def test_check_finite_names_what_is_not(op, backend):
    x, d = problem("float32")
    name = "codebook" if op.row == "nearest_code" else "dictionary"
    assert_same(op.call(x, d, check_finite=True), op.call(x, d))
    bad_x, bad_d = x.copy(), d.copy()
    bad_x[4, 2], bad_d[7, 0] = np.inf, np.nan
    for signals, dictionary, where in (
        (bad_x, d, "signals holds NaN or infinity, first in row 4"),
        (x, bad_d, f"{name} holds NaN or infinity, first in row 7"),
        (x, sparsefast.prepare(bad_d), f"{name} holds NaN or infinity, first in row 7"),
    ):
        with pytest.raises(ValueError, match=f"^{op.public}: {where}"):
            op.call(signals, dictionary, check_finite=True)


def test_a_listed_backend_runs_its_own_kernel_and_no_other(op, backend, monkeypatch):
    calls = []
    for other, name in CELLS:
        module = dispatch.resolve(other.row, "cpu", "float64", name).module
        assert module.__name__ == f"sparsefast.kernels.{name}.{other.module}"

        kernel = getattr(module, other.module)

        def counted(*args, cell=(other.row, name), kernel=kernel):
            calls.append(cell)
            kernel(*args)

        monkeypatch.setattr(module, other.module, counted)
    op.call(*problem())
    assert calls == [(op.row, backend)]


def test_signals_reach_the_kernel_and_codes_leave_it_without_a_copy(op, backend, monkeypatch):
    module = dispatch.resolve(op.row, "cpu", "float32", backend).module
    kernel, seen = getattr(module, op.module), []

    def spy(*args):
        seen[:] = [x for x in args if isinstance(x, np.ndarray) and x.dtype != bool]
        kernel(*args)

    monkeypatch.setattr(module, op.module, spy)
    x, d = problem("float32", batch=(3, 7))
    for signals, dictionary in ((x, d), in_torch(x, d)):
        given = parts(op.call(signals, dictionary))
        order = given if op.row == "nearest_code" else ("values", "indices", "counts", "status")
        for mine, theirs in zip(seen, (x, *(given[name] for name in order)), strict=True):
            assert np.shares_memory(mine, theirs)


def test_what_requires_grad_is_read_as_it_is_where_gradients_are_off(op, backend):
    tensors = in_torch(*problem())
    expected = op.call(*tensors)
    required = [x.clone().requires_grad_() for x in tensors]
    with torch.no_grad():
        assert_same(op.call(*required), expected)
        assert_same(op.call(required[0], sparsefast.prepare(required[1])), expected)
    with torch.inference_mode():
        assert_same(op.call(*required), expected)
    if op.row not in ("topk", "nearest_code"):
        code = op.call(*required, gradient="none")
        assert not code.values.requires_grad
        assert_same(code, expected)
