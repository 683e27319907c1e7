"""The SSIM of training curves is that of the metrics, on the middle of each image."""

import pytest
import torch

from sparsefast.metrics.central_ssim import central_ssim
from sparsefast.metrics.scores import ssim


def pair(height, width, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 2, height, width, generator=generator, dtype=torch.float64)
    return x.to(dtype), (0.8 * x + 0.2 * torch.rand(x.shape, generator=generator, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("size", [(11, 11), (32, 13), (24, 32)], ids=str)
def test_of_a_small_image_it_is_that_of_all_of_it(size):
    x, y = pair(*size)
    torch.testing.assert_close(central_ssim(x, y), ssim(x, y), rtol=1e-12, atol=0)
    x, y = pair(*size, torch.float32)
    assert central_ssim(x, y).dtype == torch.float32
    torch.testing.assert_close(central_ssim(x, y).double(), ssim(x, y), rtol=1e-4, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(central_ssim(x, y), torch.cat([central_ssim(x[:1], y[:1]), central_ssim(x[1:], y[1:])]))


def test_of_a_large_one_it_is_that_of_its_middle():
    x, y = pair(45, 64)
    middle = (..., slice(6, 38), slice(16, 48))
    torch.testing.assert_close(central_ssim(x, y), ssim(x[middle], y[middle]), rtol=1e-12, atol=0)
    x[..., :6, :] = 0
    torch.testing.assert_close(central_ssim(x, y), ssim(x[middle], y[middle]), rtol=1e-12, atol=0)


def test_images_smaller_than_the_window_are_refused():
    x, y = pair(10, 20)
    with pytest.raises(ValueError, match="images of 10 x 20 pixels must be at least 11 x 11"):
        central_ssim(x, y)
