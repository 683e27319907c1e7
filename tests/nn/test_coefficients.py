"""The quantiser of coefficients."""

import pytest
import torch

from sparsefast.nn.coefficients import CoefficientQuantizer


@pytest.mark.parametrize("bits", [2, 5, 8, 16])
def test_the_error_is_at_most_half_a_step_and_the_levels_fit_in_the_bits(bits):
    quantizer = CoefficientQuantizer(bits).double()
    quantizer.scale.fill_(3.0)
    values = torch.linspace(-3, 3, 70_001, dtype=torch.float64)
    rounded = quantizer(values)
    half = 3 / (2 ** (bits - 1) - 1) / 2
    error = (rounded - values).abs().max()
    assert error <= half * (1 + 1e-12)
    assert error > 0.8 * half
    assert rounded.unique().numel() <= 2**bits - 1
    assert (rounded == 0).any()
    assert rounded.abs().max() == pytest.approx(3)


def test_what_is_beyond_the_scale_becomes_the_scale():
    quantizer = CoefficientQuantizer(4)
    quantizer.scale.fill_(2.0)
    assert quantizer(torch.tensor([-9.0, 9.0, 0.0])).tolist() == pytest.approx([-2, 2, 0])


def test_the_scale_follows_the_largest_coefficient_and_falls_slowly():
    quantizer = CoefficientQuantizer(4)
    values = torch.tensor([[0.1, torch.nan], [-4.0, 1.0]])
    assert torch.equal(quantizer(values[1]), values[1])  # nothing is known of the scale
    quantizer.follow(values)
    assert quantizer.scale.item() == 4
    quantizer.follow(values[:1])
    assert quantizer.scale.item() == pytest.approx(3.96)
    quantizer.follow(torch.empty(0, 2))
    assert quantizer.scale.item() == pytest.approx(3.96 * 0.99)
    quantizer.reset(values[:1])
    assert quantizer.scale.item() == pytest.approx(0.1)


@pytest.mark.parametrize("bits", [1, 17, 2.5, True])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises((ValueError, TypeError), match=f"coefficient_bits={bits}; it must be"):
        CoefficientQuantizer(bits)
