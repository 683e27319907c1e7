"""The networks of LPIPS and FID, built from local files: neither torchvision nor torch-fidelity downloads anything."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsefast.metrics.weights import file_of, read_weights

# Below these, height and width in pixels, the last pooling of the network has nothing left.
SMALLEST = {"alex": 31, "vgg": 16}


class LPIPS(nn.Module):
    """Learned perceptual distance of each pair of images, with the linear heads that torchmetrics ships.

    Source: R. Zhang, P. Isola, A. Efros, E. Shechtman and O. Wang, The unreasonable effectiveness of deep features as a
    perceptual metric, CVPR 2018, equation 1 (version 0.1 of its weights).

    Parameters
    ----------
    path : Path
        torchvision's AlexNet (the default of the paper's authors) or VGG16, under its published name.

    Raises
    ------
    ValueError
        If the file is damaged or another, with its path.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torchmetrics.functional.image.lpips import _NoTrainLpips

        self.network_name = file_of("lpips", path).network
        state = read_weights("lpips", path)
        # Its parameters are drawn before they are replaced, which must not move the random state of the run.
        with torch.random.fork_rng(devices=[]):
            self.net = _NoTrainLpips(net=self.network_name, pnet_rand=True)  # type: ignore[arg-type]
        # A slice of its network keeps the numbers of the layers in torchvision's: slice2.3.weight is features.3.weight.
        names = {name: f"features.{name.split('.', 1)[1]}" for name in self.net.net.state_dict()}
        _check("lpips", path, state, {names[name]: value for name, value in self.net.net.state_dict().items()})
        self.net.net.load_state_dict({name: state[theirs] for name, theirs in names.items()})

    def forward(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """Distances (B,) float32 of images (B, 3, H, W), any floating dtype, in [0, 1]."""
        least = SMALLEST[self.network_name]
        height, width = images.shape[-2:]
        if min(height, width) < least:
            raise ValueError(f"lpips: images of {height} x {width} pixels must be at least {least} x {least}")
        return self.net(images.float(), reconstructions.float(), normalize=True).flatten()


def inception(path: Path) -> nn.Module:
    """The Inception network of FID, from images (B, 3, H, W) uint8 of any size to features (B, 2048) float32.

    Source: the network of the original FID (2015-12-05, in TensorFlow), as torch-fidelity ported it.

    Raises
    ------
    ValueError
        If the file is damaged or another, with its path.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    state = read_weights("fid", path)
    # torch-fidelity unpickles whatever file it is given: it gets a copy of what was read as tensors alone.
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):
            return NoTrainInceptionV3("inception-v3-compat", ["2048"], copy)  # type: ignore[arg-type]
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise ValueError(f"fid: {path} does not fit the network: {text}") from None


def _check(metric: str, path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name, value in wanted.items():
        if name not in state or state[name].shape != value.shape:
            found = f"of shape {tuple(state[name].shape)}" if name in state else "missing"
            raise ValueError(
                f"{metric}: {path} does not fit the network: {name} is {found}, not of shape {tuple(value.shape)}"
            )
