"""PNG files of 16 bits a sample: every bit there and back, checked against the specification and against Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sparsefast.images import png16, reading, writing
from sparsefast.images.png_unfilter import unfilter

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def filtered(samples, filters):
    """Rows of samples, each behind the number of its filter."""
    step, rows = 2 * samples.shape[2], []
    above = bytes(step * samples.shape[1])
    for y in range(len(samples)):
        raw = samples[y].astype(">u2").tobytes()
        kind = filters[y % len(filters)]
        row = bytearray([kind])
        for i, value in enumerate(raw):
            a = raw[i - step] if i >= step else 0
            b = above[i]
            c = above[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row.append((value - [0, a, b, (a + b) // 2, paeth][kind]) % 256)
        rows.append(bytes(row))
        above = raw
    return b"".join(rows)


def interlaced(samples):
    """The parts of a picture by the pattern of the specification, which numbers the passes of 8 x 8 pixels."""
    pattern = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
    for number in "1234567":
        ys = [y for y in range(len(samples)) if number in pattern[y % 8]]
        xs = [x for x in range(samples.shape[1]) if any(row[x % 8] == number for row in pattern)]
        if ys and xs:
            yield samples[np.ix_(ys, xs)]


def encoded(samples, filters, *, interlace=0, more=b"", data=None, split=None):
    """A PNG of samples (H, W, 1 to 4) written byte by byte after the specification; row y has filters[y % len]."""
    height, width, n_samples = samples.shape
    parts = [samples] if interlace != 1 else interlaced(samples)
    data = zlib.compress(b"".join(filtered(part, filters) for part in parts)) if data is None else data
    split = split or max(1, len(data))
    parts = [chunk(b"IDAT", data[at : at + split]) for at in range(0, len(data), split)]
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[n_samples], 0, 0, interlace)
    return io.BytesIO(png16.SIGNATURE + chunk(b"IHDR", header) + more + b"".join(parts) + chunk(b"IEND", b""))


def noise(shape):
    return np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)


def smooth(shape):
    """Samples that every filter predicts to some degree, with both bytes in use."""
    y, x, c = np.ogrid[: shape[0], : shape[1], : shape[2]]
    grain = np.random.default_rng(0).integers(0, 8, shape)
    return (32768 + 30000 * np.sin(y / 97 + x / 71 + c) + grain).astype(np.uint16)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4])
@pytest.mark.parametrize("filters", [[0], [1], [2], [3], [4], [4, 2, 0, 3, 1]], ids=str)
def test_each_filter_of_the_specification_is_undone(n_samples, filters):
    for samples in (noise((7, 5, n_samples)), noise((1, 1, n_samples)), smooth((9, 11, n_samples))):
        found = png16.read(encoded(samples, filters, split=13))
        np.testing.assert_array_equal(found.samples, samples, strict=True)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(19, 21), (8, 8), (1, 1), (2, 3), (5, 1), (1, 6)], ids=str)
def test_interlaced_pictures_are_read_whole(n_samples, size):
    samples = noise((*size, n_samples))
    file = encoded(samples, [4, 2, 0, 3, 1], interlace=1)
    np.testing.assert_array_equal(png16.read(file).samples, samples, strict=True)
    if n_samples == 3:
        with Image.open(file) as image:
            np.testing.assert_array_equal(np.asarray(image), samples >> 8)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [noise, smooth])
def test_what_is_written_is_what_the_specification_and_pillow_read(n_samples, make):
    samples = make((33, 21, n_samples))
    file = io.BytesIO()
    png16.write(file, samples, icc_profile=b"a profile" * 30)
    np.testing.assert_array_equal(png16.read(file).samples, samples, strict=True)
    with Image.open(file) as image:
        image.load()
        assert image.info["icc_profile"] == b"a profile" * 30
        assert image.size == (21, 33)
        if n_samples == 1:
            np.testing.assert_array_equal(np.asarray(image), samples[:, :, 0])
        else:  # Pillow keeps the upper byte; grey with alpha becomes RGBA in its hands
            upper = np.atleast_3d(np.asarray(image))
            kept = upper[:, :, [0, 3]] if n_samples == 2 and upper.shape[2] == 4 else upper
            np.testing.assert_array_equal(kept, samples >> 8)


@pytest.mark.parametrize(("n_samples", "wide_type"), [(1, 4), (2, 6)])
def test_both_bytes_are_where_an_eight_bit_reader_finds_them(n_samples, wide_type):
    """With its header changed, a 16-bit picture is an 8-bit one of twice the samples, the same filters and data."""
    samples = noise((12, 10, n_samples))
    file = io.BytesIO()
    png16.write(file, samples)
    data = bytearray(file.getvalue())
    data[24], data[25] = 8, wide_type
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with Image.open(io.BytesIO(data)) as image:
        seen = np.asarray(image)
    np.testing.assert_array_equal(seen.reshape(12, -1), samples.astype(">u2").view(np.uint8).reshape(12, -1))


def test_filters_make_a_smooth_picture_smaller():
    samples = smooth((200, 300, 3))
    file = io.BytesIO()
    png16.write(file, samples)
    assert len(file.getvalue()) < 0.8 * len(zlib.compress(samples.astype(">u2").tobytes()))


def test_pictures_of_many_bands_are_written_whole(monkeypatch):
    samples = smooth((50, 40, 3))
    whole, banded = io.BytesIO(), io.BytesIO()
    png16.write(whole, samples)
    monkeypatch.setattr(png16, "BAND", 600)
    png16.write(banded, samples)
    np.testing.assert_array_equal(png16.read(banded).samples, samples)
    np.testing.assert_array_equal(png16.read(whole).samples, samples)


@pytest.mark.parametrize("n_samples", [1, 3])
def test_a_transparent_colour_becomes_alpha(n_samples):
    samples = noise((4, 5, n_samples))
    key = chunk(b"tRNS", samples[2, 3].astype(">u2").tobytes())
    found = png16.read(encoded(samples, [0], more=key)).samples
    np.testing.assert_array_equal(found[:, :, :-1], samples)
    np.testing.assert_array_equal(found[:, :, -1] == 0, (samples == samples[2, 3]).all(axis=2))
    assert set(np.unique(found[:, :, -1])) == {0, 65535}


def test_it_is_read_upright_and_keeps_its_exif_data_without_the_orientation(tmp_path):
    samples = noise((4, 5, 3))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A maker"
    with (tmp_path / "x.png").open("wb") as file:
        png16.write(file, samples, exif=exif.tobytes())
    picture = reading.read(tmp_path / "x.png")
    np.testing.assert_array_equal(picture.pixels, np.rot90(samples, -1), strict=True)
    writing.write(tmp_path / "y.png", picture)
    again = reading.read(tmp_path / "y.png")
    np.testing.assert_array_equal(again.pixels, picture.pixels, strict=True)
    kept = Image.Exif()
    kept.load(again.exif)
    assert dict(kept) == {0x010F: "A maker"}


def test_damage_is_named():
    samples = noise((6, 4, 3))
    good = encoded(samples, [4]).getvalue()
    broken = bytearray(good)
    broken[60] ^= 1
    for data, message in (
        (encoded(samples, [0], interlace=2).getvalue(), "damaged PNG: there is no interlace method 2"),
        (encoded(samples, [0], data=zlib.compress(b"\x05" + bytes(24))).getvalue(), "truncated: 25 of 150 bytes"),
        (encoded(samples, [0], data=zlib.compress(b"\x05" + bytes(149))).getvalue(), "row 0 names filter 5"),
        (encoded(samples, [0], data=b"no zlib stream").getvalue(), "damaged PNG: Error -3"),
        (encoded(samples, [0], data=b"").getvalue(), "truncated: 0 of 150 bytes"),
        (good[:-20], "the PNG is truncated"),
        (good[:30], "the PNG is truncated"),
        (bytes(broken), "the checksum of its 'IDAT' chunk is wrong"),
        (good[:33] + b"\x7f\xff\xff\xffIDAT", "the PNG is truncated"),
    ):
        with pytest.raises(ValueError, match=message):
            png16.read(io.BytesIO(data))


def test_a_zip_bomb_is_not_unpacked_beyond_the_picture():
    samples = noise((6, 4, 3))
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    found = png16.read(encoded(samples, [0], data=zlib.compress(raw + bytes(10**8))))
    np.testing.assert_array_equal(found.samples, samples)


def test_the_loop_is_the_same_compiled_and_in_python():
    rows = np.random.default_rng(1).integers(0, 256, (10, 1 + 24), np.uint8)
    rows[:, 0] = np.arange(10) % 5
    by_python, compiled = rows.copy(), rows.copy()
    assert unfilter(by_python, 6) == png16._compiled_unfilter()(compiled, 6) == -1
    np.testing.assert_array_equal(by_python, compiled)
