"""Parts of photographs for the tests of this folder."""

import numpy as np
import pytest

from sparsefast.images.photos import photos


@pytest.fixture(scope="session")
def crop():
    """Part of a held-out photograph, (48, 52, 3) uint8."""
    pytest.importorskip("skimage")
    return np.ascontiguousarray(photos("held-out")["coffee"][150:198, 300:352])


@pytest.fixture(scope="session")
def tame(crop):
    """A part without fine texture, whose noise is estimated as less than denoising cares for, (40, 44, 3) uint8."""
    return np.ascontiguousarray(photos("train")["chelsea"][20:60, 30:74])
