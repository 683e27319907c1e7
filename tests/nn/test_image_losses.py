"""The losses at several resolutions are what SciPy and scikit-image compute, and their gradients are exact."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch

from sparsefast.nn.image_losses import mr_dct_loss, mr_gradient_loss

LOSSES = [mr_dct_loss, mr_gradient_loss]
both = pytest.mark.parametrize("loss", LOSSES)
SIZES = [(16, 24), (17, 13), (5, 4), (3, 9), (2, 2), (1, 7), (1, 1)]


def pair(height, width, channels=3, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, batch, channels, height, width, generator=generator, dtype=torch.float64) * 2 - 1).unbind()


def luma(x):
    x = x.numpy()
    return np.tensordot([0.299, 0.587, 0.114], x, (0, 1)) if x.shape[1] == 3 else x.mean(axis=1)


def pyramid(x, levels=3):
    """By reshaping; a level with fewer than two pixels a side is none."""
    found = [luma(x)]
    for _ in range(levels - 1):
        h, w = (n // 2 for n in found[-1].shape[1:])
        if min(h, w) < 2:
            break
        found.append(found[-1][:, : 2 * h, : 2 * w].reshape(-1, h, 2, w, 2).mean(axis=(2, 4)))
    return found


def spectrum(x):
    return np.abs(scipy.fft.dctn(x, norm="ortho", axes=(1, 2)))


def edges(x):
    slopes = [[scipy.ndimage.sobel(image, axis, mode="nearest") for image in x] for axis in (0, 1)]
    return np.sqrt(np.square(slopes).sum(axis=0) + 1e-6)


def expected(loss, x, y, levels=3):
    seen = spectrum if loss is mr_dct_loss else edges
    return np.mean(
        [np.abs(seen(a) - seen(b)).mean() for a, b in zip(pyramid(x, levels), pyramid(y, levels), strict=True)]
    )


@both
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [3, 1, 2])
def test_they_are_what_scipy_computes(loss, size, channels):
    x, y = pair(*size, channels)
    assert loss(x, y).item() == pytest.approx(expected(loss, x, y), rel=1e-12)


@both
@pytest.mark.parametrize("levels", [1, 2, 5])
def test_the_number_of_levels_is_what_was_asked_for_or_what_fits(loss, levels):
    x, y = pair(15, 20)
    assert loss(x, y, levels).item() == pytest.approx(expected(loss, x, y, levels), rel=1e-12)
    assert len(pyramid(x, 5)) == 3  # 15, 7, 3


def test_edges_are_those_of_scikit_image():
    filters = pytest.importorskip("skimage.filters")
    x, _ = pair(12, 9, 1, 1)
    flat = torch.zeros_like(x)
    # Theirs has kernels of a quarter, halves the squares, and at the border repeats it, as ours does.
    theirs = np.sqrt((filters.sobel(x[0, 0].numpy(), mode="nearest") * 4 * np.sqrt(2)) ** 2 + 1e-6)
    assert mr_gradient_loss(x, flat, 1).item() == pytest.approx((theirs - 1e-3).mean(), rel=1e-12)


@both
@pytest.mark.parametrize("size", [(8, 6), (5, 7)], ids=str)
def test_gradients_are_exact(loss, size):
    x, y = pair(*size, batch=1)
    torch.autograd.gradcheck(loss, (x.requires_grad_(), y.requires_grad_()))


@both
def test_equal_images_have_no_loss_and_a_finite_gradient(loss):
    x = torch.zeros(1, 3, 8, 8, requires_grad=True)
    found = loss(x, torch.zeros(1, 3, 8, 8))
    found.backward()
    assert found.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@both
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(loss):
    x, y = pair(9, 8, batch=4)
    parts = [loss(x[i : i + 2], y[i : i + 2]) for i in (0, 2)]
    torch.testing.assert_close(sum(parts) / 2, loss(x, y), rtol=1e-13, atol=0)


@both
def test_autocast_and_half_precision_compute_in_float32(loss):
    x, y = (z.float() for z in pair(16, 16))
    plain = loss(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(x, y), plain)
    half = y.bfloat16()
    assert plain.dtype == loss(x, half).dtype == torch.float32
    assert torch.equal(loss(x, half), loss(x, half.float()))


@both
def test_what_is_computed_in_inference_mode_first_can_be_trained_later(loss):
    x, y = (z.float() for z in pair(19, 21))
    with torch.inference_mode():
        before = loss(x, y)
    y = y.clone().requires_grad_()
    after = loss(x, y)
    after.backward()
    assert after.item() == before.item()
    assert y.grad.abs().sum() > 0


def test_spectra_say_nothing_of_the_place():
    x = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    x[..., :3] = 1
    # Reversed, each odd coefficient changes its sign alone.
    assert mr_dct_loss(x, x.flip(3), 1).item() < 1e-14 < mr_dct_loss(x, 0.5 * x, 1).item()
    assert mr_gradient_loss(x, x.flip(3), 1).item() > 0.1


@both
def test_what_does_not_fit_is_refused(loss):
    x, _ = pair(8, 8)
    name = loss.__name__
    with pytest.raises(ValueError, match=rf"^{name}: reconstructions \(2, 3, 8, 7\) on cpu must be as images"):
        loss(x, x[..., :7])
    with pytest.raises(ValueError, match=rf"^{name}: images has shape \(3, 8, 8\)"):
        loss(x[0], x[0])
    with pytest.raises(TypeError, match=rf"^{name}: images is torch.uint8"):
        loss(x.to(torch.uint8), x)
    with pytest.raises(ValueError, match=rf"^{name}: levels=0"):
        loss(x, x, 0)
