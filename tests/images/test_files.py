"""Pictures from and to files: every mode becomes grey or RGB, and a write is whole or not at all."""

import numpy as np
import pytest
from PIL import Image

from sparsefast.images import files


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("L", (6, 9)),
        ("1", (6, 9)),
        ("LA", (6, 9)),
        ("RGB", (6, 9, 3)),
        ("RGBA", (6, 9, 3)),
        ("P", (6, 9, 3)),
        ("CMYK", (6, 9, 3)),
    ],
)
def test_every_mode_is_read_as_grey_or_rgb(tmp_path, mode, shape):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (9, 6), 1 if mode in ("1", "P") else None).save(path)
    picture = files.read(path)
    assert picture.shape == shape
    assert picture.dtype == np.uint8


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    np.testing.assert_array_equal(files.read(tmp_path / "x.png"), [[0, 0, 127, 255]])


def test_a_turned_photograph_is_read_upright(tmp_path):
    image = Image.new("RGB", (9, 6))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    image.save(tmp_path / "x.jpg", exif=exif)
    assert files.read(tmp_path / "x.jpg").shape == (9, 6, 3)


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.png"
    path.write_text("before")

    class Failing:
        def save(self, file, format):
            file.write(b"half a pict")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        files.write_png(path, Failing())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    files.write_png(path, Image.new("L", (3, 3)))
    assert files.read(path).shape == (3, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_panes_stand_in_a_row():
    grey, colour = np.ones((20, 60, 1)), np.zeros((20, 60, 3))
    sheet = np.asarray(files.side_by_side([grey, colour], ["a", "a label that is far too long for its pane"]))
    assert sheet.shape[1] == 2 * 60 + 8
    assert (sheet[:20, :60] == 255).all()
    assert not sheet[:20, 68:].any()
    assert (sheet[20:, 60:] == 255).all()  # the long label is left out
