"""The photographs that other packages ship."""

import numpy as np
import pytest

from sparsefast.images.photos import photos


def test_the_photographs_of_scikit_learn_are_read_when_looked_up():
    pytest.importorskip("sklearn")
    found = photos()
    assert {"china", "flower"} <= set(found)
    assert found["china"].shape == (427, 640, 3)
    assert found["china"].dtype == np.uint8


def test_all_of_them_are_pictures():
    found = photos()
    assert len(found) >= 2
    for name, picture in found.items():
        assert picture.dtype == np.uint8, name
        assert picture.ndim in (2, 3), name
        assert picture.std() > 10, name


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(KeyError, match="photo 'lena' is not among those installed: china, flower"):
        photos()["lena"]
