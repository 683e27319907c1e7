"""What only a GPU can show: arrays of the device in and out, its streams, graphs and gradients; and nothing waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import dispatch
from tests.ops.helper import OPS, Op, S, bound, parts, problem

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"),
]
CELLS = [(op, b) for op in OPS for b in ("cuda", "triton") if dispatch.why_not(op.row, b) is None]
every_cell = pytest.mark.parametrize(("op", "backend"), CELLS, ids=lambda x: str(x))


def on_gpu(dtype: str = "float32") -> tuple[torch.Tensor, torch.Tensor]:
    signals, dictionary = problem(dtype)
    return torch.from_numpy(signals).cuda(), torch.from_numpy(dictionary).cuda()


def on_host(result: Any) -> dict[str, np.ndarray]:
    return parts(result._replace(**{n: getattr(result, n).cpu() for n in ("indices", "distances")})
                 if isinstance(result, tuple) else result.to("cpu"))  # fmt: skip


def test_the_extension_has_its_kernels_here() -> None:
    assert dispatch.why_not("omp", "cuda") is None


@every_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_answers_are_those_of_the_reference(op: Op, backend: str, dtype: str) -> None:
    signals, dictionary = on_gpu(dtype)
    result = on_host(op.call(signals, dictionary, backend=backend))
    wanted = parts(op.call(signals.cpu().numpy(), dictionary.cpu().numpy(), backend="reference"))
    np.testing.assert_array_equal(result["indices"], wanted["indices"])
    floats = "distances" if "distances" in wanted else "values"
    np.testing.assert_allclose(result[floats], wanted[floats], rtol=0, atol=bound(dtype))


@every_cell
def test_nothing_waits_for_the_device(op: Op, backend: str) -> None:
    signals, dictionary = on_gpu()
    op.call(signals, dictionary, backend=backend)  # compiles and probes
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        op.call(signals, dictionary, backend=backend)
        op.call(signals, sparsefast.prepare(dictionary), backend=backend)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@every_cell
def test_a_call_can_be_captured_in_a_graph(op: Op, backend: str) -> None:
    signals, dictionary = on_gpu()
    prepared = sparsefast.prepare(dictionary)
    op.call(signals, prepared, backend=backend)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = op.call(signals, prepared, backend=backend)
    signals.copy_(signals.flip(0))
    graph.replay()
    torch.cuda.synchronize()
    wanted = on_host(op.call(signals, prepared, backend=backend))
    for name, a in on_host(result).items():
        np.testing.assert_array_equal(a, wanted[name], err_msg=name)


@every_cell
def test_work_is_queued_on_the_current_stream(op: Op, backend: str) -> None:
    signals, dictionary = on_gpu()
    wanted = on_host(op.call(signals, dictionary, backend=backend))
    stream, late = torch.cuda.Stream(), torch.zeros_like(signals)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late.copy_(signals)
        result = op.call(late, dictionary, backend=backend)
    stream.synchronize()
    for name, a in on_host(result).items():
        np.testing.assert_array_equal(a, wanted[name], err_msg=name)


def test_a_dictionary_prepared_on_one_stream_is_used_on_another() -> None:
    signals, dictionary = on_gpu()
    wanted = sparsefast.omp(signals, dictionary, S)
    first, second, late = torch.cuda.Stream(), torch.cuda.Stream(), torch.zeros_like(dictionary)
    torch.cuda.synchronize()
    with torch.cuda.stream(first):
        torch.cuda._sleep(50_000_000)
        late.copy_(dictionary)
        prepared = sparsefast.prepare(late, watch=False)
        sparsefast.omp(signals, prepared, S)
    with torch.cuda.stream(second):
        result = sparsefast.omp(signals, prepared, S)
        del prepared
    torch.cuda.synchronize()
    torch.testing.assert_close(result.values, wanted.values, rtol=0, atol=0)


@every_cell
def test_results_are_the_same_every_time_and_however_a_batch_is_split(op: Op, backend: str) -> None:
    rng = np.random.default_rng(0)
    signals = torch.from_numpy(rng.standard_normal((20_000, 15)).astype(np.float32)).cuda()
    dictionary = on_gpu()[1]
    whole = on_host(op.call(signals, dictionary, backend=backend))
    again = on_host(op.call(signals, dictionary, backend=backend))
    part = on_host(op.call(signals[777:800], dictionary, backend=backend))
    for name, a in whole.items():
        assert a.tobytes() == again[name].tobytes(), name
        assert a[777:800].tobytes() == part[name].tobytes(), name


def test_what_has_the_cuda_array_interface_goes_in() -> None:
    class Foreign:
        """As an array of a library that sparsefast does not know."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor, self.shape, self.ndim = tensor, tuple(tensor.shape), tensor.ndim
            self.__cuda_array_interface__ = tensor.__cuda_array_interface__

    signals, dictionary = on_gpu()
    code = sparsefast.omp(Foreign(signals), Foreign(dictionary), S)
    torch.testing.assert_close(code.values, sparsefast.omp(signals, dictionary, S).values, rtol=0, atol=0)


def test_cupy_arrays_go_in_and_come_out() -> None:
    cupy = pytest.importorskip("cupy")
    signals, dictionary = problem("float32")
    code = sparsefast.omp(cupy.asarray(signals), cupy.asarray(dictionary), S)
    assert isinstance(code.values, cupy.ndarray)
    wanted = sparsefast.omp(torch.from_numpy(signals).cuda(), torch.from_numpy(dictionary).cuda(), S)
    np.testing.assert_array_equal(cupy.asnumpy(code.values), wanted.values.cpu().numpy())
    decoded = cupy.asnumpy(code.decode(cupy.asarray(dictionary)))
    np.testing.assert_allclose(decoded, wanted.decode(torch.from_numpy(dictionary).cuda()).cpu().numpy(), atol=1e-5)


@pytest.mark.parametrize("op", [op for op in OPS if dispatch.why_not(op.row, "cuda") is None], ids=str)
def test_gradients_are_those_of_the_cpu(op: Op) -> None:
    there = [x.requires_grad_() for x in on_gpu("float64")]
    here = [x.detach().cpu().requires_grad_() for x in there]

    def loss(result: Any) -> torch.Tensor:
        return (result.distances if isinstance(result, tuple) else result.values).square().sum()

    loss(op.call(*there)).backward()
    loss(op.call(*here)).backward()
    for a, b in zip(there, here, strict=True):
        torch.testing.assert_close(a.grad.cpu(), b.grad, rtol=1e-9, atol=1e-10)


def test_autocast_and_compile() -> None:
    signals, dictionary = on_gpu()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        code = sparsefast.omp(signals, dictionary, S)
    assert code.values.dtype == torch.float32
    compiled = torch.compile(lambda x, d: sparsefast.omp(x, d, S).values, fullgraph=True)
    torch.testing.assert_close(compiled(signals, dictionary), code.values)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_the_current_device_is_left_as_it_was() -> None:
    signals, dictionary = (x.to("cuda:1") for x in on_gpu())
    assert sparsefast.omp(signals, dictionary, S).values.device.index == 1
    assert torch.cuda.current_device() == 0
