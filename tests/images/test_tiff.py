"""TIFFs that Pillow cuts to 8 bits or does not open: tifffile writes them, and we read all that it wrote."""

import importlib.util

import numpy as np
import pytest

from sparsefast.images import reading
from sparsefast.images.picture import turned

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def deep():
    return np.random.default_rng(0).integers(0, 65536, (7, 5, 3)).astype(np.uint16)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("big", [False, True])
def test_every_layout_is_read(tmp_path, deep, byteorder, planar, compression, big):
    stored = deep if planar == "contig" else np.moveaxis(deep, 2, 0)
    options = dict(photometric="rgb", planarconfig=planar, compression=compression, byteorder=byteorder, bigtiff=big)
    tifffile.imwrite(tmp_path / "x.tif", stored, **options)
    np.testing.assert_array_equal(reading.read(tmp_path / "x.tif").pixels, deep, strict=True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_and_profile_are_read(tmp_path, deep, orientation, profile):
    tifffile.imwrite(
        tmp_path / "x.tif", deep, photometric="rgb", iccprofile=profile, extratags=[(274, "H", 1, orientation, True)]
    )
    picture = reading.read(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.pixels, turned(deep, orientation))
    assert picture.icc_profile == profile


def test_alpha_that_was_multiplied_into_the_colours_is_divided_out(tmp_path, deep):
    alpha = np.linspace(0, 65535, 35).astype(np.uint16).reshape(7, 5)
    stored = np.dstack([np.rint(deep * (alpha[:, :, None] / 65535)).astype(np.uint16), alpha])
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    picture = reading.read(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.alpha, alpha)
    # Half a step of rounding, divided by the opacity; one more half when the quotient is rounded.
    slack = 0.5 + 0.5 * 65535 / np.maximum(alpha, 1)
    error = np.abs(picture.pixels.astype(float) - deep)
    assert (error <= slack[:, :, None])[alpha > 0].all()
    assert not picture.pixels[alpha == 0].any()


def test_channels_that_mean_something_else_are_left_out_and_told(tmp_path, deep):
    five = np.dstack([deep, deep[:, :, :2]])
    tifffile.imwrite(tmp_path / "x.tif", five, photometric="rgb", extrasamples=["unspecified"] * 2)
    picture = reading.read(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.pixels, deep)
    assert picture.alpha is None
    assert picture.notes == ("the first 3 of 5 channels",)


def test_pages_and_floats_and_white_zeros(tmp_path, deep):
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([deep, deep // 2]), photometric="rgb")
    picture = reading.read(tmp_path / "pages.tif")
    np.testing.assert_array_equal(picture.pixels, deep)
    assert picture.notes == ("the first of 2 frames",)
    floats = (deep / 65535).astype(np.float64)
    tifffile.imwrite(tmp_path / "float.tif", floats, photometric="rgb")
    np.testing.assert_array_equal(reading.read(tmp_path / "float.tif").pixels, floats.astype(np.float32), strict=True)
    tifffile.imwrite(
        tmp_path / "white.tif",
        deep[:, :, :2],
        photometric="miniswhite",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    picture = reading.read(tmp_path / "white.tif")
    np.testing.assert_array_equal(picture.pixels, 65535 - deep[:, :, 0])
    np.testing.assert_array_equal(picture.alpha, deep[:, :, 1])


def test_colours_that_are_neither_grey_nor_rgb_are_refused(tmp_path, deep):
    tifffile.imwrite(
        tmp_path / "x.tif", np.dstack([deep, deep[:, :, :1]]), photometric="separated", planarconfig="contig"
    )
    with pytest.raises(ValueError, match=r"x\.tif cannot be read as a picture: .*neither grey nor RGB"):
        reading.read(tmp_path / "x.tif")


def test_a_damaged_one_says_so_and_logs_nothing(tmp_path, deep, capfd):
    tifffile.imwrite(tmp_path / "x.tif", deep, photometric="rgb", compression="zlib")
    whole = (tmp_path / "x.tif").read_bytes()
    for keep in (4, 9, 60, len(whole) // 2, len(whole) - 40):
        (tmp_path / "x.tif").write_bytes(whole[:keep])
        with pytest.raises(ValueError, match=r"x\.tif (cannot be read as a picture|is not a picture)"):
            reading.read(tmp_path / "x.tif")
    assert capfd.readouterr() == ("", "")


def test_a_compression_that_tifffile_lacks_says_what_to_do(tmp_path, deep):
    if importlib.util.find_spec("imagecodecs"):
        pytest.skip("it lacks none: imagecodecs is installed")
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, deep, photometric="rgb")
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags[259].valueoffset
    data = bytearray(path.read_bytes())
    data[at] = 5  # LZW
    path.write_bytes(data)
    with pytest.raises(ValueError, match="its LZW compression takes the package imagecodecs, which is not installed"):
        reading.read(path)
