"""Encoder, bottleneck and decoder: the model of `vqvae`, `dlvae`, `laser` and `hybridvae`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sparsefast.nn import HybridBottleneck, KSVDBottleneck, SparseBottleneck, VectorQuantizer, rates
from sparsefast.nn.sites import grid_of
from sparsefast.pipelines.laser.config import AutoencoderConfig, DLVAEConfig, VQVAEConfig
from sparsefast.pipelines.laser.decoder import Decoder
from sparsefast.pipelines.laser.encoder import DOWNSAMPLING, Encoder
from sparsefast.pipelines.laser.sparse_config import HybridConfig, LASERConfig
from sparsefast.sparse_code import SparseCode

Codes = Tensor | SparseCode
"""Indices (B, H', W') int64 of `vqvae`, or a SparseCode of that shape of the others."""


class Autoencoder(nn.Module):
    """Images to codes and back.

    Parameters
    ----------
    config : VQVAEConfig, DLVAEConfig, LASERConfig or HybridConfig
    image_shape : (C, H, W)
        Of the images. C is that of every image; H and W are for `bits_per_pixel`, and images may have others: they are
        padded by their last row and column to multiples of 4 * patch_size, and reconstructions cut to their size.
    """

    bottleneck: VectorQuantizer | SparseBottleneck

    def __init__(self, config: AutoencoderConfig, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        if len(image_shape) != 3 or min(image_shape) < 1:
            raise ValueError(f"Autoencoder: image_shape={tuple(image_shape)}; it must be (C, H, W), each at least 1")
        self.config = config
        self.image_shape = tuple(int(n) for n in image_shape)
        sizes = (
            self.image_shape[0],
            config.num_hiddens,
            config.num_residual_blocks,
            config.num_residual_hiddens,
            config.embedding_dim,
        )
        self.encoder, self.decoder = Encoder(*sizes), Decoder(*sizes)
        self.bottleneck = bottleneck_of(config)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Codes]:
        """Reconstruct images.

        Parameters
        ----------
        images : tensor of shape (B, C, H, W)
            In [-1, 1].

        Returns
        -------
        reconstructions : tensor of shape (B, C, H, W)
            Not held to [-1, 1].
        bottleneck_loss : tensor ()
            Without `bottleneck_weight`.
        codes : tensor of shape (B, H', W') int64 (`vqvae`), or SparseCode of that shape

        Raises
        ------
        ValueError
            If the images have not that many channels.
        """
        z, loss, codes = self.bottleneck(self.encode(images))
        return self.decode(z, (images.shape[-2], images.shape[-1])), loss, codes

    def encode(self, images: Tensor) -> Tensor:
        """The latents (B, embedding_dim, H / 4, W / 4) of images (B, C, H, W), before the bottleneck; H and W are those
        of the padded images."""
        if images.ndim != 4 or images.shape[1] != self.image_shape[0]:
            raise ValueError(
                f"Autoencoder: images has shape {tuple(images.shape)}; it must be (B, {self.image_shape[0]}, H, W)"
            )
        unit = DOWNSAMPLING * self.config.patch_size
        below, right = -images.shape[-2] % unit, -images.shape[-1] % unit
        if below or right:
            images = pad(images, (0, right, 0, below), mode="replicate")
        return self.encoder(images)

    def decode(self, z: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Images (B, C, 4 H, 4 W) of latents (B, embedding_dim, H, W), cut to `size` (height, width) where given."""
        images = self.decoder(z)
        return images if size is None else images[..., : size[0], : size[1]]

    def decode_codes(self, codes: Codes, size: tuple[int, int] | None = None) -> Tensor:
        """Images of codes, as `forward` returns them, cut to `size` (height, width) where given."""
        return self.decode(self.bottleneck.decode(codes), size)  # type: ignore[arg-type]

    @torch.no_grad()
    def initialize(self, images: Tensor, seed: int = 0) -> None:
        """With init=kmeans, start the bottleneck from the latents of images (B, C, H, W) in [-1, 1], before the first
        step. Each process passes its part of the batch, and gets the same."""
        if self.config.init == "kmeans":
            self.bottleneck.initialize(self.encode(images), seed)

    @property
    def bits_per_pixel(self) -> float:
        """Bits of the codes of an image of `image_shape`, for each of its pixels, without entropy coding."""
        _, height, width = self.image_shape
        unit = DOWNSAMPLING * self.config.patch_size
        down, across = grid_of(height, width, unit)
        return down * across * self.bottleneck.bits_per_site / (height * width)

    @torch.no_grad()
    def statistics(self) -> dict[str, Tensor]:
        """Numbers about the bottleneck as it is, tensors (): for a log.

        "usage_entropy" (bits) and "perplexity" of the running mean of usage, "dead" (codes used less than
        `revive_below` of its mean); with a dictionary "coherence" and, where coefficients are rounded,
        "coefficient_scale".
        """
        usage = self.bottleneck.usage
        found = {
            "usage_entropy": rates.entropy_bits(usage),
            "perplexity": rates.perplexity(usage),
            "dead": rates.dead_count(usage, self.config.revive_below),
        }
        if isinstance(self.bottleneck, SparseBottleneck):
            found["coherence"] = rates.mutual_coherence(self.bottleneck.atoms)
            if self.bottleneck.coefficients is not None:
                found["coefficient_scale"] = self.bottleneck.coefficients.scale.clone()
        return found


def bottleneck_of(config: AutoencoderConfig) -> VectorQuantizer | SparseBottleneck:
    """The bottleneck that a config stands for."""
    shared: dict[str, Any] = dict(
        commitment_cost=config.commitment_cost,
        patch_size=config.patch_size,
        revive_every=config.revive_every,
        revive_below=config.revive_below,
    )
    if isinstance(config, VQVAEConfig):
        return VectorQuantizer(config.num_embeddings, config.embedding_dim, decay=config.decay, **shared)
    if isinstance(config, DLVAEConfig):
        return SparseBottleneck(
            config.num_embeddings,
            config.embedding_dim,
            sparsity_level=config.sparsity_level,
            dictionary_weight=config.dictionary_weight,
            normalize_atoms=config.normalize_atoms,
            sparse_solver=config.sparse_solver,
            gradient=config.gradient,
            coefficient_bits=config.coefficient_bits,
            quantize_in_training=config.quantize_in_training,
            **shared,
        )
    if isinstance(config, LASERConfig):
        return KSVDBottleneck(
            config.num_embeddings,
            config.embedding_dim,
            sparsity_level=config.sparsity_level,
            ksvd_iterations=config.ksvd_iterations,
            normalize_atoms=config.normalize_atoms,
            dictionary_weight=config.dictionary_weight,
            use_online_learning=config.use_online_learning,
            dict_learning_rate=config.dict_learning_rate,
            ksvd_method=config.ksvd_method,
            coefficient_bits=config.coefficient_bits,
            quantize_in_training=config.quantize_in_training,
            **shared,
        )
    if isinstance(config, HybridConfig):
        return HybridBottleneck(
            config.num_embeddings,
            config.embedding_dim,
            sparsity_level=config.sparsity_level,
            dictionary_weight=config.dictionary_weight,
            normalize_atoms=config.normalize_atoms,
            gradient=config.gradient,
            coefficient_bins=config.coefficient_bins,
            mu=config.mu,
            quantisation_weight=config.quantisation_weight,
            **shared,
        )
    known = "VQVAEConfig, DLVAEConfig, LASERConfig or HybridConfig"
    raise TypeError(f"Autoencoder: config is {type(config).__name__}; it must be {known}")
