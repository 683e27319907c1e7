"""The sums that metrics are kept in, as torchmetrics' metrics: they add up over batches and over processes.

Both keep float64 sums, replaced and never written to: an update is right inside `torch.inference_mode` and outside. A
result is not cached: a process that got no more images would answer from its cache while the others wait for it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class MeanOverImages(Metric):
    """The mean over all images of a score (B,) of (images, reconstructions), in float64; nan without images."""

    full_state_update = False
    total: Tensor
    n_images: Tensor

    def __init__(self, score: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(compute_with_cache=False)
        self.score = score
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: Tensor, reconstructions: Tensor) -> None:
        self.total = self.total + self.score(images, reconstructions).double().sum()
        self.n_images = self.n_images + len(images)

    def compute(self) -> Tensor:
        return self.total / self.n_images


class FID(Metric):
    """Fréchet distance of two sets of images, by the mean and the covariance of features of each.

    Differs from torchmetrics' own in rounding to 8 bits (theirs cuts off) and in `frechet_distance`.

    Parameters
    ----------
    network : nn.Module
        From images (B, 3, H, W) uint8 to features (B, n_features).

    Source: M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter, GANs trained by a two time-scale
    update rule converge to a local Nash equilibrium, NeurIPS 2017, equation 6.
    """

    full_state_update = False

    def __init__(self, network: nn.Module, n_features: int = 2048) -> None:
        super().__init__(compute_with_cache=False)
        self.network = network
        for stream in ("real", "generated"):
            self.add_state(f"{stream}_sum", torch.zeros(n_features, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(
                f"{stream}_products", torch.zeros(n_features, n_features, dtype=torch.float64), dist_reduce_fx="sum"
            )
            self.add_state(f"{stream}_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: Tensor, real: bool) -> None:
        """Add images (B, 3, H, W), floating, in [0, 1], to one of the two sets; they are rounded to 8 bits."""
        features = self.network((images * 255).round().to(torch.uint8)).double()
        # 8 bits have no nan: what is no image must not count as a black one.
        features = features.masked_fill(images.isnan().flatten(1).any(1)[:, None], torch.nan)
        stream = "real" if real else "generated"
        for name, more in (("sum", features.sum(0)), ("products", features.T @ features), ("count", len(images))):
            setattr(self, f"{stream}_{name}", getattr(self, f"{stream}_{name}") + more)

    def forget_generated(self) -> None:
        """Start anew with the generated images, and keep the real ones."""
        for name in ("sum", "products", "count"):
            setattr(self, f"generated_{name}", torch.zeros_like(getattr(self, f"generated_{name}")))

    def compute(self) -> Tensor:
        """The distance, a float64 scalar; nan if a set has fewer than two images, or a nan among its pixels."""
        moments = []
        for stream in ("real", "generated"):
            total, products, count = (getattr(self, f"{stream}_{name}") for name in ("sum", "products", "count"))
            if count < 2 or not total.isfinite().all():
                return torch.full((), torch.nan, dtype=torch.float64, device=total.device)
            mean = total / count
            moments += [mean, (products - count * torch.outer(mean, mean)) / (count - 1)]
        return frechet_distance(*moments)


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> Tensor:
    """|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½) of means (F,) and covariances (F, F), float64, as a scalar.

    With C = L Lᵀ the trace of the root is the sum of the singular values of L1ᵀ L2, which has full precision where C is
    singular (fewer images than features), unlike the root of each eigenvalue of C1 C2.
    """
    root1, root2 = _root(covariance1), _root(covariance2)
    overlap = torch.linalg.svdvals(root1.T @ root2).sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * overlap
    return distance.clamp(min=0)


def _root(covariance: Tensor) -> Tensor:
    """L (F, rank) with L Lᵀ the covariance, less what is rounding."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()
