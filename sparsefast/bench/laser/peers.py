"""Bottlenecks as they are usually written in PyTorch: the peers of `bench laser --variants speed,train`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from sparsefast.bench.gpu.peers import batch_omp


class PlainVectorQuantizer(nn.Module):
    """Distances to all codes, an argmin, rows of a one-hot matrix, running means of counts and sums with decay 0.99.

    Source: the usual PyTorch form of A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation
    learning", NeurIPS 2017, appendix A.1. Called as `sparsefast.nn.VectorQuantizer`.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(
        self, num_embeddings: int, embedding_dim: int, commitment_cost: float = 0.25, decay: float = 0.99
    ) -> None:
        super().__init__()
        self.commitment_cost, self.decay = commitment_cost, decay
        self.register_buffer("codebook", torch.randn(num_embeddings, embedding_dim))
        self.register_buffer("counts", torch.ones(num_embeddings))
        self.register_buffer("sums", self.codebook.clone())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise z (B, C, H, W): the quantised latent, the loss and the codes (B * H * W,)."""
        signals = z.permute(0, 2, 3, 1).contiguous()
        rows = signals.view(-1, signals.shape[-1])
        with torch.no_grad():
            indices = torch.cdist(rows, self.codebook).argmin(dim=1)
            one_hot = torch.zeros(len(rows), len(self.codebook), dtype=rows.dtype, device=rows.device)
            one_hot.scatter_(1, indices[:, None], 1)
            quantised = (one_hot @ self.codebook).view_as(signals)
            if self.training:
                self.counts.mul_(self.decay).add_(one_hot.sum(0), alpha=1 - self.decay)
                self.sums.mul_(self.decay).add_(one_hot.T @ rows, alpha=1 - self.decay)
                everything = self.counts.sum()
                smoothed = (self.counts + 1e-5) / (everything + len(self.codebook) * 1e-5) * everything
                self.codebook.copy_(self.sums / smoothed[:, None])
        loss = self.commitment_cost * mse_loss(signals, quantised)
        quantised = signals + (quantised - signals).detach()
        return quantised.permute(0, 3, 1, 2), loss, indices


class PlainDictionaryBottleneck(nn.Module):
    """Batch-OMP by batched operations of PyTorch, dense codes (N, K) times the atoms, the straight-through gradient.

    As LASER's public code: the Gram matrix, a Cholesky factor that grows by a row in each step, `mse_loss` twice.
    Coefficients are not rounded. Called as `sparsefast.nn.SparseBottleneck`, on latents whose sides patch_size divides.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        sparsity_level: int,
        commitment_cost: float = 0.25,
        dictionary_weight: float = 1.0,
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        self.sparsity_level, self.patch_size = sparsity_level, patch_size
        self.commitment_cost, self.dictionary_weight = commitment_cost, dictionary_weight
        self.dictionary = nn.Parameter(normalize(torch.randn(num_embeddings, embedding_dim * patch_size**2), dim=1))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code z (B, C, H, W): the reconstruction, the loss, and the codes (N, K)."""
        p, (batch, channels, height, width) = self.patch_size, z.shape
        patches = z.reshape(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        rows = patches.reshape(-1, channels * p * p)
        atoms = normalize(self.dictionary, dim=1)
        with torch.no_grad():
            indices, values = batch_omp(rows, atoms, self.sparsity_level)
            codes = rows.new_zeros(len(rows), len(atoms)).scatter_(1, indices, values)
        reconstruction = codes @ atoms
        loss = self.dictionary_weight * mse_loss(reconstruction, rows.detach())
        loss = loss + self.commitment_cost * mse_loss(rows, reconstruction.detach())
        out = rows + (reconstruction - rows).detach()
        out = out.reshape(patches.shape).permute(0, 3, 1, 4, 2, 5).reshape(z.shape)
        return out, loss, codes
