"""The options of the models `vqvae` and `dlvae`.

Keys that mean nothing to one of the two are not keys of it. `in_channels` comes from the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

INITS = ("kmeans", "random")


@dataclass
class AutoencoderConfig:
    """What both models have: the network, the codes, the weights of the losses."""

    name: str = ""  # the model: vqvae or dlvae
    num_hiddens: int = 64  # channels inside the network, even, at least 2
    num_residual_blocks: int = 2  # in the encoder and in the decoder each, at least 0
    num_residual_hiddens: int = 32  # channels inside a residual block, at least 1
    num_embeddings: int = 512  # K: codes of the codebook or atoms of the dictionary, at least 2
    embedding_dim: int = 16  # channels of the latent, which has a quarter of the image's height and width, at least 1
    patch_size: int = 1  # latent pixels across that are coded as one signal, at least 1
    commitment_cost: float = 0.25  # weight of the loss that holds the encoder to the codes, at least 0
    recon_weight: float = 1.0  # weight of the mean squared error of the images in [-1, 1], at least 0
    bottleneck_weight: float = 1.0  # weight of the bottleneck's own loss, at least 0
    perceptual_weight: float = 0.0  # weight of LPIPS, which needs a file of network weights, at least 0; 0: without it
    mr_dct_weight: float = 0.0  # weight of the difference of the DCT's magnitudes at 3 resolutions, at least 0
    mr_gradient_weight: float = 0.0  # weight of the difference of the edges' strengths at 3 resolutions, at least 0
    learning_rate: float = 2e-3  # of the optimiser, above 0
    init: str = "kmeans"  # where the codes start: at k-means centres of the first latents, or random
    revive_every: int = 100  # training steps between searches for dead codes, which start anew; 0: never
    revive_below: float = 0.1  # a code is dead when used less than this share of the mean use, 0 to below 1

    def check(self) -> None:
        """Raise ValueError for a value out of range, with the key and what is allowed."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                self._refuse(field.name, "must be finite")
        for key, least in self._least().items():
            if getattr(self, key) < least:
                self._refuse(key, f"must be at least {least}")
        if self.num_hiddens % 2:
            self._refuse("num_hiddens", "must be even")
        if not self.learning_rate > 0:
            self._refuse("learning_rate", "must be above 0")
        if not self.revive_below < 1:
            self._refuse("revive_below", "must be below 1")
        self._check_choice("init", INITS)

    def __post_init__(self) -> None:
        self.check()

    @property
    def n_features(self) -> int:
        """Of a signal: embedding_dim * patch_size^2."""
        return self.embedding_dim * self.patch_size**2

    def _least(self) -> dict[str, int]:
        return {
            "num_hiddens": 2,
            "num_residual_blocks": 0,
            "num_residual_hiddens": 1,
            "num_embeddings": 2,
            "embedding_dim": 1,
            "patch_size": 1,
            "commitment_cost": 0,
            "recon_weight": 0,
            "bottleneck_weight": 0,
            "perceptual_weight": 0,
            "mr_dct_weight": 0,
            "mr_gradient_weight": 0,
            "revive_every": 0,
            "revive_below": 0,
        }

    def _check_choice(self, key: str, choices: tuple[str, ...]) -> None:
        if getattr(self, key) not in choices:
            self._refuse(key, f"must be one of {', '.join(choices)}")

    def _refuse(self, key: str, must: str) -> Any:
        raise ValueError(f"model={self.name}: {key}={getattr(self, key)!r} {must}")


@dataclass
class VQVAEConfig(AutoencoderConfig):
    """`model=vqvae`: the bottleneck is `sparsefast.nn.VectorQuantizer`. By default 9 bits for 4 x 4 pixels."""

    name: str = "vqvae"
    decay: float = 0.99  # of the codebook's running means, 0 to below 1; 0: the codebook learns by its gradient

    def check(self) -> None:
        super().check()
        if not 0 <= self.decay < 1:
            self._refuse("decay", "must be at least 0 and below 1")


@dataclass
class DLVAEConfig(AutoencoderConfig):
    """`model=dlvae`: the bottleneck is `sparsefast.nn.SparseBottleneck`. By default 2 of 1024 atoms with 6 bits each,
    31 bits for 8 x 8 pixels."""

    name: str = "dlvae"
    num_embeddings: int = 1024
    patch_size: int = 2
    sparsity_level: int = 2  # atoms for a signal, 1 to the smaller of num_embeddings and embedding_dim * patch_size^2
    dictionary_weight: float = 1.0  # weight of the loss that moves the atoms to the signals, at least 0
    coherence_weight: float = 0.0  # weight of the mean squared cosine of two atoms, at least 0: they keep apart
    normalize_atoms: bool = True  # use the atoms scaled to unit norm
    sparse_solver: str = "omp"  # omp, iht or topk
    gradient: str = "ste"  # of the codes: ste (the identity) or implicit (exact on the atoms that were selected)
    coefficient_bits: int | None = 6  # of a coefficient when it is stored, 2 to 16; null: not rounded, 32
    quantize_in_training: bool = True  # round the coefficients in training too, to coefficient_bits if any

    def check(self) -> None:
        super().check()
        most = min(self.num_embeddings, self.n_features)
        if not 1 <= self.sparsity_level <= most:
            self._refuse("sparsity_level", f"must be 1 to {most}, the smaller of the number of atoms and of features")
        for key in ("dictionary_weight", "coherence_weight"):
            if getattr(self, key) < 0:
                self._refuse(key, "must be at least 0")
        self._check_choice("sparse_solver", ("omp", "iht", "topk"))
        self._check_choice("gradient", ("ste", "implicit"))
        if self.coefficient_bits is not None and not 2 <= self.coefficient_bits <= 16:
            self._refuse("coefficient_bits", "must be 2 to 16, or null")
