"""What the tests of kernels put on a device: the numbers of arrays, and their strides where a tensor can have them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.helper import on_device

A = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    ("array", "strides"),
    [
        (A, (6, 1)),
        (A.T, (1, 6)),
        (A[::2, ::3], (12, 3)),
        (A[1:, 2:], (6, 1)),
        (np.broadcast_to(A[:1], (5, 6)), (0, 1)),
        (A[0, 0], ()),
        # What no tensor can have.
        (A[::-1, ::-1], (6, 1)),
        (A[::-1], (6, 1)),
        (np.zeros(3, [("tag", "i1"), ("x", "f4", 6)])["x"], (6, 1)),
        (A[:0], None),
    ],
    ids=[
        "plain",
        "transposed",
        "apart",
        "part",
        "repeated",
        "number",
        "backwards",
        "rows-backwards",
        "record",
        "empty",
    ],
)
def test_strides_are_kept_where_a_tensor_can_have_them(array: np.ndarray, strides: tuple[int, ...] | None) -> None:
    tensor = on_device(np.asarray(array), "cpu")
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert strides in (None, tensor.stride())
    assert not np.shares_memory(tensor.numpy(), A)
