"""`sparsefast denoise` and `inpaint`: what they write, what they say, and what they refuse."""

import re

import numpy as np
import pytest

from sparsefast import cli
from sparsefast.images.masks import random_mask
from sparsefast.images.noise import add_noise, estimate_noise
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import write
from sparsefast.restore import denoise, inpaint


@pytest.fixture
def part(crop):
    return np.ascontiguousarray(crop[:20, :22])


@pytest.fixture
def clean(tmp_path, part):
    write(tmp_path / "clean.png", Picture(part))
    return tmp_path / "clean.png"


@pytest.fixture
def photo(tmp_path, part):
    """A noisy one."""
    write(tmp_path / "photo.png", Picture(add_noise(part, 25, 1)))
    return tmp_path / "photo.png"


@pytest.fixture
def mask(tmp_path, part):
    known = random_mask(part.shape[:2], 0.5, 3)
    write(tmp_path / "mask.png", Picture(np.where(known, 255, 0).astype(np.uint8)))
    return tmp_path / "mask.png"


@pytest.fixture
def run(capsys):
    """Run a command that succeeds, and return what it printed."""

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        assert err == ""  # no progress bar either: this is no terminal
        return out

    return call


@pytest.fixture
def refused(capsys):
    """Run a command that must say in one line what is wrong."""

    def call(message, *arguments):
        assert cli.main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("sparsefast: error: ")
        assert message in err, err

    return call


def test_denoise_is_that_of_the_library(run, photo, clean, tmp_path):
    said = run("denoise", photo, "--sigma", "25", "--reference", clean)
    result = read(tmp_path / "photo-denoised.png").pixels
    np.testing.assert_array_equal(result, denoise(read(photo).pixels, 25.0), strict=True)
    assert "noise      sigma 25 of 255\n" in said
    before, after = map(float, re.search(r"^PSNR +([\d.]+) dB before and ([\d.]+) dB after$", said, re.M).groups())
    assert after > before + 6
    assert said.endswith(f"written    {tmp_path / 'photo-denoised.png'}\n")


def test_the_noise_is_estimated_and_said(run, photo, tmp_path):
    said = run("denoise", photo, "--no-refine", "--out", tmp_path / "x.tif")
    found = re.search(r"^noise +sigma ([\d.]+), ([\d.]+), ([\d.]+) of 255 by estimate$", said, re.M)
    given = read(photo).pixels
    assert [float(level) for level in found.groups()] == pytest.approx(estimate_noise(given), abs=0.051)
    np.testing.assert_array_equal(read(tmp_path / "x.tif").pixels, denoise(given, refine=False), strict=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_clean_photograph_comes_out_bit_for_bit(run, tame, tmp_path, dtype):
    pixels = tame.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    write(tmp_path / "tame.png", Picture(pixels))
    said = run("denoise", tmp_path / "tame.png")
    assert re.search(r"^noise +sigma \d.\d of 255 by estimate, below 3: the pixels stay as they are$", said, re.M)
    np.testing.assert_array_equal(read(tmp_path / "tame-denoised.png").pixels, pixels, strict=True)
    assert "sigma 0: the pixels stay" in run("denoise", tmp_path / "tame.png", "--sigma", "0")
    np.testing.assert_array_equal(read(tmp_path / "tame-denoised.png").pixels, pixels, strict=True)


@pytest.mark.parametrize("command", [["denoise", "--sigma", "20"], ["inpaint", "--keep", "0.5"]], ids=lambda c: c[0])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_depth_and_colours_are_kept(run, part, tmp_path, command, colour, dtype):
    scale = dtype(np.iinfo(dtype).max // 255)
    pixels = (part if colour else part[:, :, 0]).astype(dtype) * scale
    alpha = (np.arange(20 * 22).reshape(20, 22) % 256).astype(dtype) * scale
    write(tmp_path / "x.png", Picture(pixels, alpha))
    run(command[0], tmp_path / "x.png", *command[1:], "--out", tmp_path / "y.png")
    result = read(tmp_path / "y.png")
    assert (result.pixels.dtype, result.pixels.shape) == (dtype, pixels.shape)
    assert (result.pixels != pixels).any()
    np.testing.assert_array_equal(result.alpha, alpha, strict=True)


def test_floating_pixels_are_written_as_such(run, part, tmp_path):
    pixels = add_noise((part[:, :, 0] / 255).astype(np.float32), 0.1, 0)
    write(tmp_path / "x.tif", Picture(pixels))
    run("denoise", tmp_path / "x.tif", "--sigma", "25.5")
    result = read(tmp_path / "x-denoised.tif").pixels
    np.testing.assert_array_equal(result, np.clip(denoise(pixels, 0.1), 0, 1), strict=True)


def test_inpaint_is_that_of_the_library(run, clean, mask, part, tmp_path):
    known = read(mask).pixels > 0
    for method in ("ksvd", "rbf"):
        said = run("inpaint", clean, "--mask", mask, "--method", method, "--reference", clean)
        result = read(tmp_path / "clean-inpainted.png").pixels
        np.testing.assert_array_equal(result, inpaint(part, known, method=method), strict=True)
        np.testing.assert_array_equal(result[known], part[known])
        assert "mask       220 of 440 pixels known (50.00%)\n" in said
        assert re.search(rf"^method +{method}, [\d.]+ s$", said, re.M)
        assert re.search(r"^PSNR +[\d.]+ dB, [\d.]+ dB of the missing pixels$", said, re.M)


def test_a_mask_of_sparsefast_mask_is_that_of_keep(run, clean, tmp_path):
    run("mask", clean, "--keep", "0.3", "--seed", "5", "--out", tmp_path / "m.png")
    said = [
        run("inpaint", clean, "--out", tmp_path / f"{i}.png", "--method", "rbf", *words)
        for i, words in enumerate((["--mask", tmp_path / "m.png"], ["--keep", "0.3", "--seed", "5"]))
    ]
    np.testing.assert_array_equal(read(tmp_path / "0.png").pixels, read(tmp_path / "1.png").pixels)
    # The photograph is the truth for pixels that it hides itself.
    assert ["PSNR" in text for text in said] == [False, True]


def test_nothing_missing(run, clean, tmp_path, part):
    said = run("inpaint", clean, "--keep", "1")
    assert "method     none: no pixel is missing, and all stay as they are\n" in said
    np.testing.assert_array_equal(read(tmp_path / "clean-inpainted.png").pixels, part, strict=True)


def test_a_mask_of_another_size_is_refused_with_both_sizes(refused, clean, tmp_path):
    write(tmp_path / "m.png", Picture(np.full((5, 6), 255, np.uint8)))
    refused("m.png is 6 x 5 pixels and", "inpaint", clean, "--mask", tmp_path / "m.png")
    refused("22 x 20; they must be the same", "inpaint", clean, "--mask", tmp_path / "m.png")
    write(tmp_path / "m.png", Picture(np.zeros((20, 22), np.uint8)))
    refused("no pixel is known", "inpaint", clean, "--mask", tmp_path / "m.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean.png", "m.png"]


def test_other_references_are_refused(refused, photo, tmp_path):
    write(tmp_path / "r.png", Picture(np.zeros((5, 6, 3), np.uint8)))
    refused("r.png is 6 x 5 pixels and", "denoise", photo, "--reference", tmp_path / "r.png")
    write(tmp_path / "r.png", Picture(np.zeros((20, 22), np.uint8)))
    refused("their channels must be the same", "denoise", photo, "--reference", tmp_path / "r.png")


def test_bad_options_are_refused_before_any_work(refused, photo, mask, tmp_path):
    gone = tmp_path / "gone.png"  # would be the error of anything that comes later
    refused("--sigma -1.0 must be 0 to", "denoise", gone, "--sigma", "-1")
    refused("--sigma nan must be 0 to", "denoise", gone, "--sigma", "nan")
    refused("--seed -1 must be at least 0", "denoise", gone, "--seed", "-1")
    refused("is not a folder", "denoise", gone, "--out", tmp_path / "no" / "x.png")
    refused("--keep 0.0 must be above 0", "inpaint", gone, "--keep", "0")
    refused("must end in one of", "inpaint", gone, "--keep", "0.5", "--out", tmp_path / "x.doc")
    refused("is the photograph itself", "denoise", photo, "--out", photo)
    refused("is the photograph itself", "inpaint", photo, "--mask", mask, "--out", mask)
    refused("gone.png", "denoise", gone)


def test_arguments_that_exclude_each_other(capsys, photo):
    for words in (["--keep", "0.5", "--mask", photo], []):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["inpaint", str(photo), *map(str, words)])
        assert stopped.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_force_writes_over_the_photograph(run, photo):
    before = photo.read_bytes()
    run("denoise", photo, "--no-refine", "--out", photo, "--force")
    assert photo.read_bytes() != before
