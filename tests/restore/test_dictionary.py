"""Restoring from a dictionary of one's own."""

import numpy as np
import pytest

from sparsefast import cli
from sparsefast.images.masks import random_mask
from sparsefast.images.noise import add_noise
from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import write
from sparsefast.patch_dictionaries import PatchDictionary, sample_patches
from sparsefast.restore import denoise, inpaint
from tests.data import unit


def own(picture, patch_size=6):
    """A dictionary whose atoms are patches of the picture itself."""
    return PatchDictionary(unit(sample_patches(picture, patch_size, 100, seed=0)).astype(np.float32), patch_size)


@pytest.mark.parametrize("shape", [(7, 7), (7, 7, 3)], ids=["grey", "colour"])
def test_pictures_unlike_photographs_are_restored_from_a_dictionary_of_their_kind(shape):
    tile = np.random.default_rng(0).uniform(60, 190, shape)
    picture = np.tile(tile, (6, 6, 1)[: len(shape)])
    dictionary = own(picture / 255)

    def error(restored):
        return np.sqrt(np.mean((restored - picture) ** 2))

    noisy = add_noise(picture, 25, 0, clip=False)
    given, general = (error(denoise(noisy, 25, dictionary=d, n_iterations=0, refine=False)) for d in (dictionary, None))
    assert given < 0.5 * general
    known = random_mask(picture.shape[:2], 0.3, 1)
    given, general = (
        error(inpaint(picture, known, method="ksvd", dictionary=d, n_iterations=4)) for d in (dictionary, None)
    )
    assert given < 0.5 * general


def test_other_channels_and_other_things_are_refused(crop):
    grey = own(crop[:, :, 0])
    for restore in (denoise, lambda x, **more: inpaint(x, np.arange(x[..., 0].size).reshape(x.shape[:2]) > 9, **more)):
        with pytest.raises(
            ValueError, match=r"dictionary is PatchDictionary\(\d+ atoms, 6 x 6, grey\), and the picture"
        ):
            restore(crop, dictionary=grey)
        with pytest.raises(TypeError, match="dictionary is a ndarray"):
            restore(crop, dictionary=grey.atoms)
    flat = PatchDictionary(np.full((2, 16), 0.25, np.float32), 4)
    with pytest.raises(ValueError, match="of constant atoms alone"):
        denoise(crop[:, :, 0], 10, dictionary=flat)


def test_the_commands_take_it_from_a_file(crop, tmp_path, capsys):
    own(crop).save(tmp_path / "d")
    write(tmp_path / "noisy.png", Picture(add_noise(crop, 25, 0)))
    words = ["denoise", "noisy.png", "--sigma", "25", "--out", "own.png", "--dictionary", "d"]
    assert cli.main([str(tmp_path / w) if "." in w or w == "d" else w for w in words]) == 0
    expected = denoise(read(tmp_path / "noisy.png").pixels, 25, dictionary=own(crop))
    np.testing.assert_array_equal(read(tmp_path / "own.png").pixels, expected)
    capsys.readouterr()
    words = ["inpaint", str(tmp_path / "noisy.png"), "--keep", "0.5", "--dictionary", str(tmp_path / "noisy.png")]
    assert cli.main(words) == 2
    assert "noisy.png is not a whole safetensors file" in capsys.readouterr().err
