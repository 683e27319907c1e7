"""k-means for the start of a codebook or dictionary: k-means++ seeding and a few of Lloyd's iterations.

    d_k <- mean of the signals whose nearest code is d_k

Sources: D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; S. P. Lloyd, "Least
squares quantization in PCM", IEEE Trans. Information Theory 28, 1982.
"""

from __future__ import annotations

import torch
from torch import Tensor

import sparsefast
from sparsefast.nn.sums import sums_by_code


def sample_of(signals: Tensor, n: int, seed: int) -> Tensor:
    """At most n of the finite signals (N, F), chosen at random by the seed alone, in their order."""
    signals = signals[torch.isfinite(signals).all(dim=1)]
    if len(signals) <= n:
        return signals
    order = torch.randperm(len(signals), generator=torch.Generator().manual_seed(seed))
    return signals[order[:n].sort().values.to(signals.device)]


def seeded_centres(signals: Tensor, n_clusters: int, seed: int) -> Tensor:
    """k-means++: signals (n_clusters, F), each drawn with a probability in proportion to its squared distance from
    those drawn before. Where no signal is left that differs from them, Gaussian ones of their mean and spread."""
    n, n_features = signals.shape
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(n_clusters, generator=generator, dtype=torch.float64).to(signals.device)
    noise = torch.randn(n_clusters, n_features, generator=generator, dtype=torch.float64)
    if n:
        spread, mean = signals.std(dim=0, correction=0).mean().clamp_min(1e-3), signals.mean(dim=0)
    else:
        spread, mean = signals.new_ones(()), signals.new_zeros(n_features)
    centres = noise.to(signals) * spread + mean
    squared = torch.ones(n, dtype=torch.float64, device=signals.device)
    for k in range(n_clusters if n else 0):
        sums = squared.cumsum(0)
        # searchsorted gives the first signal whose sum is above the draw, which has a distance above zero.
        at = torch.searchsorted(sums, (draws[k] * sums[-1]).reshape(1), right=True).clamp_max(n - 1)
        chosen = signals.index_select(0, at)
        centres[k] = torch.where(sums[-1] > 0, chosen[0], centres[k])
        # Exactly zero for a signal that was drawn and those equal to it, and several times as fast as PyTorch's.
        distances = sparsefast.nearest_code(signals, centres[k : k + 1]).distances.to(torch.float64).square()
        squared = distances if k == 0 else torch.minimum(squared, distances)
    return centres


def kmeans(signals: Tensor, n_clusters: int, *, n_iterations: int = 10, seed: int = 0) -> Tensor:
    """Centres (n_clusters, F) of signals (N, F), of their dtype and device; the same for the same signals and seed.

    A centre that loses all its signals stays where it was.
    """
    centres = seeded_centres(signals, n_clusters, seed)
    for _ in range(n_iterations):
        indices = sparsefast.nearest_code(signals, centres).indices
        counts, sums = sums_by_code(signals, indices, n_clusters)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), centres)
    return centres
