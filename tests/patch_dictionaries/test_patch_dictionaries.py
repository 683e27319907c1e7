"""Patches that are sampled, dictionaries in files, and their pictures."""

import numpy as np
import pytest

import sparsefast
from sparsefast.images.photos import photos
from sparsefast.patch_dictionaries import PatchDictionary, atom_sheet, sample_patches
from tests.data import unit


@pytest.mark.parametrize("shape", [(37, 41), (37, 41, 3)], ids=str)
def test_samples_are_patches_of_the_picture_each_at_most_once(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = sample_patches(pixels, 5, 10_000, seed=1)
    image = np.ascontiguousarray(np.moveaxis(np.atleast_3d(pixels), 2, 0)).astype(np.float32)[None] / np.float32(255)
    every = sparsefast.unfold(image, 5, layout="signals")[0]
    every = every.reshape(len(every), -1, 25)
    every = (every - every.mean(axis=2, keepdims=True)).reshape(len(every), -1)
    assert len(found) == len(every) == 33 * 37
    order = [np.lexsort(x.round(5).T) for x in (found, every)]
    np.testing.assert_allclose(found[order[0]], every[order[1]], atol=1e-6)
    few = sample_patches(pixels, 5, 100, seed=1)
    np.testing.assert_array_equal(few, found[:100])
    assert (sample_patches(pixels, 5, 100, seed=2) != few).any()


def test_flat_patches_are_left_out():
    pixels = np.full((40, 40), 128, np.uint8)
    assert sample_patches(pixels, 8, 50).shape == (0, 64)
    pixels[:, 20:] = 90
    found = sample_patches(pixels, 8, 2000)
    assert len(found) == 33 * 7  # those that the edge runs through
    with pytest.raises(ValueError, match="patch_size=41 is larger than the picture, 40 x 40"):
        sample_patches(pixels, 41, 1)


def test_a_file_holds_what_was_saved_and_others_are_refused(tmp_path):
    atoms = unit(np.random.default_rng(0).standard_normal((7, 27))).astype(np.float32)
    saved = PatchDictionary(atoms, 3, np.arange(7.0))
    saved.save(tmp_path / "d")
    loaded = PatchDictionary.load(tmp_path / "d")
    np.testing.assert_array_equal(loaded.atoms, atoms)
    np.testing.assert_array_equal(loaded.usage, saved.usage)
    assert repr(loaded) == "PatchDictionary(7 atoms, 3 x 3, RGB)"
    assert (loaded.n_atoms, loaded.n_channels, loaded.patch_size) == (7, 3, 3)
    sparsefast.DictionaryStats(3, 4).save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"holds sparsefast.DictionaryStats, not a sparsefast.PatchDictionary"):
        PatchDictionary.load(tmp_path / "other")
    with pytest.raises(ValueError, match=r"atoms has shape \(7, 27\); it must be \(n_atoms, n_channels \* 4 \* 4\)"):
        PatchDictionary(atoms, 4)
    with pytest.raises(ValueError, match="NaN"):
        PatchDictionary(atoms * np.float32("nan"), 3)
    with pytest.raises(TypeError, match="float32"):
        PatchDictionary(atoms.astype(float), 3)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_sheet_shows_each_atom_where_its_use_puts_it(n_channels):
    rng = np.random.default_rng(0)
    atoms = unit(rng.standard_normal((5, n_channels * 9))).astype(np.float32)
    usage = np.array([3.0, 9, 1, 7, 5])
    sheet = atom_sheet(PatchDictionary(atoms, 3, usage), magnify=2, columns=2)
    assert sheet.dtype == np.uint8
    assert sheet.shape[:2] == (3 * 7 + 1, 2 * 7 + 1)
    for place, k in enumerate([1, 3, 4, 0, 2]):
        top, left = 1 + place // 2 * 7, 1 + place % 2 * 7
        tile = np.atleast_3d(sheet)[top : top + 6 : 2, left : left + 6 : 2].astype(float)
        atom = atoms[k].reshape(n_channels, 3, 3).transpose(1, 2, 0)
        np.testing.assert_allclose(tile, 127.5 + 127.5 * atom / np.abs(atom).max(), atol=0.51)
    with pytest.raises(ValueError, match="magnify=0"):
        atom_sheet(PatchDictionary(atoms, 3), magnify=0)


def test_photographs_of_the_held_out_side_are_coded_better_than_by_cosines(tmp_path):
    from sparsefast import cli
    from sparsefast.images.picture import Picture
    from sparsefast.images.writing import write

    for name in ("flower", "chelsea", "astronaut", "coins"):
        write(tmp_path / f"{name}.png", Picture(photos("train")[name]))
    out = tmp_path / "d.safetensors"
    words = ["learn-dictionary", tmp_path, "--out", out, "--patches", "20000", "--grey", "--sheet", tmp_path / "s.png"]
    assert cli.main([*map(str, words), "--epochs", "3", "--batch", "256", "--quiet"]) == 0
    learned = PatchDictionary.load(out)
    assert (learned.n_atoms, learned.n_channels) == (256, 1)
    held_out = sample_patches(photos("held-out")["camera"], 8, 2000, seed=0)
    errors = []
    for atoms in (learned.atoms, sparsefast.overcomplete_dct(8, 16)):
        difference = held_out - sparsefast.omp(held_out, atoms, 8).decode(atoms)
        errors.append(float((difference**2).mean()))
    assert errors[0] < errors[1]
