import pytest

from sparsefast.metrics import weights
from tests.metrics.fake_weights import fake_weights
from tests.training.conftest import one_thread

__all__ = ["fake", "fake_files", "one_thread"]


@pytest.fixture(scope="package")
def fake_files(tmp_path_factory):
    """A folder of files in the published formats (a quarter of a gigabyte), and their table."""
    folder = tmp_path_factory.mktemp("weights")
    yield folder, fake_weights(folder)
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
def fake(fake_files, monkeypatch):
    """Weights that are found and believed in a test."""
    folder, table = fake_files
    monkeypatch.setattr(weights, "FILES", table)
    return weights.find_weights(folder)


@pytest.fixture(autouse=True)
def no_weights_of_this_machine(tmp_path, monkeypatch):
    """An empty cache of torch.hub, which would be downloaded to: no test reaches the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.VARIABLE, raising=False)

    def download(*_, **__):
        raise AssertionError("a metric tried to download its weights")

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
