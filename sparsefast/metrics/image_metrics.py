"""The metrics of reconstructions, and of samples, over a set of images that comes in batches, to one or more processes.

Neither class is an nn.Module: a module's networks would go into checkpoints, into the average of the weights and into
the dtype of the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sparsefast.metrics.networks import LPIPS, inception
from sparsefast.metrics.weights import Weights, find_weights, left_out, missing_note

if TYPE_CHECKING:
    from torchmetrics import Metric

NAMES = ("mse", "mae", "psnr", "ssim", "lpips", "fid")


class _Metrics:
    """Metrics by name, on the device of their input; what cannot be had is left out.

    Attributes
    ----------
    names : tuple of str
        Those that `compute` returns.
    left_out : tuple of str
        Those that were asked for and cannot be had; `note` says why, in one line (None if there is none).
    """

    def __init__(self, known: Sequence[str], names: Sequence[str], weights: Weights | None) -> None:
        for name in names:
            if name not in known:
                raise ValueError(f"metrics: {name!r} must be one of {', '.join(known)}")
        weights = find_weights() if weights is None else weights
        self.left_out, self.note = left_out(names, weights), missing_note(names, weights)
        self.names = tuple(dict.fromkeys(name for name in names if name not in self.left_out))
        self._metrics = {name: _metric(name, weights) for name in self.names}

    def compute(self) -> dict[str, float]:
        """The value of each metric over the images of all processes, all of which call it, in the order of `names`.

        nan without images, and for fid with fewer than two.
        """
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "nccl":
            # A process without images has its empty sums on the CPU still, which NCCL does not reach.
            self._to(torch.device("cuda", torch.cuda.current_device()))
        with warnings.catch_warnings():
            # A process without images is no mistake.
            warnings.filterwarnings("ignore", "The ``compute`` method of metric")
            return {name: float(metric.compute()) for name, metric in self._metrics.items()}

    def reset(self) -> None:
        """Forget all images."""
        for metric in self._metrics.values():
            metric.reset()

    def _to(self, device: torch.device) -> None:
        for metric in self._metrics.values():
            if metric.device != device:
                metric.to(device)


class ImageMetrics(_Metrics):
    """How near reconstructions are to their images.

    mse, mae, psnr, ssim and lpips are means over images of a number for each image (psnr in dB at data_range 1:
    infinite once a reconstruction is exact); fid is the distance of the set of reconstructions from the set of images
    (rFID). Sums are float64, so that batches and processes change rounding alone.

    Parameters
    ----------
    names : sequence of {"mse", "mae", "psnr", "ssim", "lpips", "fid"}
    weights : Weights or None
        The networks' files, from `find_weights` (None: where it looks by default). lpips and fid are left out without
        them: `left_out` and `note` say so.

    Raises
    ------
    ValueError
        If a name is none of these, or a file of weights is damaged or another.
    """

    def __init__(self, names: Sequence[str] = NAMES, weights: Weights | None = None) -> None:
        super().__init__(NAMES, names, weights)

    @torch.no_grad()
    def update(self, images: Tensor, reconstructions: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        images, reconstructions : tensor of shape (B, C, H, W), floating, in [0, 1]
            Values outside are clamped. Half precision is computed in float32 or wider, autocast or not. For lpips and
            fid C is 3, or 1, which is taken as grey. The metrics move to the device of the images.

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype is another, or images are smaller than a metric allows.
        """
        x, y = _checked("images", images), _checked("reconstructions", reconstructions)
        if x.shape != y.shape or x.device != y.device:
            raise ValueError(
                f"metrics: reconstructions {tuple(y.shape)} on {y.device} must be as images, {tuple(x.shape)} "
                f"on {x.device}"
            )
        if len(x) == 0:
            return
        self._to(x.device)
        with torch.autocast(x.device.type, enabled=False):
            for name, metric in self._metrics.items():
                if name == "fid":
                    metric.update(_colour(name, x), real=True)
                    metric.update(_colour(name, y), real=False)
                elif name == "lpips":
                    metric.update(_colour(name, x), _colour(name, y))
                else:
                    metric.update(x, y)


class GenerationMetrics(_Metrics):
    """How near a set of generated images is to a set of real ones, which come apart and may differ in number: fid.

    Parameters and attributes as of `ImageMetrics`; the only name is "fid". Fewer than some thousand images of each kind
    bias it upwards: compare values of equal numbers alone.
    """

    def __init__(self, names: Sequence[str] = ("fid",), weights: Weights | None = None) -> None:
        super().__init__(("fid",), names, weights)

    def update_real(self, images: Tensor) -> None:
        """Add real images (B, C, H, W), floating, in [0, 1], as `ImageMetrics.update` takes them."""
        self._update(images, real=True)

    def update_generated(self, images: Tensor) -> None:
        """Add generated images (B, C, H, W), floating, in [0, 1], as `ImageMetrics.update` takes them."""
        self._update(images, real=False)

    def reset(self, keep_real: bool = False) -> None:
        """Forget all images, or the generated ones alone: the real ones are the same at the end of every epoch."""
        from sparsefast.metrics.states import FID

        for metric in self._metrics.values():
            if keep_real and isinstance(metric, FID):
                metric.forget_generated()
            else:
                metric.reset()

    @torch.no_grad()
    def _update(self, images: Tensor, real: bool) -> None:
        x = _checked("images", images)
        if len(x) == 0:
            return
        self._to(x.device)
        with torch.autocast(x.device.type, enabled=False):
            for name, metric in self._metrics.items():
                metric.update(_colour(name, x), real=real)


def _metric(name: str, weights: Weights) -> Metric:
    from sparsefast.metrics import scores
    from sparsefast.metrics.states import FID, MeanOverImages

    if name == "fid":
        assert weights.fid is not None
        return FID(inception(weights.fid))
    if name == "lpips":
        assert weights.lpips is not None
        return MeanOverImages(LPIPS(weights.lpips))
    return MeanOverImages(getattr(scores, name))


def _checked(argument: str, images: Tensor) -> Tensor:
    """Images in [0, 1], float32 or float64."""
    if not images.is_floating_point():
        raise TypeError(f"metrics: {argument} of dtype {images.dtype} must be floating, in [0, 1]")
    if images.ndim != 4 or (len(images) and images.numel() == 0):
        raise ValueError(f"metrics: {argument} of shape {tuple(images.shape)} must be (B, C, H, W)")
    wide = images if images.dtype == torch.float64 else images.float()
    return wide.clamp(0, 1)


def _colour(name: str, images: Tensor) -> Tensor:
    """Images with three channels: grey ones have the same in each."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"{name}: images of {images.shape[1]} channels must have 1 or 3")
    return images.expand(-1, 3, -1, -1)
