"""What only a GPU can show of `unfold` and `fold`, as test_gpu.py does of the coders: arrays of the device in and out,
its streams, graphs and gradients; and nothing waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import dispatch, fold, unfold
from tests.ops.patch_cases import DTYPES, every_border, every_layout, picture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"),
]
every_backend = pytest.mark.parametrize(
    "backend", [b for b in ("cuda", "triton") if dispatch.why_not("fold", b) is None]
)

SIZE = (61, 83)
PLACES: dict[str, Any] = dict(patch_size=(8, 7), stride=(3, 4))
CENTERS = torch.tensor([[2.5, 3.0], [2.0, 3.9], [-1.0, 4.0], [90.0, 4.0], [torch.nan, 1.0], [7.0, 9.0], [60.0, 82.0]])
EPS = torch.finfo(torch.float32).eps


def images(dtype: str = "float32") -> torch.Tensor:
    return picture(dtype, SIZE).cuda()


def denoised(x: torch.Tensor, p: torch.Tensor, confidence: torch.Tensor, **options: Any) -> tuple[torch.Tensor, ...]:
    """A call of every form: on the grid with each kind of weights, and at centers."""
    centers = CENTERS.to(x.device) if "centers" not in options else options.pop("centers")
    window = torch.ones(8, 7, device=x.device)
    at = dict(patch_size=(8, 7), centers=centers, **options)
    return (
        unfold(x, **PLACES, **options),
        fold(p, SIZE, **PLACES, **options),
        fold(p, SIZE, weights="gaussian", **PLACES, **options),
        fold(p, SIZE, weights=window, confidence=confidence, **PLACES, **options),
        fold(p, SIZE, normalize=False, **PLACES, **options),
        fold(unfold(x, **at), SIZE, **at),
    )


def arguments(dtype: str = "float32") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = images(dtype)
    p = unfold(x, **PLACES)
    return x, p, torch.linspace(0.5, 1.5, p.shape[-1], device="cuda")


def test_the_extension_has_its_kernels_here() -> None:
    assert dispatch.why_not("unfold", "cuda") is None
    assert dispatch.why_not("fold", "cuda") is None


@every_backend
@every_border
@every_layout
@pytest.mark.parametrize("dtype", DTYPES)
def test_answers_are_those_of_the_cpu(backend: str, dtype: str, layout: str, border: str) -> None:
    x, options = images(dtype), dict(PLACES, layout=layout, border=border)
    p = unfold(x, backend=backend, **options)
    assert p.is_cuda and torch.equal(p.cpu(), unfold(x.cpu(), **options))
    # Products may or may not be rounded before they are added: a last place for each of the at most 9 + 4 patches; and
    # that of the result, once more.
    places = {"uint8": 0.0, "float16": 2.0**-10, "bfloat16": 2.0**-7}.get(dtype, 0.0)
    eps = torch.finfo(torch.float64).eps if dtype == "float64" else EPS
    for more in ({}, {"weights": "gaussian"}, {"normalize": False}):
        result = fold(p, SIZE, backend=backend, **more, **options)
        wanted = fold(p.cpu(), SIZE, **more, **options)
        assert result.is_cuda and result.dtype == x.dtype
        atol = 1 if dtype == "uint8" else 0
        torch.testing.assert_close(result.cpu(), wanted, rtol=26 * eps + places, atol=atol)


@every_backend
def test_images_of_any_strides_and_patches_at_centers(backend: str) -> None:
    x = images()
    centers = CENTERS.cuda()
    for other in (
        x.contiguous(memory_format=torch.channels_last),
        x.repeat_interleave(2, 3)[..., ::2],
        x[:1].expand_as(x),
        x.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        same = other.contiguous()
        assert torch.equal(unfold(other, backend=backend, **PLACES), unfold(same, backend=backend, **PLACES))
        p = unfold(other, (8, 7), centers=centers, backend=backend)
        assert torch.equal(p.cpu(), unfold(same.cpu(), (8, 7), centers=CENTERS))
    whole = fold(p, SIZE, (8, 7), centers=centers, backend=backend)
    torch.testing.assert_close(whole.cpu(), fold(p.cpu(), SIZE, (8, 7), centers=CENTERS), rtol=20 * EPS, atol=0)


@every_backend
def test_nothing_waits_for_the_device(backend: str) -> None:
    given = arguments()
    centers = CENTERS.cuda()
    denoised(*given, centers=centers, backend=backend)  # compiles, probes and makes the weights that are kept
    out = torch.empty_like(given[0])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        denoised(*given, centers=centers, backend=backend)
        fold(given[1], SIZE, out=out, backend=backend, **PLACES)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@every_backend
def test_calls_can_be_captured_in_a_graph(backend: str) -> None:
    x, p, confidence = arguments()
    centers = CENTERS.cuda()
    denoised(x, p, confidence, centers=centers, backend=backend)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = denoised(x, p, confidence, centers=centers, backend=backend)
    # What a graph reads stays, whatever becomes of the weights that are kept.
    sparsefast.release_memory()
    torch.cuda.empty_cache()
    filled = [torch.full(SIZE, torch.nan, device="cuda") for _ in range(64)]
    for a in (x, p, confidence, centers):
        a.copy_(a.flip(0))
    graph.replay()
    torch.cuda.synchronize()
    del filled
    for result, wanted in zip(results, denoised(x, p, confidence, centers=centers, backend=backend), strict=True):
        assert torch.equal(result, wanted)


def on_a_stream_that_is_late(call: Callable[..., Any], *given: torch.Tensor) -> Any:
    """What a call gives on a stream on which its arguments arrive long after it was made."""
    stream, late = torch.cuda.Stream(), [torch.zeros_like(a) for a in given]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        for to, a in zip(late, given, strict=True):
            to.copy_(a)
        result = call(*late)
    stream.synchronize()
    return result


@every_backend
def test_work_is_queued_on_the_current_stream(backend: str) -> None:
    given = arguments()
    wanted = denoised(*given, backend=backend)
    for a, b in zip(
        on_a_stream_that_is_late(lambda *late: denoised(*late, backend=backend), *given), wanted, strict=True
    ):
        assert torch.equal(a, b)


@every_backend
def test_weights_that_are_kept_outlive_the_work_of_another_stream(backend: str) -> None:
    _, p, _ = arguments()
    wanted = fold(p, SIZE, weights="gaussian", backend=backend, **PLACES)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        result = fold(p, SIZE, weights="gaussian", backend=backend, **PLACES)
    sparsefast.release_memory()
    filled = [torch.full(shape, torch.nan, device="cuda") for shape in [SIZE, (8, 7)] * 32]
    torch.cuda.synchronize()
    del filled
    assert torch.equal(result, wanted)


@every_backend
def test_results_are_the_same_every_time_and_however_a_batch_is_split(backend: str) -> None:
    x = torch.randn((64, 3, *SIZE), generator=torch.Generator().manual_seed(0)).cuda()
    p = unfold(x, backend=backend, **PLACES)
    for options in ({}, {"weights": "kaiser"}, {"normalize": False}):
        whole = fold(p, SIZE, backend=backend, **options, **PLACES)
        assert torch.equal(whole, fold(p, SIZE, backend=backend, **options, **PLACES))
        assert torch.equal(whole[17:20], fold(p[17:20], SIZE, backend=backend, **options, **PLACES))


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_is_written_and_returned(backend: str, dtype: str) -> None:
    x = images(dtype)
    wanted = unfold(x, backend=backend, **PLACES)
    out = torch.full_like(wanted, 77)
    assert unfold(x, out=out, backend=backend, **PLACES) is out and torch.equal(out, wanted)
    of_images = torch.full_like(x, 77)
    assert fold(out, SIZE, out=of_images, backend=backend, **PLACES) is of_images
    assert torch.equal(of_images, fold(out, SIZE, backend=backend, **PLACES))


def test_views_are_of_the_same_memory() -> None:
    x = images()
    view = unfold(x, 5, 5, border="drop", layout="patches")
    assert unfold(x, 1).data_ptr() == x.data_ptr()
    torch.testing.assert_close(view.cpu(), unfold(x.cpu(), 5, 5, border="drop", layout="patches"), rtol=0, atol=0)


@pytest.mark.parametrize("normalize", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize("weights", ["gaussian", "array"])
def test_gradients_are_those_of_the_cpu(weights: str, normalize: bool) -> None:
    def gradients(device: str) -> tuple[torch.Tensor, ...]:
        x = (picture("float64", SIZE)[:, :1].to(device) / 255).requires_grad_()
        window = torch.linspace(0.2, 1, 56, dtype=torch.float64, device=device).view(8, 7).requires_grad_()
        p = unfold(x, **PLACES)
        confidence = torch.linspace(0.5, 1.5, p.shape[-1], dtype=torch.float64, device=device).requires_grad_()
        result = fold(
            p.square(), SIZE, weights=window if weights == "array" else weights, confidence=confidence,
            normalize=normalize, **PLACES,
        )  # fmt: skip
        of = (x, confidence, window) if weights == "array" else (x, confidence)
        return torch.autograd.grad(result.square().sum(), of)

    for there, here in zip(gradients("cuda"), gradients("cpu"), strict=True):
        torch.testing.assert_close(there.cpu(), here, rtol=1e-10, atol=1e-10)


def test_gradients_do_not_wait_for_the_device() -> None:
    def run(weights: str) -> None:
        q = p.detach().requires_grad_()
        fold(q, SIZE, weights=weights, **PLACES).backward(g)

    _, p, _ = arguments()
    g = torch.ones_like(images())
    for weights in ("uniform", "gaussian"):
        run(weights)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            run(weights)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_autocast_and_compile() -> None:
    x, p, _ = arguments()
    wanted = fold(p, SIZE, weights="gaussian", **PLACES)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.equal(fold(p, SIZE, weights="gaussian", **PLACES), wanted)
    compiled = torch.compile(
        lambda x: fold(unfold(x, **PLACES) + 0, SIZE, weights="gaussian", **PLACES), fullgraph=True
    )
    torch.testing.assert_close(compiled(x), wanted)


def test_cupy_arrays_go_in_and_come_out() -> None:
    cupy = pytest.importorskip("cupy")
    x, p, confidence = (cupy.asarray(a.cpu().numpy()) for a in arguments())
    centers = cupy.asarray(CENTERS.numpy())
    results = (
        unfold(x, **PLACES),
        fold(p, SIZE, weights="gaussian", **PLACES),
        fold(p, SIZE, weights=cupy.ones((8, 7)), confidence=confidence, **PLACES),
        fold(unfold(x, (8, 7), centers=centers), SIZE, (8, 7), centers=centers),
        fold(p, SIZE, out=cupy.full(x.shape, 77, x.dtype), **PLACES),
    )
    mine = denoised(*arguments())
    for result, wanted in zip(results, (mine[0], mine[2], mine[3], mine[5], mine[1]), strict=True):
        assert isinstance(result, cupy.ndarray)
        np.testing.assert_array_equal(cupy.asnumpy(result), wanted.cpu().numpy())


def test_what_has_the_cuda_array_interface_goes_in() -> None:
    class Foreign:
        """As an array of a library that sparsefast does not know."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor, self.shape, self.ndim = tensor, tuple(tensor.shape), tensor.ndim
            self.__cuda_array_interface__ = tensor.__cuda_array_interface__

    x, p, _ = arguments()
    assert torch.equal(unfold(Foreign(x), **PLACES), p)
    assert torch.equal(fold(Foreign(p), SIZE, **PLACES), fold(p, SIZE, **PLACES))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_the_current_device_is_left_as_it_was() -> None:
    p = unfold(images().to("cuda:1"), **PLACES)
    assert fold(p, SIZE, weights="gaussian", **PLACES).device.index == 1
    assert torch.cuda.current_device() == 0
