"""What is trained and measured of LASER's autoencoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefast.data.values import to_unit
from sparsefast.images.metrics import RADIUS
from sparsefast.metrics.central_ssim import central_ssim
from sparsefast.metrics.perceptual import PerceptualLoss
from sparsefast.metrics.weights import find_weights
from sparsefast.nn import SparseBottleneck, rates
from sparsefast.nn.bottleneck import Bottleneck
from sparsefast.nn.coherence import coherence_loss
from sparsefast.nn.image_losses import mr_dct_loss, mr_gradient_loss
from sparsefast.nn.processes import total
from sparsefast.pipelines.laser.autoencoder import Autoencoder, Codes
from sparsefast.training.config import TrainConfig
from sparsefast.training.task import Batch, Task


class LASERTask(Task):
    """The autoencoders with a bottleneck of codes. Their loss is a sum with weights,

        loss = recon_weight recon_loss + bottleneck_weight <bottleneck>_loss + perceptual_weight perceptual_loss
               + mr_dct_weight mr_dct_loss + mr_gradient_weight mr_grad_loss + coherence_weight coherence_loss

    whose parts are logged by these names, <bottleneck> being vq, dl, ksvd or hybrid. In training the parts of weight 0
    from perceptual_loss on are not computed, and not logged; an evaluation always has mr_dct_loss and mr_grad_loss.

    Evaluated on reconstructions from codes as they would be stored: with rounded coefficients, where these are to be.
    """

    # The bottleneck's loss grows with the scale of the latent, and says little of the pictures.
    monitor = "val/recon_loss"

    def __init__(self, config: Any, image_shape: tuple[int, int, int]) -> None:
        super().__init__(config, image_shape)
        # Steps on a CPU are 7% faster with the channels last; the weights decide for all that follows.
        self.autoencoder = Autoencoder(config, image_shape).to(memory_format=torch.channels_last)
        self._usage = torch.zeros(config.num_embeddings, dtype=torch.int64)
        self._bottleneck_loss = bottleneck_loss_name(self.autoencoder.bottleneck)
        self._perceptual: PerceptualLoss | None = None

    def prepare(self, train: TrainConfig, total_steps: int) -> None:
        """Tell the task how it is going to be trained; finds the network of the perceptual loss, if it has a weight.

        Raises
        ------
        ValueError
            If there is no such network, with the key and the file that is missing.
        """
        super().prepare(train, total_steps)
        if self.config.perceptual_weight:
            self._perceptual_network()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["image"]
        y, bottleneck, codes = self.autoencoder(x)
        y = y.to(torch.promote_types(x.dtype, y.dtype))
        error = (y - x).square()
        found = self._parts(x, y, error.mean(), bottleneck)
        with torch.no_grad():
            # As an edge sees the pictures, [0, 1]: a quarter of the error, the range 1.
            found["psnr"] = (-10 * (error.mean(dim=(1, 2, 3)) / 4).log10()).mean()
            if min(x.shape[-2:]) > 2 * RADIUS:
                found["ssim"] = central_ssim(to_unit(x), to_unit(y)).mean()
        return {**found, **_sparsity(codes)}

    def _parts(
        self, x: Tensor, y: Tensor, recon: Tensor, bottleneck: Tensor, always: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """The loss of images and reconstructions, and its parts; of those that cost something the ones with a weight,
        and those named."""
        config = self.config
        loss = config.recon_weight * recon + config.bottleneck_weight * bottleneck
        found = {"recon_loss": recon, self._bottleneck_loss: bottleneck}
        atoms: Any = getattr(self.autoencoder.bottleneck, "atoms", None)
        for name, weight, part in (
            ("perceptual_loss", config.perceptual_weight, lambda: self._perceptual_network()(x, y)),
            ("mr_dct_loss", config.mr_dct_weight, lambda: mr_dct_loss(x, y)),
            ("mr_grad_loss", config.mr_gradient_weight, lambda: mr_gradient_loss(x, y)),
            ("coherence_loss", getattr(config, "coherence_weight", 0.0), lambda: coherence_loss(atoms)),
        ):
            if weight or name in always:
                found[name] = part()
            if weight:
                loss = loss + weight * found[name]
        return {"loss": loss, **found}

    def _perceptual_network(self) -> PerceptualLoss:
        if self._perceptual is None:
            try:
                self._perceptual = PerceptualLoss(find_weights(self._train_config.weights), self.image_shape)
            except ValueError as error:
                raise ValueError(f"model.perceptual_weight={self.config.perceptual_weight}: {error}") from None
        return self._perceptual

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
        y = y.to(torch.promote_types(x.dtype, y.dtype))
        self._usage += rates.usage_counts(codes, self.config.num_embeddings).cpu()
        return {
            **self._parts(x, y, (y - x).square().mean(), bottleneck, ("mr_dct_loss", "mr_grad_loss")),
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

    def figures(self, images: Tensor) -> dict[str, Any]:
        from sparsefast.pipelines.laser.plots import figures

        return figures(self.autoencoder, images)


# Where it is not the name of the class.
_BOTTLENECKS = {"VectorQuantizer": "vq", "SparseBottleneck": "dl"}


def bottleneck_loss_name(bottleneck: Bottleneck) -> str:
    """What the loss of a bottleneck is logged as: vq_loss, dl_loss, ksvd_loss (of a KSVDBottleneck), ..."""
    name = type(bottleneck).__name__
    return f"{_BOTTLENECKS.get(name, name.removesuffix('Bottleneck').lower())}_loss"


def _sparsity(codes: Codes) -> dict[str, Tensor]:
    """The average number of active atoms; of a codebook it is always one, and not said."""
    return {} if isinstance(codes, Tensor) else {"sparsity": codes.counts.double().mean()}
