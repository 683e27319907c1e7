"""The photographs that other packages ship, and their split."""

import importlib.util

import numpy as np
import pytest

from sparsefast.images import photos as module
from sparsefast.images.photos import photos


def test_the_photographs_of_scikit_learn_are_read_when_looked_up():
    pytest.importorskip("sklearn")
    found = photos()
    assert {"china", "flower"} <= set(found)
    assert found["china"].shape == (427, 640, 3)
    assert found["china"].dtype == np.uint8


def test_the_photographs_of_scikit_image_are_those_that_its_wheel_holds():
    pytest.importorskip("skimage")
    assert {path.rsplit(".", 1)[0] for path in module._SOURCES["skimage"][1]} <= set(photos())


def test_all_of_them_are_pictures():
    found = photos()
    assert len(found) >= 2
    for name, picture in found.items():
        assert picture.dtype == np.uint8, name
        assert picture.ndim in (2, 3), name
        assert min(picture.shape[:2]) >= 300, name
        assert picture.std() > 10, name


def test_the_sides_of_the_split_are_disjoint_and_together_all():
    train, held_out = photos(split="train"), photos(split="held-out")
    assert not set(train) & set(held_out)
    assert set(train) | set(held_out) == set(photos())
    assert len(train) > 0
    assert len(held_out) > 0


@pytest.mark.parametrize("package", ["sklearn", "skimage"])
def test_either_package_alone_has_both_sides(monkeypatch, package):
    pytest.importorskip(package)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find_spec(name) if name == package else None)
    train, held_out = photos("train"), photos("held-out")
    assert len(train) > 0
    assert len(held_out) > 0
    assert set(train) | set(held_out) == set(photos())


def test_two_views_of_a_scene_are_on_the_same_side():
    pytest.importorskip("skimage")
    assert {"motorcycle_left", "motorcycle_right"} <= set(photos("train"))


def test_no_two_photographs_of_different_sides_are_nearly_the_same():
    """Each shrunk to 16 x 16 greys, their correlation stays away from 1; that of the two motorcycles does not."""

    def shrunk(picture):
        grey = np.atleast_3d(picture).mean(axis=2)
        rows, columns = (np.arange(17) * n // 16 for n in grey.shape)
        sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=0), columns[:-1], axis=1)
        means = sums / np.outer(np.diff(rows), np.diff(columns))
        return ((means - means.mean()) / means.std()).ravel()

    train, held_out = ([shrunk(picture) for picture in photos(side).values()] for side in ("train", "held-out"))
    assert max(float(a @ b) / 256 for a in train for b in held_out) < 0.8
    if "motorcycle_left" in photos():
        left, right = (shrunk(photos()[f"motorcycle_{side}"]) for side in ("left", "right"))
        assert float(left @ right) / 256 > 0.8


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(KeyError, match="photo 'lena' is not among those installed: china, flower"):
        photos()["lena"]
    with pytest.raises(ValueError, match="split='test' must be 'train', 'held-out' or None"):
        photos("test")
