"""Pixels as numbers from 0 to 1 and back: exact there and back, rounded and held to the range."""

import numpy as np
import pytest

from sparsefast.images.values import from_float, to_float


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_comes_back(dtype):
    values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    x = to_float(values)
    assert x.dtype == np.float32
    assert (x[0], x[-1]) == (0, 1)
    assert (np.diff(x) > 0).all()
    np.testing.assert_array_equal(from_float(x, dtype), values, strict=True)
    np.testing.assert_array_equal(from_float(x.astype(np.float64), dtype), values, strict=True)


def test_equal_greys_of_both_depths_are_equal_numbers():
    levels = np.arange(256)
    np.testing.assert_array_equal(to_float(levels.astype(np.uint8)), to_float((levels * 257).astype(np.uint16)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_are_rounded_and_held_to_the_range(dtype):
    x = np.array([-np.inf, -0.5, 0.4 / 255, 0.6 / 255, 1, 1.5, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(from_float(x), np.array([0, 0, 0, 1, 255, 255, 255, 0], np.uint8), strict=True)
    np.testing.assert_array_equal(from_float(x, np.uint16)[[0, 4, 7]], [0, 65535, 0])
    np.testing.assert_array_equal(from_float(x, np.float32)[[0, 1, 4, 5, 7]], np.float32([0, 0, 1, 1, 0]), strict=True)


def test_truth_values_and_floats_are_on_the_scale_already():
    np.testing.assert_array_equal(to_float(np.array([True, False])), np.float32([1, 0]), strict=True)
    np.testing.assert_array_equal(to_float(np.array([0.25, 2.0])), np.float32([0.25, 2]), strict=True)


def test_other_types_have_no_known_scale():
    with pytest.raises(TypeError, match="pixels of dtype int64"):
        to_float(np.arange(3))
    with pytest.raises(TypeError, match="dtype=int32 must be uint8, uint16 or float32"):
        from_float(np.zeros(3), np.int32)
    with pytest.raises(TypeError, match="x of dtype uint8 must be floating"):
        from_float(np.zeros(3, np.uint8))
