"""NumPy arrays of every dtype, as numbers and back: as PyTorch has it, which has bfloat16."""

import numpy as np
import pytest
import torch

from sparsefast.kernels.numbers import STORED, computing, narrow, widen

EVERY_16 = np.arange(2**16, dtype=np.uint16).view(np.int16)


@pytest.mark.parametrize("dtype", STORED)
def test_numbers_survive_being_widened_and_narrowed(dtype: str) -> None:
    raw = EVERY_16 if dtype == "bfloat16" else np.arange(256).astype(np.uint8)
    if dtype.startswith("float"):
        raw = EVERY_16.view(np.float16).astype(dtype)
    wide = widen(raw, dtype)
    assert wide.dtype == computing(dtype)
    back = narrow(wide, dtype)
    assert back.dtype == raw.dtype
    kept = ~np.isnan(wide)
    assert back[kept].tobytes() == raw[kept].tobytes()
    assert np.isnan(widen(back[~kept], dtype)).all()


def test_bfloat16_is_that_of_pytorch() -> None:
    theirs = torch.tensor(EVERY_16).view(torch.bfloat16)
    np.testing.assert_array_equal(widen(EVERY_16, "bfloat16"), theirs.float().numpy())
    # Of every exponent and every pattern around the bit where it is cut off.
    x = np.arange(0, 2**32, 2**11 - 1, dtype=np.uint32).view(np.float32)
    theirs = torch.tensor(x).to(torch.bfloat16).view(torch.int16)
    kept = ~np.isnan(x)
    np.testing.assert_array_equal(narrow(x, "bfloat16")[kept], theirs.numpy()[kept])
    assert np.isnan(widen(narrow(x[~kept], "bfloat16"), "bfloat16")).all()


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_float64_is_rounded_once(dtype: str, digits: int) -> None:
    # Just beside the middle of two neighbours: float32 in between would make it the middle itself.
    one, step = 1.0, 2.0 ** (1 - digits)
    middle = one + step / 2
    x = np.array([middle - 2.0**-40, middle, middle + 2.0**-40, -middle - 2.0**-40, middle + step])
    np.testing.assert_array_equal(widen(narrow(x, dtype), dtype), [one, one, one + step, -one - step, one + 2 * step])


@pytest.mark.parametrize(("dtype", "largest"), [("float16", 65504.0), ("bfloat16", 255 * 2.0**120)])
@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_past_the_range_is_infinity(dtype: str, largest: float, source: type) -> None:
    x = np.array([largest, -1.0001 * largest, 1.003 * largest, -1.003 * largest, np.inf, np.nan], source)
    expected = [largest, -largest, np.inf, -np.inf, np.inf, np.nan]
    np.testing.assert_array_equal(widen(narrow(x, dtype), dtype), expected)


@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_bytes_are_rounded_to_even_and_held_to_their_range(source: type) -> None:
    x = np.array([0.5, 1.5, 2.5, 254.5, 255.5, 1e30, -0.5, -3.0, np.inf, -np.inf, np.nan], source)
    np.testing.assert_array_equal(narrow(x, "uint8"), [0, 2, 2, 254, 255, 255, 0, 0, 255, 0, 0])
