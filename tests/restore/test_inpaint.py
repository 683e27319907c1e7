"""`sparsefast.restore.inpaint`: what it fills in, what it leaves alone, and what it refuses."""

import numpy as np
import pytest

from sparsefast.images.masks import random_mask
from sparsefast.images.metrics import psnr
from sparsefast.restore import inpaint
from sparsefast.restore.inpainting import choose_method


@pytest.mark.parametrize("colour", [False, True])
def test_a_fifth_of_the_pixels_is_enough_for_more_than_interpolation(crop, colour):
    truth = crop if colour else crop[:, :, 1]
    known = random_mask(truth.shape[:2], 0.2, 1)
    ours, peer = (psnr(inpaint(truth, known, method=method), truth, 255) for method in ("ksvd", "rbf"))
    assert ours > peer + 0.2
    assert peer > 20


@pytest.mark.parametrize("method", ["auto", "ksvd", "rbf"])
def test_known_pixels_stay_and_hidden_ones_are_not_looked_at(crop, method):
    crop = crop[:20, :30]
    known = random_mask(crop.shape[:2], 0.4, 2)
    first = inpaint(crop, known, method=method, n_iterations=1)
    np.testing.assert_array_equal(first[known], crop[known])
    assert (first[~known] != crop[~known]).any()
    other = np.where(known[:, :, None], crop, np.uint8(7))
    np.testing.assert_array_equal(inpaint(other, known, method=method, n_iterations=1), first, strict=True)
    poisoned = np.where(known[:, :, None], crop.astype(np.float64), np.nan)
    floating = inpaint(poisoned, known, method=method, n_iterations=1)
    np.testing.assert_array_equal(floating[known], crop[known])
    np.testing.assert_allclose(floating, first, rtol=0, atol=0.5 + 1e-9)


@pytest.mark.parametrize(("keep", "method"), [(0.04, "rbf"), (0.3, "ksvd")])
def test_auto_interpolates_where_very_little_is_known(crop, keep, method):
    known = random_mask(crop.shape[:2], keep, 2)
    assert choose_method(known) == method
    chosen, other = (
        inpaint(crop, known, method=m, n_iterations=2) for m in (method, "ksvd" if method == "rbf" else "rbf")
    )
    result = inpaint(crop, known, n_iterations=2)
    np.testing.assert_array_equal(result, chosen, strict=True)
    assert (result != other).any()


def test_a_picture_that_is_wholly_known_stays_as_it_is(crop):
    result = inpaint(crop, np.ones(crop.shape[:2], bool))
    np.testing.assert_array_equal(result, crop, strict=True)
    assert not np.shares_memory(result, crop)


def test_the_same_seed_gives_the_same_bits(crop):
    crop = crop[:20, :30]
    known = random_mask(crop.shape[:2], 0.3, 5)
    first, second = (inpaint(crop, known, seed=4, n_iterations=4) for _ in range(2))
    np.testing.assert_array_equal(first, second, strict=True)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_every_dtype_and_scale(crop, dtype):
    crop = crop[:20, :30]
    known = random_mask(crop.shape[:2], 0.3, 5)
    expected = inpaint(crop, known, n_iterations=2)
    result = inpaint((crop * 100.0 + 1000).astype(dtype), known, n_iterations=2)
    assert result.dtype == dtype
    # Rounding of float32 may turn an atom here and there.
    assert np.sqrt(np.mean(((result.astype(np.float64) - 1000) / 100 - expected) ** 2)) < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3, 3), (5, 40), (14, 13, 3)], ids=str)
@pytest.mark.parametrize("method", ["ksvd", "rbf"])
def test_pictures_of_any_size_and_masks_of_one_pixel(shape, method):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    known = np.zeros(shape[:2], bool)
    known[0, -1] = True
    result = inpaint(image, known, method=method, n_iterations=2)
    # What else could they be?
    np.testing.assert_array_equal(result, np.broadcast_to(image[0, -1], shape))
    known[-1, 0] = True
    result = inpaint(image, known, method=method, n_iterations=2)
    assert (result >= image[known].min(axis=0)).all()
    assert (result <= image[known].max(axis=0)).all()


def test_progress_grows_to_one(crop):
    known = random_mask(crop.shape[:2], 0.3, 5)
    for method in ("rbf", "ksvd"):
        seen = []
        inpaint(crop, known, method=method, n_iterations=2, progress=seen.append)
        assert seen == sorted(seen)
        assert seen[0] > 0
        assert seen[-1] == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(image=[[1]]), TypeError, "image is a list; it must be a NumPy array"),
        (dict(known=np.ones((8, 8), np.uint8)), TypeError, "known has dtype uint8; it must be an array of bool"),
        (dict(known=None), TypeError, "known is a NoneType; it must be an array of bool"),
        (dict(known=np.ones((8, 9), bool)), ValueError, r"known has shape \(8, 9\); it must be \(8, 8\), as the image"),
        (dict(known=np.zeros((8, 8), bool)), ValueError, "known is False everywhere; at least one pixel must be known"),
        (dict(method="patchmatch"), ValueError, "method='patchmatch'; it must be one of auto, ksvd, rbf"),
        (dict(n_iterations=-1), ValueError, "n_iterations=-1; it must be at least 0"),
        (dict(seed=-1), ValueError, "seed=-1; it must be at least 0"),
        (dict(image=np.full((8, 8), np.nan)), ValueError, "image has 64 pixels with values that are not finite"),
    ],
)
def test_what_it_refuses(change, error, message):
    with pytest.raises(error, match=f"inpaint: {message}"):
        inpaint(**{"image": np.zeros((8, 8)), "known": np.ones((8, 8), bool), **change})
