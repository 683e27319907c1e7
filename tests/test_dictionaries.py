"""The overcomplete cosine dictionary."""

import numpy as np
import pytest

import sparsefast


@pytest.mark.parametrize(("p", "q"), [(8, 16), (8, 8), (5, 9), (2, 3), (1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_atoms_have_unit_norm_and_all_but_the_constant_along_an_axis_have_no_mean(p, q, dtype):
    d = sparsefast.overcomplete_dct(p, q, dtype)
    assert d.shape == (q * q, p * p)
    assert d.dtype == dtype
    assert d.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1, atol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(d[0], 1 / p, rtol=4 * np.finfo(dtype).eps)
    if p > 1:
        np.testing.assert_allclose(d[1:].sum(axis=1), 0, atol=p * p * np.finfo(dtype).eps)


def test_an_atom_is_the_product_of_its_two_waves():
    p, q, a, b = 6, 10, 3, 7

    def wave(k):
        w = np.cos(np.pi * k * np.arange(p) / q)
        w -= w.mean()
        return w / np.linalg.norm(w)

    d = sparsefast.overcomplete_dct(p, q, np.float64)
    np.testing.assert_allclose(d[a * q + b].reshape(p, p), np.outer(wave(a), wave(b)), atol=1e-14)


def test_it_spans_all_patches():
    assert np.linalg.matrix_rank(sparsefast.overcomplete_dct(8, 16, np.float64)) == 64


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 4), ValueError, "patch_size=0; it must be at least 1"),
        ((8, 7), ValueError, "n_atoms_per_axis=7; it must be at least patch_size=8"),
        ((8.0, 16), TypeError, "patch_size=8.0 is a float; it must be an integer"),
        ((8, 16, np.int32), TypeError, "dtype=int32; it must be float32 or float64"),
    ],
)
def test_a_wrong_argument_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        sparsefast.overcomplete_dct(*arguments)
