"""A loss that keeps the atoms of a dictionary apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def coherence_loss(dictionary: Tensor) -> Tensor:
    """The mean squared cosine between two different atoms.

        1 / (K (K - 1)) * sum over i != j of <d_i, d_j>^2,   d_i the atoms at unit norm

    The smaller it is, the nearer the dictionary is to an incoherent frame, on which pursuit finds the sparsest code.
    For K > F it is at least (K - F) / (F (K - 1)), the Welch bound, which tight frames attain.

    Parameters
    ----------
    dictionary : tensor of shape (n_atoms, n_features), n_atoms at least 2
        Floating; the norms do not matter. Computed in float32 or float64, autocast or not.

    Returns
    -------
    tensor (), from 0 (orthogonal atoms) to 1 (parallel ones); differentiable.

    Raises
    ------
    ValueError
        If it is no such dictionary.

    References
    ----------
    L. R. Welch, "Lower bounds on the maximum cross correlation of signals", IEEE Trans. Information Theory 20, 1974.
    I. Ramirez, F. Lecumberry, G. Sapiro, "Universal priors for sparse modeling", CAMSAP 2009 (the Gram matrix as a
    penalty).
    """
    if dictionary.ndim != 2 or len(dictionary) < 2:
        raise ValueError(f"coherence_loss: dictionary has shape {tuple(dictionary.shape)}; it must be (K, F), K >= 2")
    n, f = dictionary.shape
    with torch.autocast(dictionary.device.type, enabled=False):
        wide = dictionary if dictionary.dtype == torch.float64 else dictionary.float()
        unit = normalize(wide, dim=1)
        # ||D D^T|| = ||D^T D||: the smaller of the two Gram matrices has all that is asked for.
        gram = unit @ unit.T if n <= f else unit.T @ unit
        diagonal = unit.square().sum(dim=1)
        return ((gram.square().sum() - diagonal.square().sum()) / (n * (n - 1))).clamp_min(0)
