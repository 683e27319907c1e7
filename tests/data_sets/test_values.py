"""From 8 bits to the scale of models and back."""

import numpy as np
import pytest
import torch

from sparsefast.data.values import to_model, to_uint8, to_unit
from sparsefast.images.photos import photos

EVERY = torch.arange(256, dtype=torch.uint8)


def test_a_photograph_comes_back_bit_for_bit():
    image = torch.from_numpy(photos()["flower"]).permute(2, 0, 1)[None]
    x = to_model(image)
    assert x.dtype == torch.float32
    assert (x.min() >= -1, x.max() <= 1, x.std() > 0.1) == (True, True, True)
    assert torch.equal(to_uint8(x), image)
    assert torch.equal((to_unit(x) * 255).round().to(torch.uint8), image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_each_of_256_values_comes_back(dtype):
    x = to_model(EVERY, dtype)
    assert x.dtype == dtype
    assert (x[0], x[-1]) == (-1, 1)
    assert torch.equal(to_uint8(x), EVERY)


def test_numbers_from_0_to_1_go_to_the_same_as_8_bits():
    # Two roundings of numbers up to 2.
    torch.testing.assert_close(to_model(EVERY / 255), to_model(EVERY), rtol=0, atol=4 * np.finfo(np.float32).eps)
    x = torch.tensor([0, 0.25, 1], dtype=torch.float64)
    assert to_model(x, torch.float64).tolist() == [-1, -0.5, 1]
    assert to_unit(torch.tensor([-1, -0.5, 1])).tolist() == [0, 0.25, 1]


def test_what_lies_outside_is_held_to_the_range():
    x = torch.tensor([-7, -1.0001, 1.0001, 9, torch.inf, -torch.inf, torch.nan])
    assert to_uint8(x).tolist() == [0, 0, 255, 255, 255, 0, 0]
    assert to_unit(x)[:-1].tolist() == [0, 0, 1, 1, 1, 0]


def test_another_dtype_is_named():
    with pytest.raises(TypeError, match=r"to_model: images of dtype torch.int64 must be uint8"):
        to_model(EVERY.long())
    for function in (to_unit, to_uint8):
        with pytest.raises(TypeError, match=rf"{function.__name__}: x of dtype torch.uint8 must be floating"):
            function(EVERY)
