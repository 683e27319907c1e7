"""A small real photograph, and colour profiles, for the tests of this folder."""

import numpy as np
import pytest

from sparsefast.images.photos import photos


@pytest.fixture(scope="session")
def photo():
    """A part of a photograph, (61, 83, 3) uint8."""
    pytest.importorskip("sklearn")
    return np.ascontiguousarray(photos()["flower"][100:161, 200:283])


@pytest.fixture(scope="session")
def profile():
    """A real colour profile, of sRGB."""
    ImageCms = pytest.importorskip("PIL.ImageCms")
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
