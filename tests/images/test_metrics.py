"""PSNR and SSIM, against scikit-image, against numbers worked out by hand, and at their borders."""

import math

import numpy as np
import pytest

from sparsefast.images import metrics
from sparsefast.images.metrics import mse, psnr, ssim
from sparsefast.images.noise import add_noise
from sparsefast.images.photos import photos


def pairs():
    for name in ("china", "flower"):
        clean = photos()[name]
        for sigma in (2, 25):
            yield clean, add_noise(clean, sigma, 0)
        yield clean[:, :, 0], clean[:, :, 2]
        yield clean[:11, :11], clean[5:16, 3:14]
        yield clean[:12, :300], clean[5:17, 3:303]
        yield (clean / 255).astype(np.float32), (add_noise(clean, 9, 1) / 255).astype(np.float32)
        yield clean.astype(np.uint16) * 257, add_noise(clean, 9, 2).astype(np.uint16) * 257


def test_both_are_those_of_scikit_image():
    theirs = pytest.importorskip("skimage.metrics")
    for a, b in pairs():
        data_range = 1 if a.dtype == np.float32 else np.iinfo(a.dtype).max
        options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range)
        x, y = a.astype(np.float64), b.astype(np.float64)
        expected = theirs.structural_similarity(x, y, channel_axis=2 if a.ndim == 3 else None, **options)
        assert ssim(a, b, data_range) == pytest.approx(expected, abs=1e-6)
        assert psnr(a, b, data_range) == pytest.approx(theirs.peak_signal_noise_ratio(x, y, data_range=data_range))


def test_by_hand():
    a, b = np.zeros((2, 3), np.uint8), np.full((2, 3), 255, np.uint8)
    assert mse(a, b) == 255**2
    assert psnr(a, b, 255) == pytest.approx(0)
    assert psnr(a, b, 2550) == pytest.approx(20)
    assert psnr(a, a + 1, 255) == pytest.approx(48.1308, abs=1e-4)
    # Of flat pictures SSIM is what its first factor is: (2 x y + c1) / (x² + y² + c1).
    flat = np.ones((20, 20))
    c1 = 0.01**2
    assert ssim(0.5 * flat, 0.25 * flat, 1) == pytest.approx((0.25 + c1) / (0.25 + 0.0625 + c1), abs=1e-12)


def test_equal_pictures(photo):
    assert mse(photo, photo) == 0
    assert psnr(photo, photo, 255) == math.inf
    assert ssim(photo, photo, 255) == pytest.approx(1, abs=1e-12)


def test_neither_order_nor_scale_nor_bands_matter(photo, monkeypatch):
    noisy = add_noise(photo, 20, 0)
    value = ssim(photo, noisy, 255)
    assert ssim(noisy, photo, 255) == pytest.approx(value, abs=1e-12)
    assert ssim(photo / 255, noisy / 255, 1) == pytest.approx(value, abs=1e-9)
    assert value == pytest.approx(np.mean([ssim(photo[:, :, c], noisy[:, :, c], 255) for c in range(3)]), abs=1e-12)
    exact = mse(photo, noisy)
    monkeypatch.setattr(metrics, "BAND", 7)
    assert ssim(photo, noisy, 255) == pytest.approx(value, abs=1e-12)
    assert mse(photo, noisy) == pytest.approx(exact, rel=1e-14)


def test_wrong_arguments_are_named(photo):
    for call, message in (
        (lambda: psnr(photo, photo[1:], 255), r"psnr: shapes \(61, 83, 3\) and \(60, 83, 3\) differ"),
        (lambda: ssim(photo, photo[:, :, 0], 255), "ssim: shapes"),
        (lambda: mse(photo[:0], photo[:0]), "hold no pixel"),
        (lambda: psnr(photo, photo, 0), "data_range=0 must be positive"),
        (lambda: ssim(photo, photo, math.nan), "data_range=nan must be positive"),
        (lambda: ssim(photo[:10], photo[:10], 255), "83 x 10 pixels are smaller than its window, 11 x 11"),
        (lambda: ssim(np.zeros(20), np.zeros(20), 1), r"must be \(H, W\) or \(H, W, C\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
