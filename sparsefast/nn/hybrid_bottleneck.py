"""The hybrid bottleneck of LASER: sparse codes in a learned dictionary, told in whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from sparsefast.nn.arguments import check_number
from sparsefast.nn.mu_law import MuLawQuantizer
from sparsefast.nn.sparse_bottleneck import SparseBottleneck, with_values
from sparsefast.nn.tokens import check_image, check_range, check_tokens
from sparsefast.ops.straight_through import straight_through
from sparsefast.sparse_code import SparseCode


class HybridBottleneck(SparseBottleneck):
    """`SparseBottleneck` whose coefficients are rounded to a few bins, in training too, so that a code is a sequence of
    tokens, as a VectorQuantizer's is.

        z_u = sum of a_j d_{k_j}     z^ = sum of q(a_j) d_{k_j}
        loss = commitment_cost ||z - sg z^||^2 + dictionary_weight ||sg z - z^||^2
               + quantisation_weight ||z_u - sg z^||^2

    with means over all numbers for the norms, and q of `MuLawQuantizer` with the gradient of the identity. The last
    term draws what the atoms say exactly to what is left of it in bins: its gradient goes to z unchanged
    (gradient="ste") or through the coder to z and the atoms ("implicit").

    Entries stand in the order of their atoms, without those whose bin is that of zero: a support has one spelling. The
    tokens of a site are s pairs (atom, bin): atoms are tokens 0 to K - 1, and bins K to K + coefficient_bins - 1. A
    site of fewer than s entries is filled up with the first atoms that it does not use, in the bin of zero.

    Parameters
    ----------
    num_embeddings, embedding_dim, sparsity_level, commitment_cost, dictionary_weight, normalize_atoms, patch_size
        As for `SparseBottleneck`; so are gradient, revive_every and revive_below. The solver is OMP.
    coefficient_bins : int
        Odd, 3 to 65535.
    mu : float
        At least 0.001: how much denser the bins are near zero.
    quantisation_weight : float
        At least 0.

    Attributes
    ----------
    coefficients : MuLawQuantizer
    dictionary, usage, revived, calls
        As for `SparseBottleneck`.

    Raises
    ------
    TypeError, ValueError
        For an argument out of range, which is named.
    """

    coefficients: MuLawQuantizer

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        sparsity_level: int = 4,
        commitment_cost: float = 0.25,
        dictionary_weight: float = 1.0,
        normalize_atoms: bool = True,
        patch_size: int = 1,
        gradient: str = "ste",
        coefficient_bins: int = 63,
        mu: float = 10.0,
        quantisation_weight: float = 0.25,
        revive_every: int = 100,
        revive_below: float = 0.1,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            sparsity_level,
            commitment_cost,
            dictionary_weight,
            normalize_atoms,
            patch_size,
            gradient=gradient,
            coefficient_bits=None,
            revive_every=revive_every,
            revive_below=revive_below,
        )
        owner = "HybridBottleneck"
        self.quantisation_weight = check_number(owner, "quantisation_weight", quantisation_weight, 0)
        self.coefficients = MuLawQuantizer(coefficient_bins, mu, owner)

    @property
    def vocabulary_size(self) -> int:
        """How many different tokens there are: K + coefficient_bins."""
        return self.num_embeddings + self.coefficients.n_bins

    @property
    def tokens_per_site(self) -> int:
        """2 s."""
        return 2 * self.sparsity_level

    def token_range(self, place: int) -> tuple[int, int]:
        """The first token that can stand at a place of a site, and the one behind the last: atoms and bins in turns."""
        return (self.num_embeddings, self.vocabulary_size) if place % 2 else (0, self.num_embeddings)

    @torch.no_grad()
    def encode_to_indices(self, z: Tensor) -> tuple[Tensor, int, int]:
        """The tokens of a latent, as in evaluation mode; nothing is learned.

        Parameters
        ----------
        z : tensor of shape (B, C, H, W)

        Returns
        -------
        tokens : tensor of shape (B, H' * W' * 2 s), int64
            Site by site in rows of the latent, H' = ceil(H / p); atom, bin, atom, bin of each.
        H', W' : int

        Raises
        ------
        TypeError, ValueError
            If z is no such tensor, or holds NaN or infinity.
        """
        check_image("HybridBottleneck", z)
        signals = self._signals(z)
        if not bool(torch.isfinite(signals).all()):
            raise ValueError("HybridBottleneck: encode_to_indices: z holds NaN or infinity, which have no tokens")
        code = self._rounded(self._solve(signals, self.atoms))
        s, device = self.sparsity_level, signals.device
        place = torch.arange(s, device=device)
        used = place < code.counts[..., None]
        atoms = torch.where(used, code.indices, self.num_embeddings)
        bins = torch.where(used, self.coefficients.bins(code.values), self.coefficients.zero_bin)
        # Of the first s atoms at least as many are free as entries are missing.
        free = (atoms[..., :, None] != place).all(dim=-2)
        filling = free & (free.cumsum(dim=-1) <= (s - code.counts[..., None]))
        keys = torch.cat([atoms, torch.where(filling, place, self.num_embeddings)], dim=-1)
        bins = torch.cat([bins, torch.full_like(bins, self.coefficients.zero_bin)], dim=-1)
        keys, order = keys.sort(dim=-1, stable=True)
        pairs = torch.stack([keys[..., :s], self.num_embeddings + bins.gather(-1, order)[..., :s]], dim=-1)
        return pairs.reshape(len(z), -1), signals.shape[1], signals.shape[2]

    def decode_from_indices(self, tokens: Tensor, H: int, W: int, size: tuple[int, int] | None = None) -> Tensor:
        """The latent (B, C, H p, W p) of tokens, exactly what the layer gives in evaluation mode for the latent that
        they are of. `size` is (height, width) of the latent, by default all that the sites cover.

        Parameters
        ----------
        tokens : tensor of shape (B, H * W * 2 s), of whole numbers
            Pairs may stand in any order in a site.

        Raises
        ------
        TypeError, ValueError
            If tokens are not of that shape, or one is no atom or no bin where one must be.
        """
        owner = "HybridBottleneck"
        tokens = check_tokens(owner, tokens, H, W, self.tokens_per_site)
        pairs = tokens.reshape(len(tokens), H, W, self.sparsity_level, 2)
        atoms, bins = pairs.unbind(dim=-1)
        check_range(owner, atoms, "atoms", 0, self.num_embeddings)
        check_range(owner, bins, "bins", self.num_embeddings, self.vocabulary_size)
        values = self.coefficients.levels(self.dictionary.dtype)[bins - self.num_embeddings]
        counts = torch.full(atoms.shape[:-1], self.sparsity_level, dtype=torch.int32, device=atoms.device)
        status = torch.zeros_like(counts, dtype=torch.uint8)
        code = SparseCode._make(atoms, values, counts, status, self.num_embeddings)
        return self.decode(_in_order(code), size)

    def _rounds(self) -> bool:
        return True

    def _coded(self, code: SparseCode) -> SparseCode:
        if self.training:
            self.coefficients.follow(code.values)
        return self._rounded(code)

    def _rounded(self, code: SparseCode) -> SparseCode:
        return _in_order(with_values(code, straight_through(code.values, self.coefficients(code.values))))

    def _with_rounding_loss(
        self, loss: Tensor, signals: Tensor, atoms: Tensor, solved: SparseCode, reconstruction: Tensor
    ) -> Tensor:
        if self.gradient == "implicit":
            unrounded = solved.decode(atoms)
        else:
            unrounded = straight_through(signals, solved.decode(atoms.detach()))
        return loss + self.quantisation_weight * mse_loss(unrounded, reconstruction.detach())


def _in_order(code: SparseCode) -> SparseCode:
    """A code with its entries by increasing atom, and without coefficients of zero."""
    entries = torch.arange(code.n_nonzero, device=code.indices.device)
    kept = (entries < code.counts[..., None]) & (code.values != 0)
    keys, order = torch.where(kept, code.indices, code.n_atoms).sort(dim=-1, stable=True)
    values, kept = code.values.gather(-1, order), keys < code.n_atoms
    # NaN stays: it says that the signal held it.
    values = torch.where(kept | values.isnan(), values, torch.zeros_like(values))
    counts = kept.sum(dim=-1).to(code.counts.dtype)
    return SparseCode._make(torch.where(kept, keys, 0), values, counts, code.status, code.n_atoms)


__all__ = ["HybridBottleneck"]
