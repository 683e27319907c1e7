"""16-bit numbers: computed in float32, and handed back as they came."""

import pickle

import numpy as np
import pytest
import torch

import sparsefast
from tests.ops.helper import CELLS, OPS, F, N, S, assert_same, in_torch, problem

HALF = [torch.float16, torch.bfloat16]


def in_half(dtype, batch=(N,)):
    return tuple(x.to(dtype) for x in in_torch(*problem("float32", batch=batch)))


def floats(result):
    return result.distances if isinstance(result, tuple) else result.values


def assert_narrowed(result, expected, dtype):
    """The float32 result, rounded once."""
    assert floats(result).dtype == dtype
    assert torch.equal(floats(result), floats(expected).to(dtype))
    assert torch.equal(result.indices, expected.indices)


@pytest.mark.parametrize(("op", "backend"), CELLS, ids=str)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_the_answers_are_those_of_float32_rounded_once(op, backend, dtype):
    with sparsefast.use_backend(backend):
        x, d = in_half(dtype)
        expected = op.call(x.float(), d.float())
        for dictionary in (d, sparsefast.prepare(d), sparsefast.prepare(d.clone(), watch=False)):
            assert_narrowed(op.call(x, dictionary), expected, dtype)
        wide = torch.zeros(N, 2 * F, dtype=dtype)
        wide[:, ::2] = x
        assert_narrowed(op.call(wide[:, ::2], d.t().contiguous().t()), expected, dtype)
        shaped = op.call(*in_half(dtype, batch=(2, 0)))
        assert floats(shaped).dtype == dtype and floats(shaped).shape[:2] == (2, 0)
        if dtype == torch.float16:
            assert_same(op.call(x.numpy(), d.numpy()), op.call(x, d))
            assert floats(op.call(x.numpy(), d.numpy())).dtype == np.float16
            assert_same(op.call(x.numpy(), sparsefast.prepare(d)), op.call(x, d))


@pytest.mark.parametrize("op", [op for op in OPS if op.takes_tol], ids=str)
def test_tol_is_compared_in_float32(op):
    x, d = in_half(torch.bfloat16)
    tol = torch.linspace(0.1, 3, N)
    expected = op.call(x.float(), d.float(), tol=tol)
    assert_narrowed(op.call(x, d, tol=tol), expected, torch.bfloat16)
    assert_narrowed(
        op.call(x, d, tol=tol.bfloat16()), op.call(x.float(), d.float(), tol=tol.bfloat16().float()), torch.bfloat16
    )


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_gram_has_the_dtype_of_the_dictionary(dtype):
    x, d = in_half(dtype)
    gram = d @ d.t()
    expected = sparsefast.omp(x.float(), d.float(), S, gram=gram.float())
    assert_narrowed(sparsefast.omp(x, d, S, gram=gram), expected, dtype)
    assert_narrowed(sparsefast.omp(x, sparsefast.prepare(d, gram), S), expected, dtype)
    with pytest.raises(TypeError, match=f"dictionary is {str(dtype)[6:]} and gram float32"):
        sparsefast.omp(x, d, S, gram=gram.float())


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_prepared_dictionary_keeps_its_dtype_and_sees_changes(dtype):
    x, d = in_half(dtype)
    prepared = sparsefast.prepare(d)
    assert prepared.dtype == str(dtype)[6:]
    assert prepared.dtype in repr(prepared)
    np.testing.assert_array_equal(prepared.numpy(), d.float().numpy())
    first = sparsefast.omp(x, prepared, S)
    again = pickle.loads(pickle.dumps(prepared))
    assert (again.dtype, again.shape) == (prepared.dtype, prepared.shape)
    assert sparsefast.omp(x, again, S).equals(first)
    d[3] = -d[3]
    d[4, 5] += 1
    assert sparsefast.omp(x, prepared, S).equals(sparsefast.omp(x, d.clone(), S))
    assert sparsefast.omp(x, again, S).equals(first)
    with pytest.raises(TypeError, match=f"signals is float32 and dictionary {prepared.dtype}"):
        sparsefast.omp(x.float(), prepared, S)


def test_a_coefficient_that_float16_cannot_hold_is_infinite():
    x, d = np.full((1, 1), 60000, np.float16), np.full((1, 1), 0.01, np.float16)
    assert sparsefast.omp(x, d, 1).values.tolist() == [[np.inf]]
    assert sparsefast.omp(torch.from_numpy(x), torch.from_numpy(d), 1).values.tolist() == [[np.inf]]


def test_a_row_with_nan_and_check_finite_in_16_bits():
    x, d = in_half(torch.bfloat16)
    x[2, 3] = torch.nan
    code = sparsefast.omp(x, d, S)
    assert code.values.isnan().all(dim=1).nonzero().tolist() == [[2]]
    with pytest.raises(ValueError, match="omp: signals holds NaN or infinity, first in row 2"):
        sparsefast.omp(x, d, S, check_finite=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_grid_says_that_16_bits_are_taken(dtype):
    for op in OPS:
        here = sparsefast.backends(op.row, device="cpu")
        assert sparsefast.backends(op.row, device="cpu", dtype=dtype) == here
        assert sparsefast.backends(op.row, device="cpu", dtype="int8") == []
    assert sparsefast.dispatch.why_not("omp", "reference", "cpu", "int8") == (
        "takes float32, float64, float16, bfloat16, not int8"
    )


def test_extension_dtypes_of_numpy_are_refused_by_name():
    structured = np.zeros((3, 4), np.dtype("V2"))
    with pytest.raises(TypeError, match=r"omp: signals has dtype \|V2; it must be float32, float64 or float16"):
        sparsefast.omp(structured, structured, 1)
