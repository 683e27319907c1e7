"""The loss of the dictionary bottleneck: the two terms that it stands for, in value and in both derivatives."""

import pytest
import torch
from torch.nn.functional import mse_loss

from sparsefast.nn.code_loss import code_loss


def two_terms(x, y, commitment, weight):
    return commitment * mse_loss(x, y.detach()) + weight * mse_loss(y, x.detach())


@pytest.mark.parametrize("weights", [(0.25, 1.0), (0.0, 2.0), (3.0, 0.0)], ids=str)
@pytest.mark.parametrize("shape", [(7, 3), (2, 5, 4, 3)], ids=str)
def test_it_is_the_sum_of_its_terms(shape, weights):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    found, wanted = code_loss(x, y, *weights), two_terms(x, y, *weights)
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=0)
    for a, b in zip(*(torch.autograd.grad(3 * loss, (x, y)) for loss in (found, wanted)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-16)


def test_the_side_that_needs_no_gradient_gets_none():
    x, y = torch.ones(4, 2, requires_grad=True), torch.zeros(4, 2)
    code_loss(x, y, 0.25, 1.0).backward()
    torch.testing.assert_close(x.grad, torch.full((4, 2), 2 * 0.25 / 8))
    assert y.grad is None
