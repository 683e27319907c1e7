"""LPIPS as a loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsefast.metrics.networks import LPIPS, SMALLEST
from sparsefast.metrics.weights import FILES, Weights, left_out, missing_note


class PerceptualLoss:
    """The mean of LPIPS over a batch, differentiable in the reconstructions.

    Not an nn.Module: held by a model, its network is in no checkpoint, in no average of the weights, in no optimiser,
    and stays in float32. It follows its images to their device.

    Parameters
    ----------
    weights : Weights
        From `find_weights`.
    image_shape : (C, H, W)
        Of the images that are going to come: C is 3, or 1, which is taken as grey.

    Raises
    ------
    ValueError
        If the file of the network is missing, with its name and where it belongs; if it is damaged; or if the images
        are too small for the network.

    Source: R. Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018.
    """

    def __init__(self, weights: Weights, image_shape: tuple[int, int, int]) -> None:
        if left_out(["lpips"], weights):
            note = missing_note(["lpips"], weights)
            names = " or ".join(file.name for file in FILES["lpips"])
            raise ValueError(f"the perceptual loss needs {names}: {note}")
        assert weights.lpips is not None
        channels, height, width = image_shape
        if channels not in (1, 3):
            raise ValueError(f"the perceptual loss: images of {channels} channels must have 1 or 3")
        self._network = LPIPS(weights.lpips).eval().requires_grad_(False)
        least = SMALLEST[self._network.network_name]
        if min(height, width) < least:
            raise ValueError(
                f"the perceptual loss: images of {height} x {width} pixels must be at least {least} x {least}"
            )
        self._device = torch.device("cpu")

    def __call__(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """The loss, a tensor () of float32, of images (B, C, H, W) in [-1, 1]; autocast or not."""
        if images.device != self._device:
            self._network.to(images.device)
            self._device = images.device
        with torch.autocast(images.device.type, enabled=False):
            x, y = ((z.float().expand(-1, 3, -1, -1) + 1) / 2 for z in (images, reconstructions))
            return self._network(x, y).mean()
