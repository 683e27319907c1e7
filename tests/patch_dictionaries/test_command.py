"""`sparsefast learn-dictionary`: what it writes and says, what it refuses, and that processes share its work."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sparsefast
from sparsefast import cli
from sparsefast.images.photos import photos
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import write
from sparsefast.patch_dictionaries import PatchDictionary


@pytest.fixture
def folder(tmp_path):
    """Pictures in colour and grey, of 8 and 16 bits, in a folder of folders, with a text file and a tiny one."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    write(folder / "a.png", Picture(photos("train")["chelsea"][60:150, 100:180]))
    write(folder / "b.png", Picture(photos("train")["coins"][:70, :90]))
    write(folder / "more" / "c.png", Picture(photos("train")["flower"][200:290, 200:280].astype(np.uint16) * 257))
    write(folder / "tiny.png", Picture(np.zeros((4, 90), np.uint8)))
    (folder / "notes.txt").write_text("no picture")
    return folder


def words(folder, out, *more):
    few = ("--atoms", 40, "--patch", 6, "--n-nonzero", 3, "--patches", 3000, "--epochs", 2, "--batch", 128)
    return [str(word) for word in ("learn-dictionary", folder, "--out", out, *few, *more)]


def test_a_folder_becomes_a_dictionary_and_a_sheet(folder, tmp_path, capsys):
    out = tmp_path / "d.safetensors"
    assert cli.main(words(folder, out)) == 0
    said = capsys.readouterr().out
    learned = PatchDictionary.load(out)
    assert repr(learned) == "PatchDictionary(40 atoms, 6 x 6, RGB)"
    np.testing.assert_allclose(np.linalg.norm(learned.atoms, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(learned.atoms.reshape(40, 3, 36).mean(axis=2), 0, atol=1e-5)
    assert learned.usage.sum() > 3000
    assert read(tmp_path / "d.png").pixels.shape == (6 * 25 + 1, 7 * 25 + 1, 3)
    for part in (
        "notes.txt is not a picture",
        "tiny.png is smaller than a patch",
        str(out),
        "grey levels, with 3 atoms",
    ):
        assert part in said
    cli.main(words(folder, tmp_path / "again"))
    np.testing.assert_array_equal(PatchDictionary.load(tmp_path / "again").atoms, learned.atoms)
    cli.main(words(folder, tmp_path / "grey", "--grey", "--seed", 3))
    assert PatchDictionary.load(tmp_path / "grey").n_channels == 1


def test_processes_learn_what_one_does(folder, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "two.safetensors"
    variables = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(sparsefast.__file__).parents[1]),
    }  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "sparsefast", *words(folder, out)],
            env=variables | {"RANK": str(rank)}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=100)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[1] == ""
    assert cli.main(words(folder, tmp_path / "one.safetensors")) == 0
    one, two = (PatchDictionary.load(tmp_path / f"{n}.safetensors") for n in ("one", "two"))
    # Sums in another order: float32 atoms, rounded in every step.
    np.testing.assert_allclose(two.atoms, one.atoms, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ("--atoms 0 must be at least 1", ("--atoms", 0)),
        ("--n-nonzero 50 must be at most --atoms 40", ("--n-nonzero", 50)),
        ("--atoms 4000 is above the number of patches, ", ("--atoms", 4000)),
        ("nowhere is not a folder", ("--out", "nowhere/d")),
        ("is the file of the sheet", ("--out", "d.png")),
        ("atoms.xyz must end in one of", ("--sheet", "atoms.xyz")),
        ("no picture of at least 500 x 500 pixels", ("--patch", 500)),
        ("--seed -1 must be at least 0", ("--seed", -1)),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_nothing_is_written(
    folder, tmp_path, capsys, monkeypatch, message, more
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(words(folder, "d.safetensors", *more)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_that_are_not_there_or_empty_and_files_that_are_no_pictures(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name, message in (
        (tmp_path / "missing", "is neither a folder nor a file"),
        (tmp_path / "empty", "holds no files"),
        (folder / "notes.txt", "is not a picture"),
    ):
        assert cli.main(words(name, tmp_path / "d")) == 2
        assert message in capsys.readouterr().err
