"""A dictionary of image patches, which knows the shape of its patches."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from sparsefast.tensor_files import load_arrays, save_arrays

_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PatchDictionary:
    """Atoms for patches whose mean was taken off each channel.

    Parameters
    ----------
    atoms : array of shape (n_atoms, n_channels * patch_size * patch_size), float32
        Of unit norm; features in the order of `unfold(images, patch_size, layout="signals")`: channel, row, column.
    patch_size : int
        Height and width of a patch, in pixels.
    usage : array of shape (n_atoms,), float64, or None
        How often each atom was used in the end, as far as that is known.

    Raises
    ------
    TypeError, ValueError
        If the atoms are not a finite float32 matrix, or do not fit the patches.
    """

    atoms: np.ndarray
    patch_size: int
    usage: np.ndarray | None = None

    def __post_init__(self) -> None:
        atoms, size = self.atoms, self.patch_size
        if not isinstance(atoms, np.ndarray) or atoms.dtype != np.float32 or atoms.ndim != 2:
            raise TypeError("PatchDictionary: atoms must be a float32 array (n_atoms, n_features)")
        if size < 1 or not len(atoms) or atoms.shape[1] == 0 or atoms.shape[1] % size**2:
            raise ValueError(
                f"PatchDictionary: atoms has shape {atoms.shape}; it must be (n_atoms, n_channels * {size} * {size})"
            )
        if not np.isfinite(atoms).all():
            raise ValueError("PatchDictionary: atoms contains NaN or infinity")
        if self.usage is not None and self.usage.shape != atoms.shape[:1]:
            raise ValueError(f"PatchDictionary: usage has shape {self.usage.shape}; it must be {atoms.shape[:1]}")

    @property
    def n_atoms(self) -> int:
        """How many atoms it has."""
        return len(self.atoms)

    @property
    def n_channels(self) -> int:
        """1 for grey pictures, 3 for RGB."""
        return int(self.atoms.shape[1]) // self.patch_size**2

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        found = {"atoms": self.atoms} | ({} if self.usage is None else {"usage": self.usage})
        save_arrays(path, "PatchDictionary", _VERSION, found, {"patch_size": self.patch_size})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchDictionary:
        """The dictionary in a file that `save` wrote.

        Raises
        ------
        ValueError
            If it is no such file.
        OSError
            If it cannot be read.
        """
        found, about = load_arrays(path, "PatchDictionary", _VERSION)
        try:
            return cls(found["atoms"], int(about["patch_size"]), found.get("usage"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a whole PatchDictionary: {' '.join(str(error).split())}") from None

    def __repr__(self) -> str:
        colour = {1: "grey", 3: "RGB"}.get(self.n_channels, f"{self.n_channels} channels")
        return f"PatchDictionary({self.n_atoms} atoms, {self.patch_size} x {self.patch_size}, {colour})"
