"""The way of tensors on a GPU through the public functions, walked without one: CPU tensors are taken for a GPU's, and
the emulated device for theirs (`gpu` in conftest.py). What only a device can show is in test_gpu.py."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import NearestCode, Status, dispatch
from sparsefast.ops import gradients
from tests.ops.helper import NAMED, OPS, Op, problem

pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")

every_op = pytest.mark.parametrize(
    "op", [op for op in OPS if dispatch.why_not(op.row, "cuda-emulated") is None], ids=str
)


def tensors(dtype: str = "float32") -> tuple[torch.Tensor, torch.Tensor]:
    signals, dictionary = problem(dtype)
    return torch.from_numpy(signals), torch.from_numpy(dictionary)


def expected(op: Op, signals: torch.Tensor, dictionary: torch.Tensor) -> Any:
    return op.call(signals.numpy(), dictionary.numpy(), backend="cuda-emulated")


def assert_same(result: Any, wanted: Any) -> None:
    names = ("indices", "distances") if isinstance(result, NearestCode) else ("values", "indices", "counts", "status")
    for name in names:
        a, b = getattr(result, name), getattr(wanted, name)
        assert isinstance(a, torch.Tensor)
        np.testing.assert_array_equal(a.numpy().reshape(b.shape), b, err_msg=name)
    assert result.indices.dtype == torch.int64


@every_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_go_to_the_kernel_and_come_back_as_tensors(gpu: None, op: Op, dtype: str) -> None:
    signals, dictionary = tensors(dtype)
    wanted = expected(op, signals, dictionary)
    assert_same(op.call(signals, dictionary), wanted)
    assert_same(op.call(signals.repeat_interleave(2, 1)[:, ::2], dictionary), wanted)
    result = op.call(signals[:36].reshape(4, 9, -1), dictionary)
    assert result.indices.shape[:2] == (4, 9)
    assert_same(result, expected(op, signals[:36], dictionary))


@every_op
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_are_computed_in_float32_and_rounded_once(gpu: None, op: Op, dtype: torch.dtype) -> None:
    signals, dictionary = (x.to(dtype) for x in tensors())
    result, wide = op.call(signals, dictionary), op.call(signals.float(), dictionary.float())
    name = "distances" if op.row == "nearest_code" else "values"
    assert getattr(result, name).dtype == dtype
    assert torch.equal(getattr(result, name), getattr(wide, name).to(dtype))
    assert torch.equal(result.indices, wide.indices)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int32])
def test_a_tolerance_for_each_signal(gpu: None, kind: torch.dtype) -> None:
    signals, dictionary = tensors()
    tols = (torch.arange(len(signals)) / 8).to(kind)
    result = sparsefast.omp(signals, dictionary, 3, tol=tols)
    wanted = sparsefast.omp(signals.numpy(), dictionary.numpy(), 3, tol=tols.numpy(), backend="cuda-emulated")
    assert_same(result, wanted)
    assert (wanted.status == Status.TOLERANCE).any()
    with pytest.raises(TypeError, match=r"omp: tol has dtype bool; it must be a real number for each signal"):
        sparsefast.omp(signals, dictionary, 3, tol=tols > 1)


def test_masks_broadcast_and_gram_matrices_are_taken(gpu: None) -> None:
    signals, dictionary = tensors()
    mask = np.arange(15) % 3 > 0
    result = sparsefast.omp_masked(signals[:36].reshape(4, 9, 15), torch.from_numpy(mask), dictionary, 2)
    wanted = sparsefast.omp_masked(signals[:36].numpy(), mask, dictionary.numpy(), 2, backend="cuda-emulated")
    assert_same(result, wanted)
    gram = dictionary @ dictionary.T
    wanted = sparsefast.omp(signals.numpy(), dictionary.numpy(), 3, gram=gram.numpy(), backend="cuda-emulated")
    assert_same(sparsefast.omp(signals, dictionary, 3, gram=gram), wanted)


@every_op
def test_check_finite_looks_at_all_arguments(gpu: None, op: Op) -> None:
    signals, dictionary = tensors()
    op.call(signals, dictionary, check_finite=True)
    bad = signals.clone()
    bad[7, 3] = torch.inf
    with pytest.raises(ValueError, match=r"signals holds NaN or infinity, first in row 7"):
        op.call(bad, dictionary, check_finite=True)
    bad = dictionary.clone()
    bad[4, 0] = torch.nan
    with pytest.raises(ValueError, match=r"(dictionary|codebook) holds NaN or infinity, first in row 4"):
        op.call(signals, bad, check_finite=True)
    if op.takes_tol:
        tol = torch.ones(len(signals))
        tol[2] = -1
        with pytest.raises(ValueError, match=r"tol holds -1.0 for signal 2"):
            op.call(signals, dictionary, tol=tol, check_finite=True)


def test_a_prepared_dictionary_is_packed_once_and_anew_when_it_changes(gpu: None) -> None:
    signals, dictionary = tensors()
    prepared, omp = sparsefast.prepare(dictionary), NAMED["omp"]
    assert prepared.device == "cuda:0"
    for op in (omp, NAMED["ols"], NAMED["topk"]):
        assert_same(op.call(signals, prepared), expected(op, signals, dictionary))
    layout = prepared.layout(dispatch.resolve("omp", "cuda", "float32", None), 1)
    assert prepared.layout(dispatch.resolve("ols", "cuda", "float32", None), 1) is layout
    dictionary[3] *= -2
    assert_same(omp.call(signals, prepared), expected(omp, signals, dictionary))
    dictionary.data = dictionary.flip(0)
    assert_same(omp.call(signals, prepared), expected(omp, signals, dictionary))
    np.testing.assert_array_equal(prepared.numpy(), dictionary.numpy())
    restored = pickle.loads(pickle.dumps(prepared))
    np.testing.assert_array_equal(restored.numpy(), dictionary.numpy())
    assert restored.device == "cpu"


def test_signals_and_dictionary_must_be_on_one_device(gpu: None) -> None:
    signals, dictionary = tensors()
    prepared = sparsefast.prepare(dictionary)
    with pytest.raises(ValueError, match=r"omp: signals is on cpu and dictionary on cuda:0; move one of them"):
        sparsefast.omp(signals.numpy(), prepared, 3)


@pytest.mark.parametrize("masked", [False, True], ids=["all features", "masked"])
def test_gradients_are_those_of_the_cpu(gpu: None, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    signals, dictionary = tensors("float64")
    code = sparsefast.omp(signals, dictionary, 3)
    grad = torch.from_numpy(np.random.default_rng(0).standard_normal(code.values.shape))
    mask = signals > -0.5 if masked else None
    arguments = signals, mask, dictionary, code.values, code.indices, code.counts
    composed = gradients.least_squares_gradients(grad, *arguments, True, True)
    calls = []
    solve = gradients._solve_on_device
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True))
    monkeypatch.setattr(gradients, "_solve_on_device", lambda *a: calls.append(1) or solve(*a))
    native = gradients.least_squares_gradients(grad, *arguments, True, True)
    assert calls == [1]
    for a, b in zip(native, composed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
