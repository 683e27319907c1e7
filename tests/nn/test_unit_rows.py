"""Unit rows: the values of torch.nn.functional.normalize and its gradient, at zero rows too."""

import pytest
import torch
from torch.nn.functional import normalize

from sparsefast.nn.unit_rows import unit_rows


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_values_and_gradient_are_those_of_normalize(scale):
    torch.manual_seed(0)
    rows = (scale * torch.randn(7, 5, dtype=torch.float64)).requires_grad_()
    grad = torch.randn(7, 5, dtype=torch.float64)
    out, expected = unit_rows(rows), normalize(rows, dim=1)
    assert torch.equal(out, expected)
    found, wanted = (torch.autograd.grad(x, rows, grad)[0] for x in (out, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12 / scale)


def test_rows_of_zero_stay_and_their_gradient_is_finite():
    rows = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    out = unit_rows(rows)
    assert torch.equal(out, torch.zeros(2, 3, dtype=torch.float64))
    (found,) = torch.autograd.grad(out.sum(), rows)
    assert torch.isfinite(found).all()


def test_the_gradient_is_right():
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_rows, rows)
    assert torch.autograd.gradgradcheck(unit_rows, rows)


def test_it_compiles_and_maps():
    rows = torch.randn(3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(unit_rows)(rows), normalize(rows, dim=2))
    compiled = torch.compile(unit_rows, fullgraph=True, backend="aot_eager")
    for call in (unit_rows, compiled):
        x = rows[0].clone().requires_grad_()
        (call(x) ** 3).sum().backward()
        if call is unit_rows:
            expected = x.grad
    torch.testing.assert_close(x.grad, expected)
