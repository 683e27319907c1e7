"""Pictures from files: every mode becomes grey or RGB with every bit, upright, with alpha and the right profile."""

import io
import struct
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from sparsefast.images import limits, reading
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read

TIFF_BITS, TIFF_PHOTOMETRIC = 258, 262


@pytest.mark.parametrize(
    ("mode", "suffix", "shape", "alpha"),
    [
        ("1", "png", (6, 9), False),
        ("L", "png", (6, 9), False),
        ("LA", "png", (6, 9), True),
        ("P", "png", (6, 9, 3), False),
        ("RGB", "png", (6, 9, 3), False),
        ("RGBA", "png", (6, 9, 3), True),
        ("CMYK", "tif", (6, 9, 3), False),
        ("LAB", "tif", (6, 9, 3), False),
        ("P", "gif", (6, 9, 3), False),
        ("PA", "tif", (6, 9, 3), True),
    ],
)
def test_every_mode_is_read_as_grey_or_rgb(tmp_path, mode, suffix, shape, alpha):
    path = tmp_path / f"x.{suffix}"
    image = Image.new("RGB", (9, 6), (200, 10, 30))
    image = image.quantize(4) if mode in ("P", "PA") else image
    image.convert(mode).save(path)
    picture = read(path)
    assert picture.pixels.shape == shape
    assert picture.pixels.dtype == np.uint8
    assert (picture.alpha is not None) == alpha
    assert alpha == (picture.alpha is not None and (picture.alpha == 255).all())
    if len(shape) == 3:
        np.testing.assert_allclose(picture.pixels[3, 4], [200, 10, 30], atol=5)


def test_a_palette_is_resolved_and_its_transparent_colour_becomes_alpha(tmp_path, photo):
    image = Image.fromarray(photo).quantize(16)
    image.save(tmp_path / "x.png", transparency=3)
    picture = read(tmp_path / "x.png")
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 3)


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode, key):
    pixels = np.full((4, 5, 3), 100, np.uint8)
    pixels[1, 2] = 7
    Image.fromarray(pixels).convert(mode).save(tmp_path / "x.png", transparency=key)
    alpha = read(tmp_path / "x.png").alpha
    assert alpha[1, 2] == 0
    assert alpha.sum() == 19 * 255


def test_values_of_sixteen_bit_grey_are_kept(tmp_path):
    values = np.arange(0, 65536, 257, np.uint16).reshape(16, 16) + np.arange(16, dtype=np.uint16)
    for name in ("x.png", "x.tif", "x.jp2"):
        Image.fromarray(values).save(tmp_path / name)
        picture = read(tmp_path / name)
        assert picture.pixels.dtype == np.uint16
        np.testing.assert_array_equal(picture.pixels, values, err_msg=name)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_turned_photograph_is_read_upright_once(tmp_path, photo, orientation, suffix):
    """The viewer turns what is stored as the EXIF specification says: 6 is a quarter turn clockwise."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "A maker"
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(photo).save(path, exif=exif)
    with Image.open(path) as opened:
        assert opened.getexif()[0x0112] == orientation
        # Pillow turns a TIFF when it loads it.
        stored = photo if suffix == "tif" else np.asarray(opened)
    mirrored = stored[:, ::-1]
    upright = {
        1: stored,
        2: mirrored,
        3: np.rot90(stored, 2),
        4: stored[::-1],
        5: np.rot90(mirrored, 1),
        6: np.rot90(stored, -1),
        7: np.rot90(mirrored, -1),
        8: np.rot90(stored, 1),
    }[orientation]
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, upright)
    if suffix != "tif":
        kept = Image.Exif()
        kept.load(picture.exif)
        assert kept.get(0x0112, 1) == 1
        assert kept[0x010F] == "A maker"


def test_the_colour_profile_is_kept_for_rgb_and_dropped_with_cmyk(tmp_path, photo, profile):
    Image.fromarray(photo).save(tmp_path / "rgb.jpg", icc_profile=profile)
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "cmyk.jpg", icc_profile=b"a profile of CMYK" * 20)
    assert read(tmp_path / "rgb.jpg").icc_profile == profile
    assert read(tmp_path / "cmyk.jpg").icc_profile is None


def test_the_first_frame_is_read_and_a_note_says_so(tmp_path):
    frames = [Image.new("L", (5, 4), level) for level in (10, 20, 30)]
    for name in ("x.gif", "x.tif", "x.png", "x.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        picture = read(tmp_path / name)
        assert picture.notes == ("the first of 3 frames",), name
        assert (picture.pixels == 10).all()
    frames[0].save(tmp_path / "one.png")
    assert read(tmp_path / "one.png").notes == ()


def test_the_format_is_told_by_the_content(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.png", format="JPEG")
    assert read(tmp_path / "x.png").format == "JPEG"


def test_wide_integers_and_floats_are_read_where_their_scale_is_clear(tmp_path):
    integers, floats = np.array([[0, 65535, 7]], np.int32), np.array([[0, 0.5, 1]], np.float32)
    Image.fromarray(integers).save(tmp_path / "i.tif")
    Image.fromarray(floats).save(tmp_path / "f.tif")
    np.testing.assert_array_equal(read(tmp_path / "i.tif").pixels, integers.astype(np.uint16), strict=True)
    np.testing.assert_array_equal(read(tmp_path / "f.tif").pixels, floats, strict=True)
    for array, message in (
        (integers - 1, r"its int32 samples run from -1 to 65534; only 0 to 65535 is read"),
        (floats * 255, r"its float32 samples run from 0 to 255; only 0 to 1 is read"),
        (floats * np.nan, r"its float32 samples run from nan to nan"),
    ):
        Image.fromarray(array).save(tmp_path / "bad.tif")
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "bad.tif")


def test_sixteen_bit_grey_where_0_is_white(tmp_path):
    values = np.array([[0, 1000, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "x.tif", tiffinfo={TIFF_PHOTOMETRIC: 0})
    with Image.open(tmp_path / "x.tif") as opened:
        assert opened.tag_v2[TIFF_PHOTOMETRIC] == 0
    np.testing.assert_array_equal(read(tmp_path / "x.tif").pixels, 65535 - values)


@pytest.mark.parametrize("largest", [65535, 1023, 300])
def test_coloured_netpbm_files_keep_their_bits(tmp_path, largest):
    values = np.random.default_rng(0).integers(0, largest + 1, (5, 7, 3))
    header = b"P6 # a comment\n# another\n7 5\n%d\n" % largest
    (tmp_path / "x.ppm").write_bytes(header + values.astype(">u2").tobytes())
    expected = np.floor(values * 65535 / largest + 0.5).astype(np.uint16)
    np.testing.assert_array_equal(read(tmp_path / "x.ppm").pixels, expected, strict=True)
    np.savetxt(tmp_path / "plain.ppm", values.reshape(5, -1), "%d", header=f"P3\n7 5\n{largest}", comments="")
    with pytest.raises(ValueError, match="only binary ones"):
        read(tmp_path / "plain.ppm")


def test_deeper_samples_than_pillow_hands_out_are_refused_and_not_cut(tmp_path, photo):
    sgi = bytearray(512 + 2 * 3 * 4 * 4)
    sgi[:12] = (474).to_bytes(2) + bytes([0, 2]) + (3).to_bytes(2) + 3 * (4).to_bytes(2)
    sgi[10:12] = (3).to_bytes(2)
    (tmp_path / "x.sgi").write_bytes(sgi)
    with pytest.raises(ValueError, match="it has 16 bits a sample, of which Pillow reads 8"):
        read(tmp_path / "x.sgi")
    Image.fromarray(photo).save(tmp_path / "x.jp2")
    deep = bytearray((tmp_path / "x.jp2").read_bytes())
    at = deep.index(b"\xff\x4f\xff\x51") + 42
    deep[at], deep[at + 3], deep[at + 6] = 15, 15, 15
    (tmp_path / "deep.jp2").write_bytes(deep)
    with pytest.raises(ValueError, match="it has 16 bits a sample"):
        read(tmp_path / "deep.jp2")


@pytest.mark.parametrize(("flags", "bits"), [(0x0C, 8), (0x4C, 10), (0x6C, 12)])
def test_the_depth_of_avif_is_told_by_its_configuration(flags, bits):
    file = io.BytesIO(bytes(100) + b"av1C\x81\x00" + bytes([flags, 0]))
    if bits == 8:
        reading._check_depth(file, "AVIF", "RGB")
    else:
        with pytest.raises(ValueError, match=f"it has {bits} bits a sample, of which Pillow reads 8"):
            reading._check_depth(file, "AVIF", "RGB")


def test_twelve_bits_of_tiff_fill_the_scale(tmp_path):
    values = np.array([0, 1, 2048, 4095])
    tags = ((256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 6))
    packed = b"".join(int(a << 12 | b).to_bytes(3) for a, b in values.reshape(2, 2))
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "x.tif").write_bytes(b"II*\0" + struct.pack("<I", 14) + packed + directory)
    expected = np.rint(values / 4095 * 65535).astype(np.uint16)
    np.testing.assert_array_equal(read(tmp_path / "x.tif").pixels, expected[None], strict=True)


def test_damaged_exif_data_do_not_hide_the_photograph(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12 nonsense")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        picture = read(tmp_path / "x.jpg")
    assert picture.pixels.shape == photo.shape
    assert not caught


def test_threads_that_read_at_once_leave_the_settings_of_the_process_as_they_were(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.png")
    filters, most = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=lambda: [read(tmp_path / "x.png") for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (warnings.filters, Image.MAX_IMAGE_PIXELS) == (filters, most)
    assert limits._readers == 0


def test_what_is_no_picture_is_refused_with_its_shape_or_dtype():
    grey = np.zeros((4, 5), np.uint8)
    for pixels, alpha, message in (
        (np.zeros((4, 5), np.int64), None, "pixels of dtype int64"),
        (np.zeros((4, 5, 4), np.uint8), None, r"pixels of shape \(4, 5, 4\)"),
        (np.zeros((0, 5), np.uint8), None, r"pixels of shape \(0, 5\) hold no pixel"),
        (grey, np.zeros((4, 5), np.uint16), "alpha of dtype uint16"),
        (grey, np.zeros((5, 4), np.uint8), r"alpha of shape \(5, 4\)"),
        ([[1]], None, "pixels of list"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            Picture(pixels, alpha)
