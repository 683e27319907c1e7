"""The dictionary bottleneck of LASER: sparse codes where VQ-VAE has the nearest code."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

import sparsefast
from sparsefast.nn import rates
from sparsefast.nn.arguments import check_choice, check_number, check_whole
from sparsefast.nn.bottleneck import CANDIDATES, Bottleneck
from sparsefast.nn.code_loss import code_loss
from sparsefast.nn.coefficients import CoefficientQuantizer, FollowedScale
from sparsefast.nn.kmeans import kmeans
from sparsefast.nn.revival import worst_signals
from sparsefast.nn.unit_rows import unit_rows
from sparsefast.ops.straight_through import straight_through
from sparsefast.ops.torch_bottleneck import bottleneck
from sparsefast.sparse_code import SparseCode

SOLVERS = ("omp", "iht", "topk")
GRADIENTS = ("ste", "implicit")
# Of two atoms with a larger |cos| one is exchanged when its turn comes.
_MAX_COHERENCE = 0.99
# Of K-SVD, after k-means: on the CPU, where they take tenths of a second and every installation can run them.
_SWEEPS = 3


class SparseBottleneck(Bottleneck):
    """Each signal of a latent becomes a combination of at most s of K atoms.

        z^ = sum over j of a_j d_{k_j}       loss = commitment_cost ||z - sg z^||^2 + dictionary_weight ||sg z - z^||^2

    with means over all numbers for the norms. It is called as `VectorQuantizer` is and returns as much:
    `VectorQuantizer(512, 64)` becomes `SparseBottleneck(512, 64)`.

    Parameters
    ----------
    num_embeddings : int
        K, atoms of the dictionary, at least 2.
    embedding_dim : int
        C, channels of the latent.
    sparsity_level : int
        s, atoms for a signal: 1 to min(K, C * p^2).
    commitment_cost : float
        Weight of the term that holds the encoder to what the atoms can say.
    dictionary_weight : float
        Weight of the term that moves the atoms to the signals; with gradient="ste" nothing else moves them.
    normalize_atoms : bool
        Use the atoms scaled to unit norm, through which the gradient goes. Else as they are.
    patch_size : int
        p: the signals are non-overlapping patches of p x p, C * p^2 features; 1: each place is a signal.
    sparse_solver : {"omp", "iht", "topk"}
        Of `sparsefast`: orthogonal matching pursuit; iterative hard thresholding; or the largest correlations, which
        are the coefficients too.
    gradient : {"ste", "implicit"}
        "ste": the gradient of z^ goes to z unchanged, and the coefficients are constants. "implicit": through the
        coder, exact on the support, to z and the dictionary.
    coefficient_bits : int or None
        Round the coefficients as `CoefficientQuantizer` does, in evaluation mode; 2 to 16. None: not at all.
    quantize_in_training : bool
        Round them in training mode too, with the gradient of the identity. Without coefficient_bits nothing is rounded.
    revive_every : int
        After so many training calls dead and duplicate atoms begin anew at the worst-reconstructed signals of the
        global batch (see `sparsefast.replace_atoms`); 0: never, and `forward` compiles to one graph.
    revive_below : float
        An atom is dead when it is used less than this share of the mean `usage`; 0 to 1.

    Attributes
    ----------
    dictionary : parameter of shape (K, C * p^2)
        As it is learned; `atoms` is what codes refer to.
    coefficients : CoefficientQuantizer or None
    usage, revived, calls
        As for `Bottleneck`.

    Raises
    ------
    TypeError, ValueError
        For an argument out of range, which is named.

    References
    ----------
    Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993; A. van den Oord, O.
    Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, equation 3.
    """

    dictionary: Tensor
    coefficients: FollowedScale | None

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        sparsity_level: int = 4,
        commitment_cost: float = 0.25,
        dictionary_weight: float = 1.0,
        normalize_atoms: bool = True,
        patch_size: int = 1,
        sparse_solver: str = "omp",
        gradient: str = "ste",
        coefficient_bits: int | None = 8,
        quantize_in_training: bool = False,
        revive_every: int = 100,
        revive_below: float = 0.1,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, commitment_cost, patch_size, revive_every, revive_below)
        owner, most = type(self).__name__, min(self.num_embeddings, self.n_features)
        self.sparsity_level = check_whole(owner, "sparsity_level", sparsity_level, 1, most)
        self.dictionary_weight = check_number(owner, "dictionary_weight", dictionary_weight, 0)
        self.normalize_atoms = check_flag(owner, "normalize_atoms", normalize_atoms)
        self.sparse_solver = check_choice(owner, "sparse_solver", sparse_solver, SOLVERS)
        self.gradient = check_choice(owner, "gradient", gradient, GRADIENTS)
        self.quantize_in_training = check_flag(owner, "quantize_in_training", quantize_in_training)
        self.coefficients = None if coefficient_bits is None else CoefficientQuantizer(coefficient_bits, owner)
        self.dictionary = nn.Parameter(normalize(torch.randn(self.num_embeddings, self.n_features), dim=1))

    @property
    def atoms(self) -> Tensor:
        """The dictionary (K, F) that codes refer to, of unit rows with `normalize_atoms`; differentiable."""
        return unit_rows(self.dictionary) if self.normalize_atoms else self.dictionary

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, SparseCode]:
        """Code a latent sparsely, and put it together again.

        Parameters
        ----------
        z : tensor of shape (B, C, H, W); or rows (N, C) or (B, N, C) with patch_size=1
            Of any floating dtype; computed in the dictionary's.

        Returns
        -------
        z_reconstructed : tensor of the shape and dtype of z
        loss : tensor ()
        code : SparseCode of shape (B, H', W'), (N,) or (B, N)
            H' = ceil(H / p); its values are those that were used, so that `decode(code)` gives z_reconstructed.

        Raises
        ------
        TypeError, ValueError
            If z is no tensor of floats or not of such a shape.
        """
        if self._in_one_pass():
            return self._forward_in_one_pass(z)
        signals = self._signals(z)
        if self.training and self.revive_every:
            self._begin_training_call(z)
        atoms = self.atoms
        with nullcontext() if self.gradient == "implicit" else torch.no_grad():
            solved = self._solve(signals, atoms)
            code = self._coded(solved)
        # Here coefficients are constants, with either gradient. Through the coder this term would go to z as well: by
        # nothing where they are the least squares fit, and away from the reconstruction where they are not.
        reconstruction = with_values(code, code.values.detach()).decode(atoms)
        loss = code_loss(signals, reconstruction, self.commitment_cost, self.dictionary_weight)
        loss = self._with_rounding_loss(loss, signals, atoms, solved, reconstruction)
        if self.training:
            with torch.no_grad():
                self._count(code)
        out = code.decode(atoms) if self.gradient == "implicit" else straight_through(signals, reconstruction)
        return self._latent(out, z), loss, code

    def decode(self, code: SparseCode, size: tuple[int, int] | None = None) -> Tensor:
        """The latent (B, C, H, W) that a code of shape (B, H', W') stands for, or the rows of others.

        `size` is (H, W), by default all that the sites cover.
        """
        return self._to_latent(code.decode(self.atoms), size)

    @torch.no_grad()
    def initialize(self, z: Tensor, seed: int = 0) -> None:
        """Start the atoms at the k-means centres of the signals of z, of all processes together, and three sweeps of
        K-SVD from there, and the scale of the coefficients at the largest of theirs.

        Sees at most 20 000 signals, drawn by the seed. The same in every process, and for one process that has the
        whole batch.
        """
        # The error that OMP leaves of latents (512 atoms, s = 3, latents of a network as it begins and after some
        # steps): k-means 0.30%, of signals of unit norm 0.30%, of lines (atoms that code by either sign) 0.30%, signals
        # themselves 0.42%; k-means and the sweeps 0.28% and, where the network has learned, 0.17% instead of 0.21%.
        # Centring the signals first helps a network as it begins, and costs ten times the error later.
        signals = self._initial_signals(z, seed)
        atoms = normalize(kmeans(signals, self.num_embeddings, seed=seed), dim=1)
        for _ in range(_SWEEPS if len(signals) else 0):
            atoms = sparsefast.ksvd_update(
                signals, atoms, sparsefast.omp(signals, atoms, self.sparsity_level)
            ).dictionary
        self.dictionary.copy_(atoms)
        self.usage.fill_(1)
        if self.coefficients is not None:
            self.coefficients.reset(self._solve(signals, atoms).values.to(self.dictionary.device))

    @property
    def bits_per_site(self) -> float:
        bits = None if self.coefficients is None else self.coefficients.bits_each
        return rates.sparse_bits(self.num_embeddings, self.sparsity_level, bits)

    def _table(self) -> Tensor:
        return self.dictionary

    def _rounds(self) -> bool:
        """Whether this call rounds its coefficients."""
        return self.coefficients is not None and (self.quantize_in_training or not self.training)

    def _in_one_pass(self) -> bool:
        return (
            self.sparse_solver == "omp"
            and self.dictionary.dtype in (torch.float32, torch.float64)
            and not self._rounds()
        )

    def _forward_in_one_pass(self, z: Tensor) -> tuple[Tensor, Tensor, SparseCode]:
        """`forward` by the operator that holds all its steps."""
        rows = self._check(z)
        if self.training and self.revive_every:
            self._begin_training_call(z)
        pixels = self.patch_size == 1 and not rows
        signals = z.to(self.dictionary.dtype) if pixels else self._signals(z)
        coded = bottleneck(
            signals if pixels else signals.reshape(-1, self.n_features),
            self.dictionary,
            self.sparsity_level,
            normalize_atoms=self.normalize_atoms,
            implicit=self.gradient == "implicit",
            commitment=self.commitment_cost,
            weight=self.dictionary_weight,
        )
        if self.training:
            if self.coefficients is not None:
                self.coefficients.follow(coded.values)
            self._follow_usage(coded.usage)
        code = SparseCode._make(coded.indices, coded.values, coded.counts, coded.status, self.num_embeddings)
        if pixels:
            return coded.reconstruction.to(z.dtype), coded.loss, code
        batch = signals.shape[:-1]
        code = code._map(lambda x: x.reshape(*batch, *x.shape[1:]))
        return self._latent(coded.reconstruction.reshape(signals.shape), z), coded.loss, code

    def _solve(self, signals: Tensor, atoms: Tensor) -> SparseCode:
        if self.sparse_solver == "omp":
            return sparsefast.omp(signals, atoms, self.sparsity_level)
        if self.sparse_solver == "iht":
            return sparsefast.iht(signals, atoms, self.sparsity_level)
        return sparsefast.topk(signals, atoms, self.sparsity_level)

    def _coded(self, code: SparseCode) -> SparseCode:
        """The code with its coefficients rounded, where they are to be."""
        if self.coefficients is None:
            return code
        if self.training:
            self.coefficients.follow(code.values)
            if not self.quantize_in_training:
                return code
        values = straight_through(code.values, self.coefficients(code.values))
        return with_values(code, values)

    def _with_rounding_loss(
        self, loss: Tensor, signals: Tensor, atoms: Tensor, solved: SparseCode, reconstruction: Tensor
    ) -> Tensor:
        """The loss with what rounding the coefficients of `solved` is to add to it."""
        return loss

    def _revive(self, signals: Tensor, min_use: Tensor) -> Tensor:
        atoms = self.atoms
        reconstruction = self._solve(signals, atoms).decode(atoms)
        errors = torch.linalg.vector_norm(signals - reconstruction, dim=1)
        rows, errors = worst_signals(signals, errors, CANDIDATES * self.num_embeddings)
        new, revived = sparsefast.replace_atoms(
            rows, atoms, errors, self.usage, min_use=float(min_use), max_coherence=_MAX_COHERENCE, seed=self.calls
        )
        at = torch.from_numpy(revived)
        where = at.to(rows.device)
        if not self.normalize_atoms and len(at):
            # Replacements have norm 1; those that are left say what norm is usual here.
            left = torch.ones(len(atoms), dtype=torch.bool, device=rows.device)
            left[where] = False
            new = new * torch.linalg.vector_norm(atoms[left], dim=1).mean()
        self.dictionary[where] = new[where]
        return at


def with_values(code: SparseCode, values: Tensor) -> SparseCode:
    """A code with other coefficients on its atoms."""
    return SparseCode._make(code.indices, values, code.counts, code.status, code.n_atoms)


def check_flag(owner: str, name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name}={value!r}; it must be True or False")
    return value


__all__ = ["GRADIENTS", "SOLVERS", "SparseBottleneck", "check_flag", "with_values"]
