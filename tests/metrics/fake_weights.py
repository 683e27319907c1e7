"""Files of network weights in the published formats, with random numbers, for tests: what is measured with them is no
LPIPS and no FID, and only here are they believed."""

import hashlib
from pathlib import Path

import torch

from sparsefast.metrics.weights import FILES, WeightFile


def fake_weights(folder: Path) -> dict[str, tuple[WeightFile, ...]]:
    """Write AlexNet and Inception into a folder, and return what takes the place of `weights.FILES` for them."""
    return {
        "lpips": (publish(alexnet_state(), folder, FILES["lpips"][0]),),
        "fid": (publish(inception_state(), folder, FILES["fid"][0]),),
    }


def publish(state: object, folder: Path, like: WeightFile) -> WeightFile:
    """Save what is to be read as weights, under a name that ends in its digest, as the published files have it."""
    unnamed = folder / "unnamed.pth"
    torch.save(state, unnamed)
    return name_by_digest(unnamed, like)


def name_by_digest(path: Path, like: WeightFile) -> WeightFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    name = f"{Path(like.name).stem.rsplit('-', 1)[0]}-{digest}.pth"
    path.rename(path.with_name(name))
    return WeightFile(name, like.url, like.network)


def alexnet_state() -> dict[str, torch.Tensor]:
    """The layout of torchvision's file, classifier and all."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.alexnet(weights=None).state_dict()


def inception_state() -> dict[str, torch.Tensor]:
    """The layout of torch-fidelity's file. Its own initial values would let the features fade out over the layers."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_):
            pass

    nothing = Path(__file__)  # its constructor reads a file
    original, torch.load = torch.load, lambda *_, **__: {}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = Empty("inception-v3-compat", ["2048"], nothing)
            for value in network.parameters():
                if value.ndim == 4:
                    torch.nn.init.kaiming_normal_(value, nonlinearity="relu")
            return network.state_dict()
    finally:
        torch.load = original
