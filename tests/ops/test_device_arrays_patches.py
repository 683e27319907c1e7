"""The way of images on a GPU through `unfold` and `fold`, walked without one, as test_device_arrays.py walks that of
signals. What only a device can show is in test_gpu_patches.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import sparsefast
from sparsefast import fold, unfold
from sparsefast.device_kinds import TorchDeviceKind
from sparsefast.ops.patch_weights import kept
from tests.ops.patch_cases import DTYPES, every_border, every_layout, picture

pytest.importorskip("sparsefast._emulated", reason="development builds alone have the emulated device")
pytestmark = pytest.mark.usefixtures("gpu")

SIZE = (13, 18)
PLACES: dict[str, dict[str, Any]] = dict(patch_size=(5, 4), stride=(3, 4))
WINDOW = np.random.default_rng(0).uniform(0.2, 1, (5, 4))
CENTERS = [[2.5, 3.0], [2.0, 3.9], [-1.0, 4.0], [40.0, 4.0], [np.nan, 1.0], [7.0, 9.0], [12.0, 17.0], [1e30, -1e30]]


def images(dtype: str = "float32", n_channels: int = 2) -> torch.Tensor:
    return picture(dtype, SIZE)[:, :n_channels].contiguous()


def same(result: Any, wanted: Any) -> None:
    """The same bits, as a tensor."""
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), wanted, strict=True)


def kernel_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """What the kernel module is called with from now on."""
    module = sparsefast.dispatch.resolve(name, "cuda", "float32", None).module
    calls: list[Any] = []
    for function in (name, f"{name}_at"):
        run = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *a, run=run: (calls.append(a), run(*a))[1])
    return calls


@every_border
@every_layout
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bfloat16"])
def test_tensors_go_to_the_kernels_and_come_back_as_tensors(dtype: str, layout: str, border: str) -> None:
    x, options = images(dtype), dict(PLACES, layout=layout, border=border)
    here = dict(options, backend="cuda-emulated")
    wanted = unfold(x.numpy(), **here)
    result = unfold(x, **options)
    same(result, wanted)
    for normalize in (True, False):
        same(fold(result, SIZE, normalize=normalize, **options), fold(wanted, SIZE, normalize=normalize, **here))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits_are_summed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    x = images().to(dtype) / 7
    p = unfold(x, **PLACES)
    assert torch.equal(p.float(), unfold(x.float(), **PLACES)) and p.dtype == dtype
    for options in ({}, {"weights": "gaussian"}, {"weights": "kaiser", "normalize": False}):
        result = fold(p, SIZE, **options, **PLACES)
        assert result.dtype == dtype
        assert torch.equal(result, fold(p.float(), SIZE, **options, **PLACES).to(dtype))


@pytest.mark.parametrize("normalize", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize("confidence", [None, "each patch", "each image"])
@pytest.mark.parametrize("weights", ["uniform", "gaussian", "kaiser", "array"])
def test_weights(weights: str, confidence: str | None, normalize: bool) -> None:
    p = unfold(images(), **PLACES)
    n = p.shape[-1]
    window = WINDOW if weights == "array" else weights
    factors = None
    if confidence:
        shape = (2, n) if confidence == "each image" else (n,)
        factors = np.random.default_rng(1).uniform(0, 1, shape).astype(np.float32)
    tensor = torch.from_numpy
    result = fold(
        p, SIZE, weights=window if isinstance(window, str) else tensor(window), normalize=normalize,
        confidence=None if factors is None else tensor(factors), **PLACES,
    )  # fmt: skip
    options = dict(weights=window, normalize=normalize, confidence=factors, **PLACES)
    # On the CPU a window of one's own has its inverse made beforehand; on a GPU it is not looked at.
    wanted = fold(p.numpy(), SIZE, backend="cuda-emulated", **options)
    np.testing.assert_allclose(result, wanted, rtol=20 * np.finfo(np.float32).eps, atol=0)


@pytest.mark.parametrize("each_image", [False, True], ids=["shared", "of each image"])
@every_layout
def test_centers(layout: str, each_image: bool) -> None:
    x, places = images(), np.array(CENTERS)
    if each_image:
        places = np.stack([places, places[::-1] + 1])
    options: dict[str, Any] = dict(patch_size=(5, 4), layout=layout)
    here = dict(options, centers=places, backend="cuda-emulated")
    there = dict(options, centers=torch.from_numpy(places))
    p, wanted = unfold(x, **there), unfold(x.numpy(), **here)
    same(p, wanted)
    for more in ({}, {"weights": "gaussian"}, {"normalize": False}):
        same(fold(p, SIZE, **more, **there), fold(wanted, SIZE, **more, **here))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float16, torch.float32], ids=str)
def test_centers_of_any_dtype(dtype: torch.dtype) -> None:
    x, places = images(), torch.tensor([[2, 3], [-1, 4], [7, 9]])
    wanted = unfold(x, 3, centers=places.double())
    assert torch.equal(unfold(x, 3, centers=places.to(dtype)), wanted)


def test_patch_centers_are_like_the_images() -> None:
    x = images()
    centers = sparsefast.patch_centers(SIZE, like=x, **PLACES)
    assert isinstance(centers, torch.Tensor) and centers.dtype == torch.float32
    assert torch.equal(unfold(x, (5, 4), centers=centers), unfold(x, **PLACES))


def memory_orders(x: torch.Tensor) -> dict[str, torch.Tensor]:
    b, c, h, w = x.shape
    return {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "every second pixel": x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, ::2, ::2],
        "turned": x.transpose(2, 3).contiguous().transpose(2, 3),
        "one row for all": x[:, :, :1].expand(b, c, h, w),
        "one image for all": x[:1].expand(b, c, h, w),
    }


@every_layout
def test_images_and_patches_of_any_strides(layout: str) -> None:
    options = dict(PLACES, layout=layout)
    for name, x in memory_orders(images()).items():
        assert torch.equal(unfold(x, **options), unfold(x.contiguous(), **options)), name
    p = unfold(images(), **options)
    wanted = fold(p, SIZE, **options)
    orders = {
        "apart": p.repeat_interleave(2, -1)[..., ::2],
        "turned": p.transpose(1, 2).contiguous().transpose(1, 2),
        "of a larger batch": torch.stack([p, p], 1)[:, 0],
    }
    for name, other in orders.items():
        assert torch.equal(fold(other, SIZE, **options), wanted), name


def test_negated_tensors_are_read_as_what_they_are() -> None:
    x = torch._neg_view(images())
    assert torch.equal(unfold(x, **PLACES), -unfold(images(), **PLACES))
    p = torch._neg_view(unfold(images(), **PLACES))
    assert torch.equal(fold(p, SIZE, **PLACES), -fold(unfold(images(), **PLACES), SIZE, **PLACES))


def test_turned_columns_are_taken_as_rows_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    p = unfold(images(), layout="signals", **PLACES)
    calls = kernel_calls(monkeypatch, "fold")
    fold(p.transpose(1, 2), SIZE, **PLACES)
    ((given, _, rows, *_),) = calls
    assert rows and given.data_ptr() == p.data_ptr()


def test_weights_that_a_graph_reads_are_held_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    p = unfold(images(), **PLACES)
    calls = kernel_calls(monkeypatch, "fold")
    monkeypatch.setattr(kept, "held", {})
    fold(p, SIZE, weights="gaussian", **PLACES)
    assert not kept.held
    monkeypatch.setattr(TorchDeviceKind, "in_use", lambda self, x: False)
    fold(p, SIZE, weights="gaussian", **PLACES)
    (first, second) = calls
    window, inverse = second[4], second[6]
    assert window is first[4] and inverse is first[6]
    sparsefast.release_memory()
    assert set(kept.held) == {id(window), id(inverse)}


def test_what_is_a_view_of_the_images_runs_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images()
    calls = kernel_calls(monkeypatch, "unfold")
    views = unfold(x, 5, 5, border="drop", layout="patches"), unfold(x, 1), unfold(x[0], SIZE, layout="signals")
    assert [v.data_ptr() for v in views[1:]] == [x.data_ptr()] * 2 and len(calls) == 1
    np.testing.assert_array_equal(views[0], unfold(x.numpy(), 5, 5, border="drop", layout="patches"))


@every_layout
def test_one_image_without_a_batch(layout: str) -> None:
    x, options = images(), dict(PLACES, layout=layout)
    p = unfold(x[1], **options)
    assert torch.equal(p, unfold(x, **options)[1])
    confidence = torch.rand(len(p) if layout != "columns" else p.shape[1], generator=torch.Generator().manual_seed(0))
    result = fold(p, SIZE, confidence=confidence, **options)
    assert torch.equal(result, fold(p[None], SIZE, confidence=confidence[None], **options)[0])


@pytest.mark.parametrize("centers", [None, torch.tensor([[2.0, 3.0], [7.0, 9.0]])], ids=["grid", "centers"])
@every_layout
def test_nothing_is_written_for_nothing(layout: str, centers: torch.Tensor | None) -> None:
    options: dict[str, Any] = dict(PLACES, layout=layout) if centers is None else dict(patch_size=3, centers=centers)
    if centers is not None:
        options["layout"] = layout
    for x in (images()[:0], images()[:, :0]):
        p = unfold(x, **options)
        assert fold(p, SIZE, **options).shape == x.shape
    none = dict(patch_size=3, centers=torch.zeros((0, 2)), layout=layout)
    assert not fold(unfold(images(), **none), SIZE, **none).any()


@pytest.mark.parametrize("batched", [True, False], ids=["batch", "one image"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_is_written_and_returned(dtype: str, batched: bool) -> None:
    x = images(dtype) if batched else images(dtype)[0]
    wanted = unfold(x, **PLACES)
    out = torch.full_like(wanted, 77)
    assert unfold(x, out=out, **PLACES) is out and torch.equal(out, wanted)
    of_images = torch.full_like(x, 77)
    assert fold(out, SIZE, out=of_images, **PLACES) is of_images
    assert torch.equal(of_images, fold(out, SIZE, **PLACES))
    pixels = torch.full((*x.shape[:-3], x.shape[-3], SIZE[0] * SIZE[1]), 77, dtype=x.dtype)
    assert unfold(x, 1, out=pixels) is pixels and torch.equal(pixels, x.flatten(-2))


def test_out_that_cannot_be_written_is_refused() -> None:
    x = images()
    p = unfold(x, **PLACES)
    with pytest.raises(ValueError, match=r"unfold: out lies in the memory of images; pass another array"):
        unfold(x, 1, out=x.view(2, 2, -1))
    with pytest.raises(ValueError, match=r"unfold: out has strides \(.*\) \(in elements\); it must be C-contiguous"):
        unfold(x, out=torch.empty(2, *p.shape[:0:-1]).transpose(1, 2), **PLACES)
    with pytest.raises(ValueError, match=r"fold: out has shape \(2, 13, 18\); it must be \(2, 2, 13, 18\)"):
        fold(p, SIZE, out=torch.empty((2, *SIZE)), **PLACES)
    with pytest.raises(TypeError, match=r"fold: out has dtype float64; it must be that of patches, float32"):
        fold(p, SIZE, out=torch.empty(x.shape, dtype=torch.float64), **PLACES)
    with pytest.raises(ValueError, match=r"fold: out is read-only, or records gradients"):
        fold(p, SIZE, out=torch._neg_view(torch.empty_like(x)), **PLACES)
    with pytest.raises(ValueError, match=r"fold: out records no gradient, and an argument requires grad"):
        fold(p.clone().requires_grad_(), SIZE, out=torch.empty_like(x), **PLACES)


def test_arguments_of_two_kinds_are_refused() -> None:
    x = images()
    p, centers = unfold(x, **PLACES), np.array([[2.0, 3.0]])
    kinds = r"is a PyTorch tensor and {} a NumPy array; pass both as one kind"
    with pytest.raises(TypeError, match=r"unfold: images " + kinds.format("centers")):
        unfold(x, 3, centers=centers)
    with pytest.raises(TypeError, match=r"fold: patches " + kinds.format("weights")):
        fold(p, SIZE, weights=WINDOW, **PLACES)
    with pytest.raises(TypeError, match=r"fold: patches " + kinds.format("confidence")):
        fold(p, SIZE, confidence=np.ones(p.shape[-1]), **PLACES)
    with pytest.raises(TypeError, match=r"unfold: images " + kinds.format("out")):
        unfold(x, out=p.numpy(), **PLACES)
    with pytest.raises(sparsefast.BackendUnavailable, match=r"cpu: runs on CPU arrays only"):
        unfold(x, backend="cpu", **PLACES)


def test_two_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    p = unfold(images(), **PLACES)
    monkeypatch.setattr(sparsefast.kinds.TorchKind, "device", lambda self, x: f"cuda:{x.stride(-1) - 1}")
    confidence = torch.ones(2 * p.shape[-1])[::2]
    with pytest.raises(ValueError, match=r"fold: patches is on cuda:0 and confidence on cuda:1; move one of them"):
        fold(p, SIZE, confidence=confidence, **PLACES)


@pytest.mark.parametrize("normalize", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize(
    "places", [PLACES, dict(patch_size=(5, 4), centers=torch.tensor(CENTERS))], ids=["grid", "centers"]
)
def test_gradients_are_those_of_a_plain_sum(places: dict[str, Any], normalize: bool) -> None:
    x = (images("float64", 1) / 255).requires_grad_()
    window = torch.from_numpy(WINDOW).requires_grad_()
    n = unfold(x.detach(), **places).shape[-1]
    confidence = torch.linspace(0.5, 1.5, 2 * n, dtype=torch.float64).view(2, n).requires_grad_()

    def call(x: torch.Tensor, window: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        p = unfold(x, **places).square()
        return fold(p, SIZE, weights=window, confidence=confidence, normalize=normalize, **places)

    assert torch.autograd.gradcheck(call, (x, window, confidence), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, window, confidence), fast_mode=True)


@pytest.mark.parametrize("weights", ["uniform", "gaussian"])
def test_gradients_through_named_windows(weights: str) -> None:
    p = unfold(images("float64"), **PLACES).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: fold(p, SIZE, weights=weights, **PLACES), p, fast_mode=True)
