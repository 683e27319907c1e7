"""What is trained and measured of LASER's autoencoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefast.nn import SparseBottleneck, rates
from sparsefast.nn.processes import total
from sparsefast.pipelines.laser.autoencoder import Autoencoder, Codes
from sparsefast.training.task import Batch, Task


class LASERTask(Task):
    """The models `vqvae` and `dlvae`: loss = recon_weight * MSE + bottleneck_weight * the bottleneck's own.

    Evaluated on reconstructions from codes as they would be stored: with rounded coefficients, where these are to be.
    """

    # The bottleneck's loss grows with the scale of the latent, and says little of the pictures.
    monitor = "val/recon_loss"

    def __init__(self, config: Any, image_shape: tuple[int, int, int]) -> None:
        super().__init__(config, image_shape)
        # Steps on a CPU are 7% faster with the channels last; the weights decide for all that follows.
        self.autoencoder = Autoencoder(config, image_shape).to(memory_format=torch.channels_last)
        self._usage = torch.zeros(config.num_embeddings, dtype=torch.int64)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["image"]
        y, bottleneck, codes = self.autoencoder(x)
        error = (y.float() - x).square() if y.dtype != x.dtype else (y - x).square()
        recon = error.mean()
        with torch.no_grad():
            # As an edge sees the pictures, [0, 1]: a quarter of the error, the range 1.
            psnr = (-10 * (error.mean(dim=(1, 2, 3)) / 4).log10()).mean()
        return {
            "loss": self.config.recon_weight * recon + self.config.bottleneck_weight * bottleneck,
            "recon_loss": recon,
            "bottleneck_loss": bottleneck,
            "psnr": psnr,
            **_sparsity(codes),
        }

    def initialize(self, batch: Batch) -> None:
        self.autoencoder.initialize(batch["image"])

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        bottleneck = self.autoencoder.bottleneck
        rows = bottleneck.revived
        if len(rows) and isinstance(bottleneck, SparseBottleneck):
            # What the optimiser knows of these atoms is of others.
            for moment in optimizer.state.get(bottleneck.dictionary, {}).values():
                if isinstance(moment, Tensor) and moment.shape == bottleneck.dictionary.shape:
                    moment[rows.to(moment.device)] = 0

    def begin_evaluation(self) -> None:
        self._usage.zero_()

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["image"]
        y, bottleneck, codes = self.autoencoder(x)
        recon = (y.to(x.dtype) - x).square().mean()
        self._usage += rates.usage_counts(codes, self.config.num_embeddings).cpu()
        return {
            "loss": self.config.recon_weight * recon + self.config.bottleneck_weight * bottleneck,
            "recon_loss": recon,
            "bottleneck_loss": bottleneck,
            **_sparsity(codes),
            "images": x,
            "reconstructions": y,
        }

    def end_evaluation(self) -> dict[str, float]:
        usage = total(self._usage.to(self.device)).cpu()
        found = {
            "bits_per_pixel": self.autoencoder.bits_per_pixel,
            "bits_per_site": self.autoencoder.bottleneck.bits_per_site,
            "usage_entropy": float(rates.entropy_bits(usage)),
            "perplexity": float(rates.perplexity(usage)),
            "unused": float((usage == 0).sum()),
        }
        if isinstance(self.autoencoder.bottleneck, SparseBottleneck):
            found["coherence"] = float(rates.mutual_coherence(self.autoencoder.bottleneck.atoms))
        return found

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["image"]
        y, _, _ = self.autoencoder(x)
        return {"held out": x, "reconstruction": y, "error, twice": (2 * (y - x).abs() - 1).clamp(-1, 1)}

    def sample(self, n: int, seed: int) -> Tensor:
        raise ValueError(
            f"model {self.config.name} makes no pictures by itself: train model=prior with "
            "model.autoencoder=RUN, the run of a vqvae or hybridvae, and sample that"
        )

    def reconstruct(self, images: Tensor) -> tuple[Tensor, dict[str, float]]:
        y, _, codes = self.autoencoder(images)
        sites = codes[0].numel() if isinstance(codes, Tensor) else int(codes.counts[0].numel())
        bits = sites * self.autoencoder.bottleneck.bits_per_site
        return y, {"bits_per_pixel": bits / (images.shape[-1] * images.shape[-2])}


def _sparsity(codes: Codes) -> dict[str, Tensor]:
    """The average number of active atoms; of a codebook it is always one, and not said."""
    return {} if isinstance(codes, Tensor) else {"sparsity": codes.counts.double().mean()}
