"""Dictionaries learnt from the patches of one picture: K-SVD from a start that is good already."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsefast.ops.ksvd_update import ksvd_update
from sparsefast.ops.omp import omp
from sparsefast.ops.replace_atoms import replace_atoms
from sparsefast.ops.unfold import unfold

# More patches hardly change the dictionary: they bound the time for pictures of any size.
MAX_PATCHES = 32768
# Atoms of a patch. At the noise level few need more than ten; patches of strong texture end here.
MAX_ATOMS = 32
# What an atom of the start counts in its update: as a signal of that atom with this coefficient, in root mean square
# errors. A picture of few patches then keeps to the start, where it would learn its noise.
PRIOR = 40.0
# An atom that fewer patches use is exchanged for the patch that is reconstructed worst.
_MIN_USE = 4


def learn_dictionary(
    signals: np.ndarray,
    start: np.ndarray,
    tol: float,
    n_iterations: int,
    *,
    prior: float = PRIOR,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """A dictionary that codes the signals to within `tol` with fewer atoms than `start` does: approximate K-SVD.

    Parameters
    ----------
    signals : array of shape (n_signals, n_features), float32
    start : array of shape (n_atoms, n_features), float32
        Atoms of unit norm.
    tol : float
        The norm of the residual at which the coding of a signal stops.
    n_iterations : int
        Of coding and update; with 0 the start is returned.
    prior : float
        How much the start counts: each atom of it is one more signal, with a coefficient of this many times
        tol / √n_features. 0: it is no more than a start.
    seed : int
    progress : callable
        Called with the share of the iterations that are done.

    Returns
    -------
    array of shape (n_atoms, n_features), float32

    Source: M. Aharon, M. Elad, A. Bruckstein, K-SVD, IEEE Trans. Signal Processing 54, 2006.
    """
    if prior > 0:
        signals = np.concatenate([signals, np.float32(prior * tol / start.shape[1] ** 0.5) * start])
    dictionary = start
    most = min(MAX_ATOMS, len(start))
    for i in range(n_iterations):
        code = omp(signals, dictionary, most, tol=tol)
        update = ksvd_update(signals, dictionary, code)
        dictionary = update.dictionary
        if i + 1 < n_iterations:
            dictionary, _ = replace_atoms(
                signals, dictionary, update.errors, update.usage, min_use=_MIN_USE, seed=seed + i
            )
        progress((i + 1) / n_iterations)
    return dictionary


def sample_patches(planes: np.ndarray, patch_size: int, seed: int, most: int = MAX_PATCHES) -> np.ndarray:
    """Patches of planes (C, H, W), the mean of each channel removed: all, or `most` of them chosen at random.

    Returns
    -------
    array of shape (n, C * patch_size * patch_size), float32
    """
    height, width = (n - patch_size + 1 for n in planes.shape[1:])
    if height * width <= most:
        signals = unfold(planes, patch_size, layout="signals")
    else:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(height * width, most, replace=False, shuffle=False))
        corners = np.stack(np.divmod(chosen, width), axis=1)
        signals = unfold(planes, patch_size, layout="signals", centers=corners + (patch_size - 1) / 2)
    channels = signals.reshape(len(signals), len(planes), -1)
    return (channels - channels.mean(axis=2, keepdims=True)).reshape(signals.shape)


def with_constants(dictionary: np.ndarray, n_channels: int) -> np.ndarray:
    """The dictionary of patches without mean as one of patches with theirs: a constant atom for each channel first."""
    n_pixels = dictionary.shape[1] // n_channels
    constants = np.kron(np.eye(n_channels), np.full(n_pixels, n_pixels**-0.5)).astype(dictionary.dtype)
    return np.concatenate([constants, dictionary])
