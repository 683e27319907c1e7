"""Archives are fetched with their checksums, whole or not at all; here from no network."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from sparsefast.data.config import CIFAR10Config, ImagenetteConfig
from sparsefast.data.image_set import open_set
from tests.data_sets import made

utils = pytest.importorskip("torchvision.datasets.utils")

SETS = {
    "cifar10": (
        CIFAR10Config,
        lambda root: made.write_cifar(root, "2"),
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py",
    ),
    "imagenette2": (
        lambda **more: ImagenetteConfig(variant="imagenette2-320", **more),
        lambda root: made.write_imagenette(root, "imagenette2-320", n=1),
        "imagenette2-320.tgz",
        "imagenette2-320",
    ),
}


@pytest.mark.parametrize("name", list(SETS))
def test_a_set_is_fetched_once_with_the_checksum_of_torchvision(tmp_path, monkeypatch, name):
    config, write, archive, folder = SETS[name]
    asked = []

    def fake(url, root, *, md5):
        asked.append((url, md5))
        write(Path(root))

    monkeypatch.setattr(utils, "download_and_extract_archive", fake)
    root = tmp_path / "new" / "root"
    for _ in range(2):
        assert len(open_set(config(root=str(root), download=True), "train")) > 0
    assert len(asked) == 1
    url, md5 = asked[0]
    assert url.endswith(archive)
    module = {"cifar10": "cifar", "imagenette2": "imagenette"}[name]
    source = Path(importlib.import_module(f"torchvision.datasets.{module}").__file__).read_text()
    assert url in source
    assert md5 in source
    assert re.fullmatch("[0-9a-f]{32}", md5)
    assert [path.name for path in root.iterdir()] == [folder]


def test_a_failed_download_leaves_nothing_and_says_why(tmp_path, monkeypatch):
    def fake(url, root, *, md5):
        Path(root, "half").write_text("half of it")
        raise RuntimeError("File not found\nor corrupted.")

    monkeypatch.setattr(utils, "download_and_extract_archive", fake)
    with pytest.raises(OSError, match=r"cifar-10-python.tar.gz could not be fetched: File not found or corrupted.$"):
        open_set(CIFAR10Config(root=str(tmp_path), download=True), "train")
    assert not list(tmp_path.iterdir())


def test_one_process_that_was_faster_is_no_error(tmp_path, monkeypatch):
    def fake(url, root, *, md5):
        made.write_cifar(Path(root), "2")
        if not list(tmp_path.glob("cifar*")):
            made.write_cifar(tmp_path, "2")

    monkeypatch.setattr(utils, "download_and_extract_archive", fake)
    assert len(open_set(CIFAR10Config(root=str(tmp_path), download=True), "train")) == 35


def test_without_torchvision_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets.utils", None)
    with pytest.raises(ImportError, match=r"data.download=true needs torchvision: pip install"):
        open_set(CIFAR10Config(root=str(tmp_path), download=True), "train")
