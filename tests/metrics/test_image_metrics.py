"""Metrics of real photographs against scikit-image, our own for single pictures and torchmetrics; sets that are split
over batches and processes; LPIPS and FID with networks in the published formats."""

import json
import math
import warnings

import numpy as np
import pytest
import torch

from sparsefast.images import metrics as single
from sparsefast.metrics.image_metrics import GenerationMetrics, ImageMetrics
from tests.metrics import process_script
from tests.metrics.pictures import pieces, spoiled
from tests.two_processes import run_two

PLAIN = ("mse", "mae", "psnr", "ssim")


def measured(images, reconstructions, *, names=PLAIN, weights=None, batch=None):
    metrics = ImageMetrics(names, weights)
    for x, y in zip(images.split(batch or len(images)), reconstructions.split(batch or len(images)), strict=True):
        metrics.update(x, y)
    return metrics.compute()


def test_values_on_photographs_are_those_of_scikit_image_and_of_single_pictures():
    theirs = pytest.importorskip("skimage.metrics")
    images = pieces(6, dtype=torch.float64)
    reconstructions = torch.cat([spoiled(images[:3], 0.02), spoiled(images[3:], 0.2)])
    found = measured(images, reconstructions)
    pairs = [
        (x.numpy().transpose(1, 2, 0), y.numpy().transpose(1, 2, 0))
        for x, y in zip(images, reconstructions, strict=True)
    ]
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2)
    expected = {
        "mse": (theirs.mean_squared_error, single.mse),
        "mae": (lambda a, b: np.abs(a - b).mean(),),
        "psnr": (lambda a, b: theirs.peak_signal_noise_ratio(a, b, data_range=1), lambda a, b: single.psnr(a, b, 1)),
        "ssim": (lambda a, b: theirs.structural_similarity(a, b, **options), lambda a, b: single.ssim(a, b, 1)),
    }
    for name, functions in expected.items():
        for function in functions:
            assert found[name] == pytest.approx(np.mean([function(a, b) for a, b in pairs]), rel=1e-10), name
    # The mean of the images' PSNR is not the PSNR of the mean error.
    assert found["psnr"] > -10 * math.log10(found["mse"]) + 1


def test_ssim_is_that_of_torchmetrics_away_from_the_border():
    from torchmetrics.functional.image import structural_similarity_index_measure

    x = pieces(3, 40, torch.float64)
    y = spoiled(x, 0.1)
    _, places = structural_similarity_index_measure(y, x, data_range=1.0, reduction="none", return_full_image=True)
    expected = places[..., 5:-5, 5:-5].mean()
    assert measured(x, y)["ssim"] == pytest.approx(float(expected), rel=1e-10)


def test_by_hand():
    x = torch.full((2, 1, 11, 11), 0.5)
    y = torch.stack([x[0], x[0] - 0.25])
    found = measured(x[1:], y[1:])
    assert found["mse"] == 0.0625 and found["mae"] == 0.25
    assert found["psnr"] == pytest.approx(12.0412, abs=1e-4)
    # Of flat pictures SSIM is what its first factor is: (2 x y + c1) / (x² + y² + c1).
    assert found["ssim"] == pytest.approx((0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4), rel=1e-12)
    both = measured(x, y)
    assert both["mse"] == 0.0625 / 2 and both["psnr"] == math.inf
    assert all(math.isnan(value) for value in ImageMetrics(PLAIN).compute().values())
    # What is outside of [0, 1] is clamped; nan is not hidden.
    assert measured(x + 1, x - 1) == measured(torch.ones_like(x), torch.zeros_like(x))
    assert math.isnan(measured(x, y * math.nan)["psnr"])


def test_neither_batches_nor_resets_nor_the_inference_mode_matter():
    images = pieces(21)
    reconstructions = spoiled(images, 0.1)
    whole = measured(images, reconstructions)
    for batch in (1, 7):
        assert measured(images, reconstructions, batch=batch) == pytest.approx(whole, rel=1e-13)
    metrics = ImageMetrics(PLAIN)
    metrics.update(images[:3], images[:3])
    with torch.inference_mode():
        metrics.reset()
        metrics.update(images[:4], reconstructions[:4])
    metrics.compute()
    metrics.update(images[4:], reconstructions[4:])
    metrics.update(images[:0], reconstructions[:0])
    assert metrics.compute() == pytest.approx(whole, rel=1e-13)


def test_half_precision_is_computed_wide_even_under_autocast(fake):
    images = pieces(2).to(torch.bfloat16)
    reconstructions = spoiled(images.float(), 0.1).to(torch.bfloat16)
    names = (*PLAIN, "lpips")
    expected = measured(images.float(), reconstructions.float(), names=names, weights=fake)
    with torch.autocast("cpu", torch.bfloat16):
        assert measured(images, reconstructions, names=names, weights=fake) == expected


def test_wrong_arguments_are_named(fake):
    x = pieces(2, 10)
    metrics = ImageMetrics(("mse", "ssim"))
    for call, kind, message in (
        (lambda: ImageMetrics(("mse", "snr")), ValueError, "metrics: 'snr' must be one of mse, mae, psnr"),
        (lambda: GenerationMetrics(("ssim",)), ValueError, "metrics: 'ssim' must be one of fid"),
        (lambda: metrics.update(x, x), ValueError, "ssim: images of 10 x 10 pixels .* its window, 11 x 11"),
        (
            lambda: metrics.update((x * 255).byte(), x),
            TypeError,
            r"images of dtype torch\.uint8 must be float",
        ),
        (lambda: metrics.update(x, x[0]), ValueError, r"metrics: reconstructions of shape \(3, 10, 10\) must be \(B"),
        (lambda: metrics.update(x, x[1:]), ValueError, r"reconstructions \(1, 3, 10, 10\) .* as images, \(2, 3, 10"),
        (lambda: measured(x, x, names=("lpips",), weights=fake), ValueError, "lpips: .* must be at least 31 x 31"),
        (lambda: measured(x[:, :2], x[:, :2], names=("fid",), weights=fake), ValueError, "fid: images of 2 channels"),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_two_processes_measure_what_one_does(tmp_path):
    images = pieces(13, 24)
    others = spoiled(images, 0.1)
    torch.save((images, others), tmp_path / "images.pt")
    for done in run_two(process_script.__file__, str(tmp_path)):
        assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    first, second = (json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in range(2))
    assert first == second
    whole = measured(images, others)
    more = measured(torch.cat([images, images[:2]]), torch.cat([others, others[:2]]))
    for name, expected in {"all": whole, "again": whole, "more": more, "one": whole}.items():
        assert first[name] == pytest.approx(expected, rel=1e-13), name
    assert first["fid"] == pytest.approx(process_script.fid_of(images, others), rel=1e-9)


def test_lpips_is_zero_for_equal_images_and_grows_with_noise(fake):
    images = pieces(3)
    of_noise = [
        measured(images, spoiled(images, sigma), names=("lpips",), weights=fake)["lpips"] for sigma in (0, 0.05, 0.2)
    ]
    assert of_noise[0] == 0 and 0 < of_noise[1] < of_noise[2]
    singly = measured(images, spoiled(images, 0.2), names=("lpips",), weights=fake, batch=1)["lpips"]
    assert singly == pytest.approx(of_noise[2], rel=1e-5)
    # As torchmetrics' own class measures it, with this network.
    from torchmetrics.functional.image.lpips import _lpips_update

    from sparsefast.metrics.networks import LPIPS

    theirs = _lpips_update(images, spoiled(images, 0.2), LPIPS(fake.lpips).net, normalize=True).mean()
    assert of_noise[2] == pytest.approx(float(theirs), rel=1e-6)
    grey = images[:, :1]
    expected = measured(grey.repeat(1, 3, 1, 1), spoiled(grey, 0.1).repeat(1, 3, 1, 1), names=("lpips",), weights=fake)
    assert measured(grey, spoiled(grey, 0.1), names=("lpips",), weights=fake) == expected


def test_fid_is_zero_for_equal_sets_and_grows_with_noise(fake):
    images = pieces(4, 64)
    metrics = GenerationMetrics(weights=fake)
    metrics.update_real(images[:3])
    metrics.update_real(images[3:])
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sigma in (0, 0.4):
            metrics.update_generated(spoiled(images, sigma).flip(0))  # a set has no order
            values.append(metrics.compute()["fid"])
            metrics.reset(keep_real=True)
    equal, far = values
    # rFID of reconstructions is the same distance, in any batches.
    near = measured(images, spoiled(images, 0.1), names=("mse", "fid"), weights=fake, batch=3)["fid"]
    assert 0 <= equal < 1e-4 * far and equal < near < far
    metrics.reset()
    metrics.update_real(images[:2])
    metrics.update_generated(images[:1])
    assert math.isnan(metrics.compute()["fid"])
