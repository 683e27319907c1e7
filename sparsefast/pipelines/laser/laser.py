"""LASER as one class: the autoencoder with the bottleneck of choice, by the names of the original's arguments."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from sparsefast.nn import HybridBottleneck, VectorQuantizer
from sparsefast.pipelines.laser.autoencoder import Autoencoder, Codes
from sparsefast.pipelines.laser.config import AutoencoderConfig, DLVAEConfig, VQVAEConfig
from sparsefast.pipelines.laser.sparse_config import HybridConfig, LASERConfig

CONFIGS: dict[str, type[AutoencoderConfig]] = {
    "ksvd": LASERConfig,
    "dl": DLVAEConfig,
    "vq": VQVAEConfig,
    "hybrid": HybridConfig,
}


class LASER(nn.Module):
    """An autoencoder of images with a bottleneck of sparse codes, or of a codebook: `Autoencoder` by its arguments.

    Parameters
    ----------
    in_channels : int
        Of the images.
    num_hiddens, num_residual_blocks, num_residual_hiddens : int
        Of the network, as in `AutoencoderConfig`.
    num_embeddings : int
        Atoms of the dictionary, or codes of the codebook.
    embedding_dim : int
        Channels of the latent.
    sparsity_level : int
        Atoms for a signal; "vq" has one code and does not read it.
    commitment_cost : float
        Weight of the loss that holds the encoder to the codes.
    learning_rate : float
        Of `configure_optimizers`.
    ksvd_iterations : int
        Sweeps of K-SVD in a call in training mode; read by "ksvd" alone. With 0 the dictionary learns online where
        use_online_learning=True is given, else by gradient.
    patch_size : int
        Latent pixels across that are coded as one signal. The latent has a quarter of the image's height and width:
        the original's 8 leaves a single token of a picture of 32 x 32.
    bottleneck : {"ksvd", "dl", "vq", "hybrid"}
        `KSVDBottleneck`, `SparseBottleneck`, `VectorQuantizer` or `HybridBottleneck` of `sparsefast.nn`.
    options
        Other keys of the bottleneck's configuration, `LASERConfig`, `DLVAEConfig`, `VQVAEConfig` or `HybridConfig`:
        dictionary_weight, use_online_learning, dict_learning_rate, normalize_atoms, sparse_solver, gradient, decay ...

    Attributes
    ----------
    config : AutoencoderConfig
    autoencoder : Autoencoder

    Raises
    ------
    TypeError, ValueError
        For an option that the bottleneck does not have, or a value out of range.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_hiddens: int = 128,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        sparsity_level: int = 8,
        num_residual_blocks: int = 2,
        num_residual_hiddens: int = 64,
        commitment_cost: float = 0.25,
        learning_rate: float = 1e-4,
        ksvd_iterations: int = 1,
        patch_size: int = 1,
        bottleneck: str = "ksvd",
        **options: Any,
    ) -> None:
        super().__init__()
        if bottleneck not in CONFIGS:
            raise ValueError(f"LASER: bottleneck={bottleneck!r}; it must be one of {', '.join(CONFIGS)}")
        known = {field.name for field in fields(CONFIGS[bottleneck])} - {"name"}
        for key in options:
            if key not in known:
                raise TypeError(f"LASER: {key}={options[key]!r}; bottleneck={bottleneck!r} has no such option")
        some: dict[str, Any] = {"sparsity_level": sparsity_level, "ksvd_iterations": ksvd_iterations}
        config = CONFIGS[bottleneck](
            num_hiddens=num_hiddens,
            num_embeddings=num_embeddings,
            embedding_dim=embedding_dim,
            num_residual_blocks=num_residual_blocks,
            num_residual_hiddens=num_residual_hiddens,
            commitment_cost=commitment_cost,
            learning_rate=learning_rate,
            patch_size=patch_size,
            **{key: value for key, value in some.items() if key in known},
            **options,
        )
        self._build(config, (in_channels, 32, 32))

    def _build(self, config: AutoencoderConfig, image_shape: tuple[int, int, int]) -> None:
        self.config = config
        self.autoencoder = Autoencoder(config, image_shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Codes]:
        """Reconstructions (B, C, H, W) of images in [-1, 1] of any size, the bottleneck's loss () and the codes (B, H',
        W'): a SparseCode, or indices with "vq". As `Autoencoder.forward`."""
        return self.autoencoder(x)

    def initialize(self, x: Tensor, seed: int = 0) -> None:
        """Start the codes at k-means of the latents of images, before the first step; as `Autoencoder.initialize`."""
        self.autoencoder.initialize(x, seed)

    @torch.no_grad()
    def encode_to_indices(self, x: Tensor) -> tuple[Tensor, int, int]:
        """The tokens of images, for a model of sequences; nothing is learned.

        Parameters
        ----------
        x : tensor of shape (B, C, H, W)
            In [-1, 1].

        Returns
        -------
        indices : tensor of shape (B, H' * W' * n), int64
            Row by row; n = 1 with "vq", and 2 * sparsity_level with "hybrid": see `HybridBottleneck`.
        H', W' : int

        Raises
        ------
        ValueError
            With "ksvd" and "dl", whose codes are no tokens.
        """
        return self._tokens().encode_to_indices(self.autoencoder.encode(x))

    @torch.no_grad()
    def decode_from_indices(self, indices: Tensor, H: int, W: int, size: tuple[int, int] | None = None) -> Tensor:
        """Images of tokens, as `encode_to_indices` returns them: in evaluation mode those of `forward`. Cut to `size`
        (height, width) where given. ValueError with "ksvd" and "dl", or for tokens that there are not."""
        return self.autoencoder.decode(self._tokens().decode_from_indices(indices, H, W), size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW at `learning_rate`, of what is learned by gradient."""
        return torch.optim.AdamW(self.parameters(), lr=self.config.learning_rate)

    @classmethod
    def load_from_checkpoint(cls, path: str | os.PathLike[str]) -> LASER:
        """The model of a run of `sparsefast train` with model=laser, dlvae, vqvae or hybridvae, in evaluation mode on
        the CPU, with the averaged weights that the run evaluates.

        Parameters
        ----------
        path : path
            The folder of a run, one of its `.safetensors`, or its `checkpoints/last.ckpt`. Nothing in it is run.

        Raises
        ------
        ValueError
            If it is no such file, or of another model.
        OSError
            If it cannot be read.
        """
        # Lightning, which training needs and the model does not.
        from sparsefast.training.checkpoints import put_weights, read_weights, weights_file

        file = weights_file(path)
        weights, about = read_weights(file)
        keys = dict(about["config"]["model"])
        chosen = {kind.name: kind for kind in CONFIGS.values()}.get(keys["name"])
        if chosen is None:
            names = ", ".join(kind.name for kind in CONFIGS.values())
            raise ValueError(f"{file} is of model {keys['name']}; LASER is {names}")
        if more := sorted(set(keys) - {field.name for field in fields(chosen)}):
            raise ValueError(f"{file} has model.{more[0]}, which is not known here")
        channels, height, width = about["image_shape"]
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._build(chosen(**keys), (channels, height, width))
        put_weights(model, weights, file)
        return model.eval()

    def _tokens(self) -> VectorQuantizer | HybridBottleneck:
        bottleneck = self.autoencoder.bottleneck
        if not isinstance(bottleneck, VectorQuantizer | HybridBottleneck):
            raise ValueError(
                f"LASER: the codes of model={self.config.name} have coefficients, and are no tokens; "
                'take bottleneck="hybrid" (model=hybridvae) or "vq" (model=vqvae)'
            )
        return bottleneck
