"""`sparsefast noise`, `mask` and `compare`: what they write, what they say, and what they refuse."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sparsefast import cli
from sparsefast.images.masks import KINDS, make_mask
from sparsefast.images.metrics import psnr
from sparsefast.images.noise import add_noise
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import write


@pytest.fixture
def saved(tmp_path, photo):
    """The photograph as a file."""
    path = tmp_path / "photo.png"
    write(path, Picture(photo))
    return path


@pytest.fixture
def run(capsys):
    """Run a command; its exit code, and the lines that it printed on stdout or stderr."""

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (out == "") == (code != 0)
        assert (err == "") == (code == 0)
        return code, (out or err)

    return call


def process(*words, **variables):
    """What came of a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **variables}
    return subprocess.run(list(map(str, words)), env=environment, text=True, capture_output=True, timeout=120)


def refused(run, message, *arguments):
    code, line = run(*arguments)
    assert code == 2
    assert line.count("\n") == 1
    assert line.startswith("sparsefast: error: ")
    assert message in line, line


def test_noise_is_that_of_the_library(run, saved, photo, tmp_path):
    code, said = run("noise", saved, "--sigma", "25", "--out", tmp_path / "noisy.png", "--seed", "3")
    assert code == 0
    np.testing.assert_array_equal(read(tmp_path / "noisy.png").pixels, add_noise(photo, 25, 3), strict=True)
    assert f"photo      {saved}, 83 x 61, 8-bit RGB\n" in said
    assert "noise      sigma 25 of 255, Gaussian, clipped, seed 3\n" in said
    assert re.search(r"^estimate   sigma \d+\.\d before and 2\d\.\d after, of 255$", said, re.M)
    assert said.endswith(f"written    {tmp_path / 'noisy.png'}\n")


def test_noise_has_a_name_of_its_own_beside_the_photograph(run, saved, tmp_path):
    before = saved.read_bytes()
    for _ in range(2):
        code, said = run("noise", saved, "--sigma", "5")
        assert code == 0
        assert said.endswith(f"written    {tmp_path / 'photo-noisy.png'}\n")
    assert saved.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo-noisy.png", "photo.png"]


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("colour", [False, True])
def test_sigma_is_on_the_scale_of_255_at_every_depth(run, tmp_path, bits, colour):
    shape = (100, 120, 3) if colour else (100, 120)
    dtype, scale = {8: (np.uint8, 1), 16: (np.uint16, 257), 32: (np.float32, 1 / 255)}[bits]
    if bits == 32 and colour:
        pytest.importorskip("tifffile")
    path = tmp_path / ("flat.tif" if bits == 32 else "flat.png")
    write(path, Picture((np.full(shape, 120) * scale).astype(dtype)))
    code, said = run("noise", path, "--sigma", "10")
    assert code == 0
    noisy = read(tmp_path / ("flat-noisy.tif" if bits == 32 else "flat-noisy.png"))
    assert noisy.pixels.dtype == dtype
    assert noisy.pixels.std() / scale == pytest.approx(10, rel=0.03)
    assert f"{bits}-bit {'RGB' if colour else 'grey'}" in said


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_and_the_colour_profile_are_carried_along(run, tmp_path, photo, profile, dtype):
    scale = np.iinfo(dtype).max // 255
    alpha = (np.arange(61 * 83).reshape(61, 83) % 256 * scale).astype(dtype)
    picture = Picture(photo.astype(dtype) * dtype(scale), alpha, profile)
    write(tmp_path / "x.png", picture)
    for name in ("noise.png", "noise.tif"):
        assert run("noise", tmp_path / "x.png", "--sigma", "10", "--out", tmp_path / name)[0] == 0
        noisy = read(tmp_path / name)
        np.testing.assert_array_equal(noisy.alpha, alpha, strict=True)
        assert noisy.icc_profile == profile
        assert noisy.pixels.dtype == dtype
        assert (noisy.pixels != picture.pixels).any()
    assert run("mask", tmp_path / "x.png", "--keep", "0.5", "--masked", tmp_path / "masked.png")[0] == 0
    masked = read(tmp_path / "masked.png")
    np.testing.assert_array_equal(masked.alpha, alpha, strict=True)
    assert masked.icc_profile == profile


def test_what_the_format_leaves_out_and_what_the_file_holds_besides_is_said(run, tmp_path, photo, profile):
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(tmp_path / "x.tif", save_all=True, append_images=frames[1:], icc_profile=profile)
    code, said = run("noise", tmp_path / "x.tif", "--sigma", "1", "--out", tmp_path / "y.bmp")
    assert code == 0
    assert f"note       {tmp_path / 'x.tif'}: the first of 2 frames\n" in said
    assert "note       BMP is written without a colour profile\n" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_white_where_the_pixel_is_known(run, saved, photo, tmp_path, kind):
    out, masked = tmp_path / "mask.png", tmp_path / "masked.png"
    code, said = run("mask", saved, "--keep", "0.2", "--kind", kind, "--out", out, "--masked", masked, "--seed", "7")
    assert code == 0
    known = make_mask(kind, (61, 83), 0.2, 7)
    np.testing.assert_array_equal(read(out).pixels, np.where(known, 255, 0).astype(np.uint8), strict=True)
    np.testing.assert_array_equal(read(masked).pixels, np.where(known[:, :, None], photo, 0), strict=True)
    assert f"mask       {kind}, {known.sum()} of 5063 pixels known ({known.mean():.2%}), white\n" in said
    assert said.endswith(f"written    {out}\nwritten    {masked}\n")


def test_a_mask_has_a_name_of_its_own_and_keeps_exactly_its_share(run, saved, tmp_path):
    code, said = run("mask", saved, "--keep", "0.2")
    assert code == 0
    assert said.endswith(f"written    {tmp_path / 'photo-mask.png'}\n")
    assert (read(tmp_path / "photo-mask.png").pixels == 255).sum() == round(0.2 * 61 * 83)


def test_compare_says_psnr_ssim_and_mse(run, saved, photo, tmp_path):
    noisy = add_noise(photo, 25, 0)
    write(tmp_path / "b.png", Picture(noisy))
    code, said = run("compare", saved, tmp_path / "b.png")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert lines["PSNR"].startswith(f"{psnr(photo, noisy, 255):.2f} dB (red ")
    assert re.fullmatch(r"0\.\d{4} \(red 0\.\d{4}, green 0\.\d{4}, blue 0\.\d{4}\)", lines["SSIM"])
    error = np.mean((photo.astype(float) - noisy) ** 2)
    assert lines["MSE"].startswith(f"{error:.3f} on the scale 0 to 255 (red ")
    found = json.loads(run("compare", saved, tmp_path / "b.png", "--json")[1])
    assert found["psnr"] == pytest.approx(psnr(photo, noisy, 255))
    assert found["mse"] == pytest.approx(error)
    assert list(found["channels"]) == ["red", "green", "blue"]
    assert np.mean([found["channels"][name]["mse"] for name in found["channels"]]) == pytest.approx(error)
    assert np.mean([found["channels"][name]["ssim"] for name in found["channels"]]) == pytest.approx(found["ssim"])


def test_compare_takes_depths_together_and_equal_pictures(run, saved, photo, tmp_path):
    write(tmp_path / "deep.png", Picture(photo.astype(np.uint16) * 257))
    code, said = run("compare", saved, tmp_path / "deep.png")
    assert code == 0
    assert "PSNR       inf dB" in said
    assert "SSIM       1.0000" in said
    found = json.loads(run("compare", saved, tmp_path / "deep.png", "--json")[1])
    assert (found["psnr"], found["mse"]) == (None, 0)


def test_compare_measures_alpha_apart_and_small_pictures_without_ssim(run, tmp_path):
    grey = np.full((4, 5), 100, np.uint8)
    write(tmp_path / "a.png", Picture(grey, grey))
    write(tmp_path / "b.png", Picture(grey, grey + np.uint8(10)))
    code, said = run("compare", tmp_path / "a.png", tmp_path / "b.png")
    assert code == 0
    assert "PSNR       inf dB (alpha 28.13)\n" in said
    assert "SSIM       none: the pictures are smaller than its window, 11 x 11\n" in said
    assert "MSE        0.000 on the scale 0 to 255 (alpha 100.000)\n" in said


def test_a_picture_of_one_pixel_works_in_every_command(run, tmp_path):
    write(tmp_path / "one.png", Picture(np.array([[[1, 2, 3]]], np.uint8)))
    assert run("noise", tmp_path / "one.png", "--sigma", "5")[0] == 0
    assert read(tmp_path / "one-noisy.png").pixels.shape == (1, 1, 3)
    for kind in KINDS:
        assert run("mask", tmp_path / "one.png", "--keep", "1", "--kind", kind)[0] == 0
        assert read(tmp_path / "one-mask.png").pixels.tolist() == [[255]]
    assert run("compare", tmp_path / "one.png", tmp_path / "one-noisy.png")[0] == 0


def test_the_photograph_is_not_written_over_unless_forced(run, saved, tmp_path):
    before = saved.read_bytes()
    (tmp_path / "link.png").symlink_to(saved)
    itself = "is the photograph itself; write to another file or pass --force"
    for out in (saved, tmp_path / "link.png", tmp_path / ".." / tmp_path.name / "photo.png"):
        refused(run, itself, "noise", saved, "--sigma", "5", "--out", out)
        refused(run, itself, "mask", saved, "--keep", "0.5", "--out", out)
        refused(run, itself, "mask", saved, "--keep", "0.5", "--masked", out)
        refused(run, itself, "noise", out, "--sigma", "5", "--out", saved)
    assert saved.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "photo.png"]
    assert run("noise", saved, "--sigma", "5", "--out", saved, "--force")[0] == 0
    assert saved.read_bytes() != before


def test_wrong_arguments_are_one_line_and_nothing_is_written(run, saved, photo, tmp_path):
    write(tmp_path / "deep.png", Picture(photo.astype(np.uint16)))
    write(tmp_path / "alpha.png", Picture(photo, photo[:, :, 0].copy()))
    write(tmp_path / "grey.png", Picture(photo[:, :, 0].copy()))
    write(tmp_path / "small.png", Picture(photo[:40]))
    before = sorted(tmp_path.iterdir())
    noise, mask = ("noise", saved, "--sigma", "5"), ("mask", saved, "--keep", "0.5")
    for message, *arguments in (
        ("--sigma -1.0 must be 0 to 1e+06", "noise", saved, "--sigma", "-1"),
        ("--sigma nan must be 0 to", "noise", saved, "--sigma", "nan"),
        ("--sigma 1e+300 must be 0 to", "noise", saved, "--sigma", "1e300"),
        ("an empty name must end in one of .png", *noise, "--out", ""),
        ("an empty name must end in one of .png", *mask, "--out", ""),
        ("an empty name: No such file or directory", "compare", "", saved),
        ("--seed -1 must be at least 0", *noise, "--seed", "-1"),
        ("x.xyz must end in one of .png", *noise, "--out", tmp_path / "x.xyz"),
        ("none is not a folder", *noise, "--out", tmp_path / "none" / "x.png"),
        (
            "JPEG is not written with 16 bits",
            "noise",
            tmp_path / "deep.png",
            "--sigma",
            "5",
            "--out",
            tmp_path / "x.jpg",
        ),
        (
            "JPEG cannot hold an alpha channel",
            "noise",
            tmp_path / "alpha.png",
            "--sigma",
            "5",
            "--out",
            tmp_path / "x.jpg",
        ),
        ("--keep 0.0 must be above 0 and at most 1", "mask", saved, "--keep", "0"),
        ("--keep 20.0 must be above 0 and at most 1", "mask", saved, "--keep", "20"),
        ("JPEG would blur the mask; write a PNG", *mask, "--out", tmp_path / "x.jpg"),
        (
            "is the file of the mask; write to another",
            *mask,
            "--out",
            tmp_path / "x.png",
            "--masked",
            tmp_path / "x.png",
        ),
        ("JPEG cannot hold an alpha", "mask", tmp_path / "alpha.png", "--keep", "1", "--masked", tmp_path / "x.jpg"),
        ("photo.png is 83 x 61 pixels and", "compare", saved, tmp_path / "small.png"),
        ("their channels must be the same", "compare", saved, tmp_path / "grey.png"),
        ("their channels must be the same", "compare", saved, tmp_path / "alpha.png"),
    ):
        refused(run, message, *arguments)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_names_that_the_terminal_cannot_show_are_no_error(photo, tmp_path, encoding):
    name = "é.png" if encoding == "ascii" else os.fsdecode(b"\xff.png")
    try:
        write(tmp_path / name, Picture(photo))
    except OSError:
        pytest.skip("this file system has no such names")
    words = (sys.executable, "-m", "sparsefast", "noise", tmp_path / name, "--sigma", "5")
    result = process(*words, PYTHONIOENCODING=encoding)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.endswith({"é.png": "\\xe9-noisy.png\n"}.get(name, "\\udcff-noisy.png\n"))


@pytest.mark.skipif(os.name != "posix", reason="the shell closes its descriptors so")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_are_no_error_and_hide_none(saved, tmp_path, closed):
    for sigma, code in (("5", 0), ("-5", 2)):
        words = (sys.executable, "-m", "sparsefast", "noise", saved, "--sigma", sigma)
        result = process("sh", "-c", f'"$@" {closed}', "sh", *words)
        assert result.returncode == code
        assert "Traceback" not in result.stderr
    assert (tmp_path / "photo-noisy.png").exists()


def test_real_processes_need_no_heavy_package_for_eight_bits(saved, tmp_path):
    heavy = ("torch", "numba", "scipy", "sklearn", "skimage", "tifffile")
    source = f"""
import sys
from sparsefast.cli import main
code = main(sys.argv[1:])
print([name for name in {heavy!r} if name in sys.modules])
sys.exit(code)
"""
    for arguments in (
        ("noise", saved, "--sigma", "25", "--out", tmp_path / "noisy.png"),
        ("mask", saved, "--keep", "0.2"),
        ("compare", saved, tmp_path / "noisy.png"),
    ):
        result = process(sys.executable, "-c", source, *arguments)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        assert result.stdout.endswith("[]\n")
