"""Pictures to files: the same when read again, whole or not at all, and never over their source unasked."""

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from sparsefast import files
from sparsefast.images import formats, tiff, writing
from sparsefast.images.metrics import psnr
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import check_not_input, check_target, write

MODES = ("L", "LA", "RGB", "RGBA")
DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}
# Pillow may be built, or be too old, without these.
MAYBE = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}


def picture_of(photo, mode, bits, **more):
    """The photograph in a mode and depth, with numbers that need all the bits."""
    rng = np.random.default_rng(0)

    def deepened(pixels):
        if bits == 8:
            return pixels
        deep = pixels.astype(np.uint16) * 256 + rng.integers(0, 256, pixels.shape, np.uint16)
        return deep if bits == 16 else (deep / np.float32(65535)).astype(np.float32)

    alpha = rng.integers(0, 256, photo.shape[:2], np.uint8)
    pixels = photo if mode.startswith("RGB") else np.ascontiguousarray(photo[:, :, 1])
    return Picture(deepened(pixels), deepened(alpha) if "A" in mode else None, **more)


def skip_unless_there(form, bits=8, mode="L"):
    Image.init()
    if form.name not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {form.name}")
    if form.name in MAYBE and not features.check(MAYBE[form.name]):
        pytest.skip(f"Pillow was built without {form.name}")
    if form.name == "TIFF" and bits > 8 and mode != "L":
        pytest.importorskip("tifffile")


CASES = [
    pytest.param(form, bits, mode, id=f"{form.name}-{bits}-{mode}")
    for form in formats.FORMATS
    for bits, modes in ((8, form.modes), (16, form.deep), (32, form.floating))
    for mode in MODES
    if any(wider in modes for wider in formats._WIDER[mode])
]


@pytest.mark.parametrize(("form", "bits", "mode"), CASES)
def test_what_was_written_is_read_again(tmp_path, photo, profile, form, bits, mode):
    skip_unless_there(form, bits, mode)
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    picture = picture_of(photo, mode, bits, icc_profile=profile, exif=exif.tobytes())
    for suffix in form.suffixes:
        path = tmp_path / f"x{suffix.upper()}"
        left_out = write(path, picture)
        again = read(path)
        assert again.pixels.dtype == DTYPES[bits]
        expected = picture.pixels
        if again.pixels.ndim > expected.ndim:  # a format without grey, or with a palette
            assert form.name in ("WEBP", "AVIF", "QOI", "GIF") or mode == "LA"
            expected = np.dstack([expected] * 3)
        if form.lossy:
            assert psnr(again.pixels, expected, 255) > 38
        else:
            np.testing.assert_array_equal(again.pixels, expected, strict=True)
        assert (again.alpha is None) == (picture.alpha is None)
        if picture.alpha is not None:
            difference = np.abs(again.alpha.astype(float) - picture.alpha)
            assert difference.max() <= (4 if form.lossy else 0)
        assert again.icc_profile == (profile if form.profile else None)
        assert again.exif == (picture.exif if form.exif else None)
        assert (f"{form.name} is written without a colour profile" in left_out) != form.profile
        assert (f"{form.name} is written without EXIF data" in left_out) != form.exif


@pytest.mark.parametrize(("name", "kept"), [("x.png", True), ("x.jpg", True), ("x.tif", True), ("x.webp", False)])
def test_a_profile_of_grey_stays_with_grey_pixels(tmp_path, photo, profile, name, kept):
    """WebP holds grey as RGB, where readers would take such a profile for a damaged one."""
    skip_unless_there(formats.format_of(name))
    grey = profile[:16] + b"GRAY" + profile[20:]
    left_out = write(tmp_path / name, picture_of(photo, "L", 8, icc_profile=grey))
    assert read(tmp_path / name).icc_profile == (grey if kept else None)
    assert left_out == (() if kept else ("WEBP is written without a colour profile",))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bits", [16, 32])
def test_other_readers_see_the_same_numbers(tmp_path, photo, profile, mode, bits):
    tifffile = pytest.importorskip("tifffile")
    picture = picture_of(photo, mode, bits, icc_profile=profile)
    write(tmp_path / "x.tif", picture)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "x.tif"), picture.samples(), strict=True)
    if mode == "L":
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.tif")), picture.pixels)
        if bits == 16:
            write(tmp_path / "x.png", picture)
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), picture.pixels)


@pytest.mark.parametrize(
    ("name", "mode", "bits", "message"),
    [
        ("x.jpg", "RGB", 16, r"x\.jpg: JPEG is not written with 16 bits a sample; write a PNG \(\.png\)"),
        ("x.jpg", "RGBA", 8, r"x\.jpg: JPEG cannot hold an alpha channel; write a PNG \(\.png\)"),
        ("x.png", "L", 32, r"x\.png: PNG is not written with 32 bits a sample; write a TIFF \(\.tif\)"),
        ("x.gif", "RGB", 8, r"x\.gif: GIF cannot hold all the colours of a photograph; write a PNG"),
        ("x.ppm", "LA", 16, r"x\.ppm: PPM cannot hold an alpha channel"),
        ("x.xyz", "RGB", 8, r"x\.xyz must end in one of \.png, \.tif, \.tiff, \.jpg, "),
        ("x", "RGB", 8, r"x must end in one of \.png, "),
        ("none/x.png", "RGB", 8, "none is not a folder"),
        ("folder.png", "RGB", 8, r"folder\.png is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_and_while_writing(tmp_path, photo, name, mode, bits, message):
    (tmp_path / "folder.png").mkdir()
    picture = picture_of(photo, mode, bits)
    for attempt in (check_target, write):
        with pytest.raises(ValueError, match=message):
            attempt(tmp_path / name, picture)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_picture_too_large_for_its_format_leaves_nothing(tmp_path):
    skip_unless_there(formats.format_of("x.webp"))
    with pytest.raises(ValueError, match=r"x\.webp cannot be written as WEBP: "):
        write(tmp_path / "x.webp", Picture(np.zeros((1, 20000, 3), np.uint8)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("stage", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, photo, monkeypatch, error, stage):
    path = tmp_path / "x.png"
    path.write_text("before")

    def fail(*args, **kwargs):
        raise error

    class Full(io.FileIO):
        def write(self, data):
            super().write(bytes(data)[:11])
            raise error

    if stage == "write":
        opened = Path.open
        monkeypatch.setattr(
            Path, "open", lambda self, mode, *a, **k: (Full if mode == "xb" else opened)(self, mode, *a, **k)
        )
    elif stage == "fsync":
        monkeypatch.setattr(files.os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(type(error)) as caught:
        write(path, Picture(photo))
    assert str(caught.value) == ("" if isinstance(error, KeyboardInterrupt) else f"{path}: {error.strerror}")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("form", "bits"),
    [
        pytest.param(form, bits, id=f"{form.name}-{bits}")
        for form in formats.FORMATS
        for bits in (8, 16)
        if bits == 8 or form.deep
    ],
)
def test_encoders_write_to_memory_since_some_never_return_from_a_full_disk(tmp_path, photo, monkeypatch, form, bits):
    mode = "RGB" if "RGB" in form.modes else "L"
    skip_unless_there(form, bits, mode)
    encode, seen = writing._encode, []

    def watched(file, *args):
        seen.append(file)
        assert list(tmp_path.iterdir()) == []
        return encode(file, *args)

    monkeypatch.setattr(writing, "_encode", watched)
    write(tmp_path / f"x{form.suffixes[0]}", picture_of(photo, mode, bits))
    assert isinstance(seen[0], io.BytesIO)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_is_no_plain_file_is_not_replaced(tmp_path, photo):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    for name in ("pipe.png", "link.png"):
        with pytest.raises(ValueError, match=rf"{name} is not a file"):
            write(tmp_path / name, Picture(photo))
    assert (tmp_path / "pipe.png").is_fifo()


@pytest.mark.skipif(os.name != "posix", reason="permissions are otherwise there")
def test_permissions_are_those_of_the_umask_or_of_the_file_that_was_there(tmp_path, photo):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new.png", Picture(photo))
        (tmp_path / "old.png").touch()
        (tmp_path / "old.png").chmod(0o604)
        write(tmp_path / "old.png", Picture(photo))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old.png").stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix", reason="links need rights there")
def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path, photo):
    (tmp_path / "below").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "below" / "x.png")
    for _ in range(2):  # the target is missing at first
        write(tmp_path / "link.png", Picture(photo))
        assert (tmp_path / "link.png").is_symlink()
        np.testing.assert_array_equal(read(tmp_path / "below" / "x.png").pixels, photo)


@pytest.mark.skipif(os.name != "posix", reason="links need rights there")
@pytest.mark.parametrize("kind", ["same", "other spelling", "symbolic link", "hard link"])
def test_the_source_is_not_replaced_unless_forced_by_any_name(tmp_path, photo, kind):
    source, other = tmp_path / "photo.png", tmp_path / "other.png"
    write(source, Picture(photo))
    before = source.read_bytes()
    if kind == "symbolic link":
        other.symlink_to(source)
    elif kind == "hard link":
        other.hardlink_to(source)
    else:
        other = source if kind == "same" else tmp_path / ".." / tmp_path.name / "photo.png"
    changed = Picture(255 - photo)
    with pytest.raises(ValueError, match="is the photograph itself; write to another file or pass force=True"):
        write(other, changed, source=source)
    assert source.read_bytes() == before
    write(other, changed, source=source, force=True)
    np.testing.assert_array_equal(read(other).pixels, changed.pixels)
    check_not_input(tmp_path / "new.png", source)
    check_not_input(source, tmp_path / "missing.png")


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path, photo, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match=r"x\.png: Permission denied$"):
        write(tmp_path / "x.png", Picture(photo))


def test_without_tifffile_deep_coloured_tiffs_say_what_to_install(tmp_path, photo, monkeypatch):
    pytest.importorskip("tifffile")
    write(tmp_path / "x.tif", picture_of(photo, "RGB", 16))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(ImportError, match=r"x\.tif: tifffile reads TIFFs .* pip install tifffile"):
        read(tmp_path / "x.tif")
    with pytest.raises(ImportError, match=r"tifffile writes TIFFs .* pip install tifffile"):
        write(tmp_path / "y.tif", picture_of(photo, "RGBA", 16))
    assert [path.name for path in tmp_path.iterdir()] == ["x.tif"]
    write(tmp_path / "grey.tif", picture_of(photo, "L", 16))
    assert tiff.MAGIC[0] == (tmp_path / "grey.tif").read_bytes()[:4]
