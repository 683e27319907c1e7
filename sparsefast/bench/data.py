"""Signals and dictionaries of the cases: mean-removed patches of two photographs.

Atoms come from 16 rows out of every 64 and signals from the other 48, so that no pixel is in both.
The photographs are `china.jpg` and `flower.jpg`, which scikit-learn carries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
BAND, ATOM_ROWS = 64, 16
SEED = 20260101


def photographs() -> list[Array]:
    """The photographs, (H, W, 3) float32 in [0, 1]."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError:
        raise ModuleNotFoundError("the photographs come with scikit-learn: pip install scikit-learn") from None
    return [load_sample_image(name).astype(np.float32) / 255 for name in ("china.jpg", "flower.jpg")]


def problem(
    patch: tuple[int, int], colour: bool, n_atoms: int, n_signals: int, dtype: str = "float32", unit: bool = True
) -> tuple[Array, Array]:
    """Signals (n_signals, F) in random order and a dictionary (n_atoms, F) of patches; the same every time.

    The patches of the dictionary have unit norm, or with unit=False are as they were in the photograph.

    A patch of one pixel has no mean of its own: the photograph's mean colour is taken off instead. Where there are too
    few patches they are repeated, each time with the rounding of the 8-bit pixels drawn anew.
    """
    rng = np.random.default_rng(SEED)
    images = photographs()
    if not colour:
        images = [image.mean(axis=2, keepdims=True) for image in images]
    if patch == (1, 1):
        images = [image - image.mean(axis=(0, 1)) for image in images]
    atoms = _pick(images, patch, range(ATOM_ROWS), 8 * n_atoms, rng)
    norms = np.linalg.norm(atoms, axis=1)
    # A flat patch is noise once normalised.
    textured = np.flatnonzero(norms > 0.01 * np.sqrt(atoms.shape[1]))[:n_atoms]
    if len(textured) < n_atoms:
        raise ValueError(f"problem: only {len(textured)} of {n_atoms} atoms have any texture")
    dictionary = atoms[textured] / (norms[textured, None] if unit else 1)
    signals = _pick(images, patch, range(ATOM_ROWS, BAND), n_signals, rng)
    return np.ascontiguousarray(signals, dtype=dtype), np.ascontiguousarray(dictionary, dtype=dtype)


def _pick(images: list[Array], patch: tuple[int, int], rows: range, wanted: int, rng: np.random.Generator) -> Array:
    height, width = patch
    windows = [sliding_window_view(image, (height, width, image.shape[2])) for image in images]
    # Corners whose patch lies within `rows` of its band.
    places = []
    for k, view in enumerate(windows):
        tops = np.array([t for t in range(view.shape[0]) if t % BAND in rows and (t % BAND) + height - 1 in rows])
        grid = np.stack(np.meshgrid(tops, np.arange(view.shape[1]), indexing="ij"), axis=-1).reshape(-1, 2)
        places.append(np.column_stack([np.full(len(grid), k), grid]))
    every = np.concatenate(places)
    order = rng.permutation(len(every))
    chosen = every[np.resize(order, wanted)]
    out = np.empty((wanted, height * width * images[0].shape[2]), dtype=np.float32)
    for k, view in enumerate(windows):
        mine = np.flatnonzero(chosen[:, 0] == k)
        out[mine] = view[chosen[mine, 1], chosen[mine, 2], 0].reshape(len(mine), -1)
    if wanted > len(every):
        out[len(every) :] += rng.uniform(-0.5 / 255, 0.5 / 255, size=out[len(every) :].shape).astype(np.float32)
    if patch != (1, 1):
        out -= out.mean(axis=1, keepdims=True)
    return out
