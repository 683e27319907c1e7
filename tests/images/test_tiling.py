"""Tiles: the cores cover the picture once, and filters that see no further than the halo leave no seam."""

import numpy as np
import pytest
from scipy import ndimage

from sparsefast.images.photos import photos
from sparsefast.images.tiling import apply_tiled, tiles

SIZES = [(61, 83), (64, 64), (1, 50), (50, 1), (1, 1), (7, 200)]
TILES = [1, 8, 16, 63, 1000, (5, 40)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("halo", [0, 3, 100, (2, 5)], ids=str)
def test_cores_cover_the_picture_once_and_halos_are_what_there_is(shape, tile, halo):
    covered = np.zeros(shape, int)
    place = np.arange(np.prod(shape)).reshape(shape)
    halos = (halo, halo) if isinstance(halo, int) else halo
    for part in tiles(shape, tile, halo):
        covered[part.core] += 1
        np.testing.assert_array_equal(place[part.padded][part.inner], place[part.core])
        for core, padded, n, reach in zip(part.core, part.padded, shape, halos, strict=True):
            assert (padded.start, padded.stop) == (max(0, core.start - reach), min(n, core.stop + reach))
    assert (covered == 1).all()


def median(radius):
    return lambda x: ndimage.median_filter(x, (2 * radius + 1,) * 2 + (1,) * (x.ndim - 2), mode="nearest")


def uniform(radius):
    # Of integers: its running sums are exact, whatever pixel they begin at.
    return lambda x: ndimage.uniform_filter(x, (2 * radius + 1,) * 2 + (1,) * (x.ndim - 2), mode="reflect")


def gaussian(radius):
    return lambda x: ndimage.gaussian_filter(x.astype(float), 1.7, radius=radius, axes=(0, 1), mode="nearest")


@pytest.mark.parametrize("make", [median, uniform, gaussian])
@pytest.mark.parametrize("size", [(61, 83), (61, 83, 3), (3, 83), (40, 1, 3)], ids=str)
@pytest.mark.parametrize("tile", [7, 16, (30, 9), 500], ids=str)
def test_no_seam_bit_for_bit(make, size, tile):
    photo = photos()["china"] if len(size) == 3 else photos()["china"][:, :, 0]
    image = photo[100 : 100 + size[0], 50 : 50 + size[1]]
    function = make(2)
    np.testing.assert_array_equal(apply_tiled(function, image, tile, 2), function(image), strict=True)
    np.testing.assert_array_equal(apply_tiled(function, image, tile, 9), function(image), strict=True)


def test_a_whole_photograph_has_no_seam_and_too_small_a_halo_leaves_one():
    photo, function = photos()["china"], median(3)
    whole = function(photo)
    np.testing.assert_array_equal(apply_tiled(function, photo, 128, 3), whole)
    assert (apply_tiled(function, photo, 128, 2) != whole).any()


def test_the_number_of_channels_and_the_dtype_are_those_of_the_function(photo):
    for function, shape in (
        (lambda x: x.mean(axis=2), (61, 83)),
        (lambda x: np.dstack([x, x[:, :, :2]]).astype(np.float32), (61, 83, 5)),
        (lambda x: x[:, :, :1] > 100, (61, 83, 1)),
    ):
        result = apply_tiled(function, photo, 20, 4)
        assert result.shape == shape
        np.testing.assert_array_equal(result, function(photo), strict=True)
    np.testing.assert_array_equal(
        apply_tiled(lambda x: np.dstack([x, x]), photo[:, :, 0], 20, 4)[:, :, 1], photo[:, :, 0]
    )


def test_what_the_function_is_given_is_a_view(photo):
    assert all(np.shares_memory(photo, photo[part.padded]) for part in tiles(photo.shape, 20, 4))
    seen = []
    apply_tiled(lambda x: seen.append(x) or x, photo, 20, 4)
    assert all(np.shares_memory(photo, part) for part in seen)


def test_wrong_arguments_are_named(photo):
    for call, message in (
        (lambda: apply_tiled(lambda x: x, photo, 0), "tile=0 must be at least 1"),
        (lambda: apply_tiled(lambda x: x, photo, 8, -1), "halo=-1 must be at least 0"),
        (lambda: apply_tiled(lambda x: x, photo[:0]), r"image of shape \(0, 83, 3\) holds no pixel"),
        (lambda: tiles((5,), 8, 1), r"shape=\(5,\) must be \(H, W\)"),
        (
            lambda: apply_tiled(lambda x: x[1:], photo, 20, 4),
            r"function returned shape \(23, 24, 3\), uint8, for a tile",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    counts = iter(range(100))
    with pytest.raises(ValueError, match=r"it must be \(24, 28, 1\), uint8"):
        apply_tiled(lambda x: x[:, :, : next(counts) + 1], photo, 20, 4)
