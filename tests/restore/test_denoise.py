"""`sparsefast.restore.denoise`: what it takes out, what it leaves alone, and what it refuses."""

import numpy as np
import pytest

from sparsefast.images.metrics import psnr
from sparsefast.images.noise import add_noise
from sparsefast.images.photos import photos
from sparsefast.restore import denoise, noise_level


def noisy(image, sigma=25, seed=1):
    return add_noise(image, sigma, seed, clip=False)


@pytest.mark.parametrize("colour", [False, True])
def test_it_beats_the_noise_and_non_local_means(colour):
    restoration = pytest.importorskip("skimage.restoration")
    crop = photos("held-out")["coffee"][60:156, 120:216]
    truth = (crop if colour else crop[:, :, 1]).astype(np.float32)
    given = noisy(truth)
    ours = psnr(denoise(given, 25), truth, 255)
    peer = restoration.denoise_nl_means(
        given, patch_size=5, patch_distance=6, h=0.6 * 25, sigma=25, fast_mode=True, channel_axis=-1 if colour else None
    )
    assert ours > psnr(given, truth, 255) + (9 if colour else 7)
    assert ours > psnr(peer, truth, 255) + (1.2 if colour else 0.4)


def test_groups_do_better_than_patches_alone(crop):
    truth = crop.astype(np.float32)
    given = noisy(truth)
    alone = psnr(denoise(given, 25, refine=False), truth, 255)
    assert psnr(given, truth, 255) + 8 < alone < psnr(denoise(given, 25), truth, 255) - 0.3


def test_a_dictionary_that_is_learnt_from_the_picture_does_better():
    # Of a kind that photographs hardly have.
    y, x = np.mgrid[:90, :90]
    truth = np.where((3 * x + y) % 14 < 5, 70, 170).astype(np.float32)
    given = noisy(truth)
    generic, learnt = (psnr(denoise(given, 25, refine=False, n_iterations=n), truth, 255) for n in (0, 4))
    assert learnt > generic + 1


@pytest.mark.parametrize("sigma", [None, 0, [0, 0, 0]])
def test_a_clean_photograph_stays_as_it_is(tame, sigma):
    assert (noise_level(tame) == 0).all()
    result = denoise(tame, sigma)
    np.testing.assert_array_equal(result, tame, strict=True)
    assert not np.shares_memory(result, tame)


def test_the_noise_is_estimated_where_it_is_not_given(crop):
    given = add_noise(crop, 20, 3)
    levels = noise_level(given)
    assert levels == pytest.approx([20, 20, 20], rel=0.15)
    np.testing.assert_array_equal(denoise(given), denoise(given, levels), strict=True)


def test_the_same_seed_gives_the_same_bits(crop):
    given = noisy(crop[:30, :40])
    first = denoise(given, 25, seed=3)
    np.testing.assert_array_equal(first, denoise(given, 25, seed=3), strict=True)
    assert np.isfinite(first).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_every_dtype_gives_the_same_picture_on_its_scale(crop, dtype):
    truth = crop[:25, :31]
    unit = {np.uint8: 1, np.uint16: 257}.get(dtype, 1 / 255)
    given = (add_noise(truth, 20, 2) * float(unit)).astype(dtype)
    result = denoise(given, 20 * unit)
    assert result.dtype == dtype
    assert result.shape == given.shape
    same = denoise(add_noise(truth, 20, 2).astype(np.float64), 20)
    # Rounding of float32 may turn an atom here and there.
    assert np.sqrt(np.mean((result / unit - np.clip(same, 0, 255)) ** 2)) < 0.5


def test_an_offset_and_a_scale_of_floating_pixels_do_not_matter(crop):
    given = noisy(crop[:25, :31]).astype(np.float64)
    np.testing.assert_allclose(denoise(given * 8, 25 * 8), denoise(given, 25) * 8, rtol=0, atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2, 3), (6, 40), (14, 13, 3)], ids=str)
def test_pictures_of_any_size(shape):
    given = np.random.default_rng(0).normal(120, 30, shape)
    result = denoise(given, 30)
    assert result.shape == shape
    assert np.isfinite(result).all()
    assert np.std(result - 120) < 30


def test_channels_have_noise_of_their_own(crop):
    truth = crop.astype(np.float32)
    sigma = np.array([10, 0, 40])
    given = add_noise(truth, sigma, 1, clip=False)
    result = denoise(given, sigma)
    np.testing.assert_array_equal(result[:, :, 1], given[:, :, 1])
    for channel in (0, 2):
        assert psnr(result[:, :, channel], truth[:, :, channel], 255) > psnr(
            given[:, :, channel], truth[:, :, channel], 255
        ) + (3 if channel == 0 else 8)


def test_progress_grows_to_one(crop):
    for refine in (False, True):
        seen = []
        denoise(noisy(crop), 25, refine=refine, progress=seen.append)
        assert seen == sorted(seen)
        assert 0 < seen[0] < 1
        assert seen[-1] == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(image=[[1]]), TypeError, "image is a list; it must be a NumPy array"),
        (dict(image=np.zeros((4, 4), int)), TypeError, "image has dtype int64; it must be uint8, uint16, float32"),
        (dict(image=np.zeros((4, 4, 4))), ValueError, r"image has shape \(4, 4, 4\); it must be \(H, W\), grey, or"),
        (dict(image=np.zeros((0, 4))), ValueError, r"image has shape \(0, 4\); it must hold at least one pixel"),
        (dict(sigma=-1), ValueError, "sigma=-1.0; it must be 0 to"),
        (dict(sigma=np.nan), ValueError, "sigma=nan; it must be 0 to"),
        (dict(sigma="5"), TypeError, "sigma='5' must be a number, or one for each channel"),
        (dict(sigma=[1, 2]), ValueError, r"sigma has shape \(2,\); it must be a number or of shape \(3,\)"),
        (dict(method="bm3d"), ValueError, "method='bm3d'; it must be one of ksvd"),
        (dict(n_iterations=-1), ValueError, "n_iterations=-1; it must be at least 0"),
        (dict(n_iterations=1.5), TypeError, "n_iterations"),
        (dict(gain=0), ValueError, "gain=0; it must be above 0"),
        (dict(blend=-1), ValueError, "blend=-1; it must be at least 0"),
        (dict(seed=-1), ValueError, "seed=-1; it must be at least 0"),
    ],
)
def test_what_it_refuses(change, error, message):
    with pytest.raises(error, match=f"denoise: {message}"):
        denoise(**{"image": np.zeros((8, 8, 3)), "sigma": 1, **change})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_named(value):
    image = np.zeros((20, 30, 3))
    image[4, 7, 2] = value
    with pytest.raises(ValueError, match="image has 1 pixels with values that are not finite, the first at row 4, col"):
        denoise(image, 1)
