"""Atoms as a picture: tiles in rows and columns."""

from __future__ import annotations

import math

import numpy as np

from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary

GAP = 1


def atom_sheet(dictionary: PatchDictionary, *, magnify: int = 4, columns: int | None = None) -> np.ndarray:
    """All atoms in tiles, each on its own scale with zero in the middle of the range; those that are used most first.

    Parameters
    ----------
    dictionary : PatchDictionary
        Of 1 or 3 channels.
    magnify : int
        Pixels of the sheet for a pixel of an atom, along each axis; at least 1.
    columns : int, optional
        Atoms in a row; by default as many as make the sheet nearly square.

    Returns
    -------
    array of shape (H, W) or (H, W, 3), uint8

    Raises
    ------
    ValueError
        If magnify or columns is below 1, or the atoms are neither grey nor RGB.
    """
    if magnify < 1 or (columns is not None and columns < 1):
        raise ValueError(f"atom_sheet: magnify={magnify} and columns={columns} must be at least 1")
    if dictionary.n_channels not in (1, 3):
        raise ValueError(f"atom_sheet: {dictionary!r}; it must be grey or RGB")
    n, p, n_channels = dictionary.n_atoms, dictionary.patch_size, dictionary.n_channels
    order = np.arange(n) if dictionary.usage is None else np.argsort(-dictionary.usage, kind="stable")
    atoms = dictionary.atoms[order].reshape(n, n_channels, p, p).transpose(0, 2, 3, 1)
    largest = np.abs(atoms).max(axis=(1, 2, 3), keepdims=True)
    tiles = np.rint(127.5 + 127.5 * atoms / np.where(largest > 0, largest, 1)).astype(np.uint8)
    tiles = tiles.repeat(magnify, axis=1).repeat(magnify, axis=2)
    columns = columns or math.ceil(math.sqrt(n))
    rows, side = -(-n // columns), p * magnify + GAP
    sheet = np.zeros((rows * side + GAP, columns * side + GAP, n_channels), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = GAP + i // columns * side, GAP + i % columns * side
        sheet[top : top + side - GAP, left : left + side - GAP] = tile
    return sheet if n_channels == 3 else sheet[:, :, 0]
