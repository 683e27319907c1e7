"""The vector quantiser of VQ-VAE."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, mse_loss

import sparsefast
from sparsefast.nn import rates
from sparsefast.nn.arguments import check_number
from sparsefast.nn.bottleneck import CANDIDATES, USAGE_DECAY, Bottleneck
from sparsefast.nn.kmeans import kmeans
from sparsefast.nn.processes import total
from sparsefast.nn.revival import farthest_first, worst_signals
from sparsefast.nn.sums import sums_by_code
from sparsefast.nn.tokens import check_image, check_range, check_tokens
from sparsefast.ops.straight_through import straight_through

# Laplace smoothing of the counts: codes that have next to none are not divided by zero.
_SMOOTHING = 1e-5


class VectorQuantizer(Bottleneck):
    """Each signal of a latent becomes the nearest of K codes.

        z_q = e_k,  k = argmin ||z - e_k||     loss = commitment_cost ||z - sg z_q||^2 + [decay = 0: ||sg z - z_q||^2]

    with means over all numbers for the norms, and the straight-through gradient dL/dz = dL/dz_q. The codebook follows
    the means of the signals that it codes,

        n_k <- decay n_k + (1 - decay) |S_k|     m_k <- decay m_k + (1 - decay) sum of S_k     e_k = m_k / n_k

    (n smoothed), with sums over all processes; or, with decay=0, the gradient of the loss's first term.

    Parameters
    ----------
    num_embeddings : int
        K, codes of the codebook, at least 2.
    embedding_dim : int
        C, channels of the latent.
    commitment_cost : float
        Weight of the term that holds the encoder to the codes.
    decay : float
        At least 0 and less than 1; 0: the codebook is a parameter and learns by its gradient.
    patch_size : int
        p: the signals are non-overlapping patches of p x p, C * p^2 features; 1: each place is a signal.
    revive_every : int
        After so many training calls dead codes begin anew at the worst-coded signals of the global batch, each the
        farthest from all codes and from those chosen before it; 0: never, and `forward` compiles to one graph.
    revive_below : float
        A code is dead when it is used less than this share of the mean `usage`; 0 to 1.

    Attributes
    ----------
    codebook : buffer of shape (K, C * p^2), or parameter with decay=0
    sums : buffer of shape (K, C * p^2), with decay > 0
        m, in at least float32.
    usage, revived, calls
        As for `Bottleneck`; `usage` is n.

    Raises
    ------
    TypeError, ValueError
        For an argument out of range, which is named.

    References
    ----------
    A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, equation 3 and
    appendix A.1. A. Razavi, A. van den Oord, O. Vinyals, "Generating diverse high-fidelity images with VQ-VAE-2",
    NeurIPS 2019.
    """

    sums: Tensor
    codebook: Tensor
    _wide_buffers = ("usage", "sums")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        patch_size: int = 1,
        revive_every: int = 100,
        revive_below: float = 0.1,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, commitment_cost, patch_size, revive_every, revive_below)
        self.decay = check_number("VectorQuantizer", "decay", decay, 0, 1)
        self._usage_decay = self.decay or USAGE_DECAY
        codes = torch.randn(self.num_embeddings, self.n_features)
        if self.decay:
            self.register_buffer("codebook", codes)
            self.register_buffer("sums", codes.clone())
        else:
            self.codebook = nn.Parameter(codes)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise a latent, and in training mode learn from it.

        Parameters
        ----------
        z : tensor of shape (B, C, H, W); or rows (N, C) or (B, N, C) with patch_size=1
            Of any floating dtype; computed in the codebook's.

        Returns
        -------
        z_quantised : tensor of the shape and dtype of z
            Its gradient goes to z unchanged.
        loss : tensor ()
        indices : tensor of shape (B, H', W'), (N,) or (B, N), int64
            The codes, H' = ceil(H / p).

        Raises
        ------
        TypeError, ValueError
            If z is no tensor of floats or not of such a shape.
        """
        signals = self._signals(z)
        if self.training and self.revive_every:
            self._begin_training_call(z)
        with torch.no_grad():
            indices = sparsefast.nearest_code(signals, self.codebook).indices
        quantised = embedding(indices, self.codebook)
        loss = self.commitment_cost * mse_loss(signals, quantised.detach())
        if not self.decay:
            loss = loss + mse_loss(quantised, signals.detach())
        if self.training:
            self._learn(signals.detach(), indices)
        return self._latent(straight_through(signals, quantised), z), loss, indices

    def decode(self, indices: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """The quantised latent (B, C, H, W) of indices (B, H', W'), or the rows of others.

        `size` is (H, W), by default all that the sites cover.
        """
        return self._to_latent(embedding(indices, self.codebook), size)

    @property
    def vocabulary_size(self) -> int:
        """How many different tokens there are: K."""
        return self.num_embeddings

    @property
    def tokens_per_site(self) -> int:
        """1."""
        return 1

    def token_range(self, place: int) -> tuple[int, int]:
        """The first token that can stand at a place of a site, and the one behind the last."""
        return 0, self.num_embeddings

    @torch.no_grad()
    def encode_to_indices(self, z: Tensor) -> tuple[Tensor, int, int]:
        """The codes of a latent (B, C, H, W) as sequences (B, H' * W'), int64, row by row, with H' and W'; nothing is
        learned. TypeError or ValueError if z is no such tensor."""
        check_image("VectorQuantizer", z)
        indices = sparsefast.nearest_code(self._signals(z), self.codebook).indices
        return indices.flatten(1), indices.shape[1], indices.shape[2]

    def decode_from_indices(self, indices: Tensor, H: int, W: int, size: tuple[int, int] | None = None) -> Tensor:
        """The quantised latent (B, C, H p, W p) of sequences (B, H * W), cut to `size` (height, width) where given.

        TypeError or ValueError if they are not of that shape, or name a code that there is not.
        """
        indices = check_tokens("VectorQuantizer", indices, H, W, 1)
        check_range("VectorQuantizer", indices, "codes", 0, self.num_embeddings)
        return self.decode(indices.reshape(len(indices), H, W), size)

    @torch.no_grad()
    def initialize(self, z: Tensor, seed: int = 0) -> None:
        """Start the codebook at the k-means centres of the signals of z, of all processes together.

        Sees at most 20 000 signals, drawn by the seed. The same in every process, and for one process that has the
        whole batch.
        """
        signals = self._initial_signals(z, seed)
        self.codebook.copy_(kmeans(signals, self.num_embeddings, seed=seed))
        self.usage.fill_(1)
        if self.decay:
            self.sums.copy_(self.codebook)

    @property
    def bits_per_site(self) -> float:
        return rates.vector_bits(self.num_embeddings)

    def _table(self) -> Tensor:
        return self.codebook

    @torch.no_grad()
    def _learn(self, signals: Tensor, indices: Tensor) -> None:
        if not self.decay:
            self._count(indices)
            return
        rows = signals.reshape(-1, self.n_features).to(self.sums.dtype)
        counts, sums = sums_by_code(rows, indices.reshape(-1), self.num_embeddings)
        # One message: the network's latency is paid once a call.
        both = total(torch.cat([counts[:, None], sums], dim=1))
        self.usage.lerp_(both[:, 0], 1 - self.decay)
        self.sums.lerp_(both[:, 1:], 1 - self.decay)
        everything = self.usage.sum()
        smoothed = (self.usage + _SMOOTHING) / (everything + self.num_embeddings * _SMOOTHING) * everything
        self.codebook.copy_(self.sums / smoothed[:, None])

    def _revive(self, signals: Tensor, min_use: Tensor) -> Tensor:
        dead = self.usage < min_use
        revived = dead.nonzero()[:, 0].cpu()
        if not len(revived):
            return revived
        distances = sparsefast.nearest_code(signals, self.codebook).distances
        rows, distances = worst_signals(signals, distances, CANDIDATES * self.num_embeddings)
        chosen = farthest_first(rows, distances, len(revived))
        revived = revived[: len(chosen)]
        at, new = revived.to(rows.device), rows[chosen.to(rows.device)]
        self.codebook[at] = new.to(self.codebook.dtype)
        if self.decay:
            # As many as the mean of those that live, as `usage` will say.
            self.sums[at] = new.to(self.sums.dtype) * self.usage[~dead].mean()
        return revived
