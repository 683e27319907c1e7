"""How many bits codes take, and what their statistics say of a codebook or dictionary.

Bits are those of a code word of fixed length for each site, without entropy coding: what a decoder needs to rebuild
every site. `entropy_bits` says how far entropy coding of each index by itself would get.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sparsefast.sparse_code import SparseCode

# What a coefficient takes that is not quantised: a float32.
_UNQUANTIZED_BITS = 32


def vector_bits(n_codes: int) -> float:
    """Bits for the index of one of n_codes codes: log2 K."""
    return math.log2(n_codes)


def sparse_bits(n_atoms: int, n_nonzero: int, coefficient_bits: float | None) -> float:
    """Bits for a signal of n_nonzero of n_atoms atoms: log2 C(K, s) for which they are, and s * coefficient_bits.

    A signal of fewer atoms is filled up with coefficients of zero. coefficient_bits=None stands for the 32 of float32.
    """
    choices = math.lgamma(n_atoms + 1) - math.lgamma(n_nonzero + 1) - math.lgamma(n_atoms - n_nonzero + 1)
    each = _UNQUANTIZED_BITS if coefficient_bits is None else coefficient_bits
    return choices / math.log(2) + n_nonzero * each


def bits_per_pixel(bits_per_site: float, downsampling: int, patch_size: int) -> float:
    """Bits per pixel of the image, where a site stands for (downsampling * patch_size)^2 pixels."""
    return bits_per_site / (downsampling * patch_size) ** 2


def usage_counts(code: SparseCode | Tensor, n_atoms: int) -> Tensor:
    """How often each atom or code is used, (n_atoms,) int64, by a SparseCode or by indices int64 of any shape."""
    indices = (code if isinstance(code, Tensor) else code.indices).reshape(-1)
    # Integers, so that atomic additions on a GPU give one sum.
    counts = indices.new_zeros(n_atoms).scatter_add_(0, indices, torch.ones_like(indices))
    if not isinstance(code, Tensor):
        # The padding of codes names atom 0.
        counts[0] -= indices.numel() - code.counts.sum()
    return counts


def entropy_bits(usage: Tensor) -> Tensor:
    """The entropy of a histogram of usage, in bits: a tensor (), at most log2 of its length; 0 for an empty one."""
    counts = usage.to(torch.float64)
    p = counts / counts.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return -torch.special.xlogy(p, p).sum() / math.log(2)


def perplexity(usage: Tensor) -> Tensor:
    """2^entropy, a tensor (): how many codes there would be if all were used alike."""
    return torch.exp2(entropy_bits(usage))


def dead_count(usage: Tensor, below: float = 0.0) -> Tensor:
    """How many atoms are used at most `below` times the mean usage, a tensor () int64; 0: those never used."""
    counts = usage.to(torch.float64)
    return (counts <= below * counts.mean()).sum()


def mutual_coherence(dictionary: Tensor) -> Tensor:
    """The largest |cos| between two different atoms of a dictionary (n_atoms, n_features), a tensor ().

    D. L. Donoho, X. Huo, "Uncertainty principles and ideal atomic decomposition", IEEE Trans. Information Theory 47,
    2001.
    """
    unit = torch.nn.functional.normalize(dictionary.detach(), dim=1)
    cosines = (unit @ unit.T).abs()
    cosines.fill_diagonal_(0)
    return cosines.max()
