"""The options of the models `laser` and `hybridvae`."""

from __future__ import annotations

from dataclasses import dataclass

from sparsefast.pipelines.laser.config import AutoencoderConfig


@dataclass
class SparseConfig(AutoencoderConfig):
    """What both have: a dictionary of which orthogonal matching pursuit takes a few atoms."""

    num_embeddings: int = 1024
    patch_size: int = 2
    sparsity_level: int = 2  # atoms for a signal, 1 to the smaller of num_embeddings and embedding_dim * patch_size^2
    dictionary_weight: float = 1.0  # weight of the loss that moves the atoms, where they learn by gradient; at least 0
    normalize_atoms: bool = True  # use the atoms scaled to unit norm

    def check(self) -> None:
        super().check()
        most = min(self.num_embeddings, self.n_features)
        if not 1 <= self.sparsity_level <= most:
            self._refuse("sparsity_level", f"must be 1 to {most}, the smaller of the number of atoms and of features")
        if self.dictionary_weight < 0:
            self._refuse("dictionary_weight", "must be at least 0")


@dataclass
class LASERConfig(SparseConfig):
    """`model=laser`, the K-SVD-VAE: the bottleneck is `sparsefast.nn.KSVDBottleneck`, whose dictionary learns by itself
    in each training step. By default 2 of 1024 atoms with 6 bits each, 31 bits for 8 x 8 pixels.

    With ksvd_iterations=0 and use_online_learning=false the dictionary learns by gradient, as that of `dlvae`.
    """

    name: str = "laser"
    ksvd_iterations: int = 1  # sweeps of K-SVD in each training step, at least 0; needs use_online_learning=false
    ksvd_method: str = "approx"  # of a sweep: approx or exact
    use_online_learning: bool = False  # learn from statistics of all steps; needs ksvd_iterations=0
    dict_learning_rate: float = 0.1  # of online learning, 0 to 1: part of the statistics that a step replaces
    coefficient_bits: int | None = 6  # of a coefficient when it is stored, 2 to 16; null: not rounded, 32
    quantize_in_training: bool = True  # round the coefficients in training too, to coefficient_bits if any

    def check(self) -> None:
        super().check()
        if self.ksvd_iterations < 0:
            self._refuse("ksvd_iterations", "must be at least 0")
        if self.ksvd_iterations and self.use_online_learning:
            self._refuse("ksvd_iterations", "must be 0 with use_online_learning=True: they are two ways to learn")
        self._check_choice("ksvd_method", ("approx", "exact"))
        if not 0 <= self.dict_learning_rate <= 1:
            self._refuse("dict_learning_rate", "must be 0 to 1")
        if self.coefficient_bits is not None and not 2 <= self.coefficient_bits <= 16:
            self._refuse("coefficient_bits", "must be 2 to 16, or null")


@dataclass
class HybridConfig(SparseConfig):
    """`model=hybridvae`: the bottleneck is `sparsefast.nn.HybridBottleneck`, whose codes are tokens. By default 2 of
    1024 atoms and one of 63 bins for each, 31 bits for 8 x 8 pixels."""

    name: str = "hybridvae"
    gradient: str = "ste"  # of the codes: ste (the identity) or implicit (exact on the atoms that were selected)
    coefficient_bins: int = 63  # levels of a coefficient, odd, 3 to 65535
    mu: float = 10.0  # how much denser the levels are near zero, at least 0.001
    quantisation_weight: float = 0.25  # weight of the loss that draws coefficients to their levels, at least 0
    coherence_weight: float = 0.0  # weight of the mean squared cosine of two atoms, at least 0

    def check(self) -> None:
        super().check()
        self._check_choice("gradient", ("ste", "implicit"))
        if not 3 <= self.coefficient_bins <= 65535 or self.coefficient_bins % 2 == 0:
            self._refuse("coefficient_bins", "must be odd, 3 to 65535")
        if self.mu < 1e-3:
            self._refuse("mu", "must be at least 0.001")
        for key in ("quantisation_weight", "coherence_weight"):
            if getattr(self, key) < 0:
                self._refuse(key, "must be at least 0")
