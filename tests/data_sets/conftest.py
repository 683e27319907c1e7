"""A data set of each kind in its own format, made once."""

import pytest

from sparsefast.data.config import CONFIGS
from tests.data_sets import made

pytest.importorskip("sklearn")


@pytest.fixture(scope="session")
def roots(tmp_path_factory):
    """The folders of the sets that are read from one."""
    root = tmp_path_factory.mktemp("sets")
    made.write_cifar(root / "cifar10", "2")
    made.write_celeba(root / "celeba", (0, 1, 2, 0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 2))
    made.write_imagenette(root / "imagenette2")
    made.write_folder(root / "folder")
    return {name: str(root / name) for name in ("cifar10", "celeba", "imagenette2", "folder")}


@pytest.fixture(scope="session")
def config_of(roots):
    """Makes a small config of a set by its name."""

    def make(name, /, **changes):
        settings = {"size": 32, "batch_size": 4, "eval_batch_size": 3}
        if name in roots:
            settings["root"] = roots[name]
        if name == "folder":
            settings["holdout"] = 3
        if name in ("photos", "synthetic"):
            settings["epoch_images"] = 13
        if name == "synthetic":
            settings["eval_images"] = 7
        return CONFIGS[name](**{**settings, **changes})

    return make
