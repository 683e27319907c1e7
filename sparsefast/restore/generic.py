"""Dictionaries of patches of photographs in general, from which those of one picture are learnt.

`generic.safetensors` holds them in float16; `python -m sparsefast.restore.make_generic` makes it, and
`generic-SOURCES.md` beside it names the photographs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary
from sparsefast.restore.pixels import mixed

FILE = Path(__file__).with_name("generic.safetensors")
# Of patches, in pixels: larger ones tell structure from noise on their own, smaller ones suit groups.
PATCH_SIZE = 7
# What they are called in the file, by the number of channels.
NAMES = {1: "grey", 3: "colour"}


def generic_dictionary(n_channels: int) -> np.ndarray:
    """The dictionary of patches (n_channels, PATCH_SIZE, PATCH_SIZE) in the colour space of `pixels`.

    Parameters
    ----------
    n_channels : int
        1 or 3.

    Returns
    -------
    array of shape (n_atoms, n_channels * PATCH_SIZE²), float32
        Atoms of unit norm; each channel of each has mean 0.
    """
    from safetensors.numpy import load_file

    return normalised(load_file(FILE)[NAMES[n_channels]], n_channels)


def start_of(who: str, dictionary: PatchDictionary | None, n_channels: int) -> tuple[np.ndarray, int]:
    """The atoms (n_atoms, n_features) that learning starts from, in the colour space of `pixels`, and their patch size.

    Raises
    ------
    TypeError, ValueError
        If the dictionary is none, or one of patches of other channels than the picture has.
    """
    if dictionary is None:
        return generic_dictionary(n_channels), PATCH_SIZE
    if not isinstance(dictionary, PatchDictionary):
        raise TypeError(f"{who}: dictionary is a {type(dictionary).__name__}; it must be a PatchDictionary or None")
    if dictionary.n_channels != n_channels:
        raise ValueError(
            f"{who}: dictionary is {dictionary!r}, and the picture has {n_channels} channels; they must have as many"
        )
    planes = dictionary.atoms.reshape(dictionary.n_atoms, n_channels, -1)
    atoms = mixed(planes.swapaxes(0, 1)).swapaxes(0, 1)
    spread = np.ptp(atoms, axis=2).max(axis=1) > 1e-6  # constants are added to every dictionary
    if not spread.any():
        raise ValueError(f"{who}: dictionary is {dictionary!r}, of constant atoms alone")
    return normalised(atoms[spread].reshape(int(spread.sum()), -1), n_channels), dictionary.patch_size


def normalised(atoms: np.ndarray, n_channels: int) -> np.ndarray:
    """The atoms with what rounding to 16 bits took from them: means of 0 and norms of 1, in float32."""
    channels = atoms.astype(np.float64).reshape(len(atoms), n_channels, -1)
    rows = (channels - channels.mean(axis=2, keepdims=True)).reshape(atoms.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
