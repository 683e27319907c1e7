"""Noise: the estimate finds what was added to real photographs, and the maker adds what it says."""

import numpy as np
import pytest

from sparsefast.images.noise import MAX_SIGMA, add_noise, estimate_noise
from sparsefast.images.photos import photos


@pytest.mark.parametrize("sigma", [5.0, 10.0, 25.0, 50.0])
def test_the_estimate_finds_the_noise_that_was_added_to_photographs(sigma):
    """The finest texture adds to it, by less than 2 % and 3.5 grey levels."""
    found = photos()
    for name in set(found) & {"china", "flower", "astronaut", "chelsea", "coffee", "rocket"}:
        clean = found[name].astype(np.float64)
        assert (estimate_noise(clean) < 4).all(), name
        estimate = estimate_noise(add_noise(clean, sigma, 0, clip=False))
        assert estimate.shape == (3,)
        # A median of that many coefficients is within 2 % of its mean.
        assert (estimate > 0.98 * sigma).all(), name
        assert (estimate < 1.02 * sigma + 3.5).all(), name


# skimage.restoration.estimate_sigma of scikit-image 0.26, from the finest scale alone, for noise of 15 of seed 1.
THEIRS = {
    "china": [18.361, 18.396, 18.143],
    "flower": [15.186, 15.217, 15.177],
    "chelsea": [15.158, 15.206, 15.22],
    "camera": 15.915,
    "moon": 14.952,
}


@pytest.mark.parametrize("name", THEIRS)
def test_the_estimate_is_nearer_to_the_noise_than_that_of_scikit_image(name):
    if name not in photos():
        pytest.skip("the package with this photograph is not installed")
    noisy = add_noise(photos()[name].astype(np.float64), 15, 1, clip=False)
    theirs = np.abs(np.subtract(THEIRS[name], 15))
    # Theirs takes every second coefficient: the spread of a median of some 10 000.
    assert (np.abs(estimate_noise(noisy) - 15) <= theirs + 0.1).all()


def test_the_texture_of_a_clean_photograph_is_not_taken_for_noise():
    found = photos()
    for name in set(found) & {"grass", "gravel", "brick", "coins", "ihc", "chelsea", "motorcycle_left"}:
        estimate = estimate_noise(found[name])
        assert np.sqrt(np.mean(np.square(estimate))) < 1, name


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.int64])
def test_the_estimate_is_on_the_scale_of_the_data(dtype, photo):
    scale = {np.uint8: 1, np.uint16: 257, np.int64: 1000}.get(dtype, 1 / 255)
    noisy = add_noise(80 + photo[:, :, 0] / 4, 10, 0, clip=False)
    scaled = noisy * scale
    scaled = np.rint(scaled).astype(dtype) if np.issubdtype(dtype, np.integer) else scaled.astype(dtype)
    estimate = estimate_noise(scaled)
    assert isinstance(estimate, float)
    assert estimate == pytest.approx(estimate_noise(noisy) * scale, rel=0.02)


def test_channels_are_estimated_apart():
    noisy = add_noise(np.full((100, 120, 3), 128.0), [2, 8, 32], 0, clip=False)
    np.testing.assert_allclose(estimate_noise(noisy), [2, 8, 32], rtol=0.05)
    assert estimate_noise(noisy[:, :, 1]) == estimate_noise(noisy)[1]


@pytest.mark.parametrize(
    "flat",
    [
        np.full((20, 30), 77, np.uint8),
        np.zeros((20, 30)),
        np.full((1, 9), 3.5),
        np.where(np.arange(400).reshape(20, 20) % 7 == 0, 0, 255).astype(np.uint8),
        np.tile(np.arange(50.0), (40, 1)),
        np.add.outer(np.arange(40), np.arange(50)),
    ],
    ids=["grey", "black", "row", "black and white", "ramp", "slope"],
)
def test_pictures_without_noise_have_none(flat):
    assert estimate_noise(flat) == pytest.approx(0, abs=1e-5)


def test_saturated_areas_do_not_hide_the_noise_of_the_others():
    clean = np.full((200, 200), 255.0)
    clean[:80] = 128
    noisy = np.clip(add_noise(clean, 0, 0, clip=False), 0, 255)
    noisy[:80] = add_noise(clean[:80], 10, 0, clip=False)
    noisy[0, 0] = 0
    assert estimate_noise(noisy) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (2, 3000), (3, 2000), (1, 4000, 3)])
def test_narrow_pictures_are_estimated_along_their_length(shape):
    noisy = add_noise(np.full(shape, 100.0), 7, 0, clip=False)
    np.testing.assert_allclose(estimate_noise(noisy), 7, rtol=0.1)


def test_of_a_single_pixel_nothing_is_told():
    assert np.isnan(estimate_noise(np.array([[5]], np.uint8)))
    assert np.isnan(estimate_noise(np.ones((1, 1, 3)))).all()


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        estimate_noise(np.array([[1.0, np.nan], [2, 3]]))
    for shape in ((5,), (0, 4), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match="must be"):
            estimate_noise(np.zeros(shape))


def test_noise_has_the_deviation_that_was_asked_for_and_no_mean():
    for image, scale in (
        (np.full((200, 300), 128, np.uint8), 1),
        (np.full((200, 300), 30000, np.uint16), 257),
        (np.full((200, 300), 0.5, np.float32), 1 / 255),
    ):
        difference = add_noise(image, 10 * scale, 3).astype(np.float64) - image
        # The standard errors of deviation and mean over 60 000 pixels are 0.03 and 0.04.
        assert difference.std() / scale == pytest.approx(10, abs=0.15)
        assert difference.mean() / scale == pytest.approx(0, abs=0.2)
        assert add_noise(image, 10 * scale, 3).dtype == image.dtype


def test_the_same_seed_is_the_same_noise_and_a_generator_goes_on(photo):
    np.testing.assert_array_equal(add_noise(photo, 20, 5), add_noise(photo, 20, 5))
    np.testing.assert_array_equal(add_noise(photo, 20, 5), add_noise(photo, 20, np.random.default_rng(5)))
    assert (add_noise(photo, 20, 5) != add_noise(photo, 20, 6)).any()
    generator = np.random.default_rng(5)
    assert (add_noise(photo, 20, generator) != add_noise(photo, 20, generator)).any()
    assert (add_noise(photo, 20) != add_noise(photo, 20)).any()


def test_clipping_holds_to_the_range_and_without_it_nothing_is_lost(photo):
    unclipped = add_noise(photo, 40, 0, clip=False)
    assert unclipped.dtype == np.float32
    assert unclipped.min() < 0 < 255 < unclipped.max()
    np.testing.assert_array_equal(add_noise(photo, 40, 0), np.rint(unclipped.clip(0, 255)).astype(np.uint8))
    floats = add_noise(photo / 255, 40 / 255, 0)
    assert (floats.min(), floats.max()) == (0, 1)
    np.testing.assert_array_equal(add_noise(photo, 0, 0), photo)


def test_noise_of_any_allowed_size_is_made_without_a_warning(photo):
    for image in (photo, photo.astype(np.uint16), photo / np.float32(255)):
        with np.errstate(all="raise"):
            noisy = add_noise(image, MAX_SIGMA, 0)
        assert set(np.unique(noisy)) == {0, 1 if noisy.dtype == np.float32 else np.iinfo(noisy.dtype).max}


def test_wrong_arguments_are_named(photo):
    for arguments, message in (
        ((photo, -1), r"sigma=-1.0 must be 0 to 1e\+30"),
        ((photo, np.nan), "sigma=nan must be 0 to"),
        ((photo, 1e39), r"sigma=1e\+39 must be 0 to"),  # a float32 would overflow
        ((photo, [1, 2, np.inf]), r"sigma=\[ 1.  2. inf\] must be 0 to"),
        ((photo, [1, 2]), r"sigma of shape \(2,\) must be a number or \(3,\)"),
        ((photo[0, 0], 1), r"image of shape \(3,\)"),
        ((photo.astype(int), 1), "image of dtype int64"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            add_noise(*arguments)
