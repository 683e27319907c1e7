"""Bad pictures end in one clear line and exit code 2: no traceback, no warning, nothing written."""

import contextlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from sparsefast import cli
from sparsefast.images import limits
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import write
from tests.images.damaged import write_all


@pytest.fixture
def damaged(tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    return write_all(folder, np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


def commands_on(path, out):
    return (
        ["noise", path, "--sigma", "5", "--out", out],
        ["mask", path, "--keep", "0.5", "--out", out],
        ["compare", path, path],
    )


def test_every_damaged_file_is_one_line_in_every_command(damaged, tmp_path, capfd):
    before = sorted(tmp_path.rglob("*"))
    for path, message in damaged.items():
        for arguments in commands_on(str(path), str(tmp_path / "out.png")):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert cli.main(arguments) == 2, arguments
            out, err = capfd.readouterr()
            assert out == ""
            assert err.startswith("sparsefast: error: "), path
            assert err.count("\n") == 1, err
            assert message in err
            assert path.name in err
            assert not caught
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_not_there_or_no_file_is_named(tmp_path, capsys):
    (tmp_path / "file.png").touch()
    for path, message in (
        (tmp_path / "none.png", "none.png: No such file or directory"),
        (tmp_path, f"{tmp_path}: Is a directory"),
        (tmp_path / "file.png" / "x.png", "x.png: Not a directory"),
    ):
        for arguments in commands_on(str(path), str(tmp_path / "out.png")):
            assert cli.main(arguments) == 2
            assert message in capsys.readouterr().err


def test_what_libtiff_says_of_a_damaged_file_does_not_reach_the_terminal(tmp_path, photo, capfd):
    Image.fromarray(photo).save(tmp_path / "x.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "x.tif").read_bytes())
    data[2000:2100] = bytes(100)
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.tif cannot be read as a picture"):
        read(tmp_path / "x.tif")
    if not capfd.readouterr().err:
        pytest.skip("this Pillow keeps libtiff silent")
    for arguments in commands_on(str(tmp_path / "x.tif"), str(tmp_path / "out.png")):
        assert cli.main(arguments) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("sparsefast: error: ")
        assert err.count("\n") == 1


def test_a_slip_of_a_decoder_is_told_as_damage(tmp_path, photo):
    """The directory of such a TIFF is at its end: Pillow finds no tag, and stumbles."""
    Image.fromarray(photo).save(tmp_path / "x.tif", compression="tiff_lzw")
    (tmp_path / "x.tif").write_bytes((tmp_path / "x.tif").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"x\.tif cannot be read as a picture: it is damaged \(IndexError: "):
        read(tmp_path / "x.tif")


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
@pytest.mark.parametrize("name", ["eps.png", "iptc.png"])
def test_no_program_is_run_on_a_file_that_asks_for_one(damaged, tmp_path, monkeypatch, name):
    """Pillow alone runs this Ghostscript, on what is an EPS or has one inside; we do not."""
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'ran'}'\n")
    program.chmod(0o755)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", str(program))
    (path,) = (path for path in damaged if path.name == name)
    with pytest.raises(ValueError, match="which is not read"):
        read(path)
    assert not (tmp_path / "ran").exists()
    with Image.open(path) as opened, contextlib.suppress(OSError):
        opened.load()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["text.png", "cut-PNG.png", "bomb.png", "deepbomb.png", "huge.gif", "wide0.png"])
def test_in_a_process_with_all_warnings_on_and_little_memory(damaged, tmp_path, name):
    """A bomb must be refused before its pixels are allocated: they would not fit."""
    resource = pytest.importorskip("resource")
    (path,) = (path for path in damaged if path.name == name)
    source = "import sys; from sparsefast.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["noise", str(path), "--sigma", "5", "--out", str(tmp_path / "out.png")]

    def little_memory():
        resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", source, *arguments],
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
        preexec_fn=little_memory,
    )
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("sparsefast: error: ")
    assert result.stderr.count("\n") == 1
    assert damaged[path] in result.stderr
    assert not (tmp_path / "out.png").exists()


def outcome(path, data):
    """The shape that a file of these bytes is read as, or "refused" if that is a ValueError that names it."""
    path.write_bytes(data)
    try:
        return read(path).pixels.shape
    except ValueError as error:
        return "refused" if str(error).startswith(f"{path} ") else str(error)


def test_every_cut_of_a_file_is_refused_or_read_whole(tmp_path, photo):
    """Wherever a file ends, nothing but a ValueError; formats end in bytes that pixels can do without."""
    small = photo[:9, :11]
    for name, pixels in (("x.png", small), ("deep.png", small.astype(np.uint16) * 257), ("x.jpg", small)):
        write(tmp_path / name, Picture(pixels))
        whole = (tmp_path / name).read_bytes()
        keeps = range(0, len(whole), 7)
        outcomes = [outcome(tmp_path / "cut.png", whole[:keep]) for keep in keeps]
        assert set(outcomes) <= {"refused", small.shape}
        assert outcomes.count("refused") >= 0.8 * len(keeps)


def test_random_damage_is_refused_or_read_but_never_anything_else(tmp_path, photo):
    rng = np.random.default_rng(0)
    small = photo[:20, :30]
    for name in ("x.png", "deep.png", "x.jpg", "x.gif", "x.tif", "x.bmp", "x.ppm"):
        pixels = small.astype(np.uint16) * 257 if name == "deep.png" else small[:, :, 0] if name == "x.gif" else small
        write(tmp_path / name, Picture(np.ascontiguousarray(pixels)))
        whole = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for _ in range(60):
            bad = whole.copy()
            bad[rng.integers(0, len(bad), 4)] = rng.integers(0, 256, 4)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert outcome(tmp_path / "bad", bad.tobytes())[0] in ("r", *range(1, 2**16))


def test_the_limit_can_be_set_and_is_counted_in_pixels(tmp_path, photo, monkeypatch):
    Image.fromarray(photo).save(tmp_path / "x.png")
    n_pixels = photo.shape[0] * photo.shape[1]
    monkeypatch.setenv(limits.VARIABLE, str(n_pixels))
    assert read(tmp_path / "x.png").pixels.shape == photo.shape
    for limit in (n_pixels - 1, n_pixels // 3):
        monkeypatch.setenv(limits.VARIABLE, str(limit))
        with pytest.raises(ValueError, match=rf"x\.png cannot .* over the limit of {limit:,} pixels; the environment"):
            read(tmp_path / "x.png")
    filters = list(warnings.filters)
    for value in ("many", "0", "-5", ""):
        monkeypatch.setenv(limits.VARIABLE, value)
        with pytest.raises(ValueError, match=f"SPARSEFAST_MAX_PIXELS='{value}' must be a whole number"):
            read(tmp_path / "x.png")
    assert warnings.filters == filters


def test_a_limit_above_pillows_own_is_the_one_that_holds(tmp_path, monkeypatch):
    """Where Pillow would warn, then refuse: its limits are lowered to those of a small picture."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("L", (50, 40), 9).save(tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path / "x.png").pixels.shape == (40, 50)
    assert Image.MAX_IMAGE_PIXELS == 10
