"""LPIPS as a loss: that of the metric, with a gradient for the pictures and none for its network."""

import pytest
import torch

from sparsefast.metrics.networks import LPIPS
from sparsefast.metrics.perceptual import PerceptualLoss
from sparsefast.metrics.weights import find_weights


def pair(channels=3):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(2, 2, channels, 33, 40, generator=generator) * 2 - 1).unbind()


@pytest.mark.parametrize("channels", [3, 1])
def test_it_is_the_mean_of_the_metric_and_lowered_by_its_gradient(fake, channels):
    x, y = pair(channels)
    loss = PerceptualLoss(fake, (channels, 33, 40))
    three = [(z.expand(-1, 3, -1, -1) + 1) / 2 for z in (x, y)]
    y.requires_grad_()
    found = loss(x, y)
    torch.testing.assert_close(found, LPIPS(fake.lpips)(*three).mean())
    (slope,) = torch.autograd.grad(found, y)
    assert slope.abs().sum() > 0
    assert loss(x, y.detach() - 0.1 * slope / slope.abs().max()) < found
    assert loss(x, x).item() == 0


def test_autocast_leaves_it_in_float32(fake):
    x, y = pair()
    loss = PerceptualLoss(fake, (3, 33, 40))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(x, y), loss(x, y.double()))
    assert loss(x.double(), y.bfloat16()).dtype == torch.float32


def test_what_is_missing_is_named(fake):
    from sparsefast.metrics import weights

    with pytest.raises(ValueError, match=weights.FILES["lpips"][0].name):
        PerceptualLoss(weights.Weights(), (3, 64, 64))
    with pytest.raises(ValueError, match="16 x 64 pixels must be at least 31 x 31"):
        PerceptualLoss(fake, (3, 16, 64))
    with pytest.raises(ValueError, match="images of 2 channels must have 1 or 3"):
        PerceptualLoss(fake, (2, 64, 64))
    assert find_weights().lpips is None
