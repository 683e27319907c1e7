"""A table that compares coders on single pixels, repeated with what is wrong with it.

Colours (r, g, b) of photographs, 16 codes from k-means, 4 atoms for a pixel: there a dictionary looks ten times as good
as vector quantisation. But its codes take many times the bits; three independent atoms reach every colour, so that true
OMP with three or more has no error at all; and what was called OMP does not fit its coefficients again. Larger patches
have more features than atoms, and no such way out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import sparsefast
from sparsefast.images.photos import photos

PATCHES = (1, 2, 4, 8)
N_CODES = 16
N_NONZERO = 4
SIDE = 128
# k-means sees at most so many signals.
_LEARN = 20_000
_TURNS = 3


@dataclass
class Row:
    """One coder at one size of patch."""

    patch_size: int
    contender: str
    mse: float
    """Of numbers in [0, 1], on the held-out crops."""
    milliseconds: float
    """To code and decode one 128 x 128 crop: the median over turns of a call with all, by their number."""
    bits_per_pixel: float
    """Of codes of fixed length, with coefficients of 32 bits."""


def crops(split: str) -> np.ndarray:
    """The middle of each colour photograph, (B, 3, SIDE, SIDE) float32 in [0, 1]."""
    found = []
    for image in photos(split).values():
        if image.ndim == 3:
            top, left = ((n - SIDE) // 2 for n in image.shape[:2])
            found.append(image[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1) / np.float32(255))
    return np.stack(found)


def project(signals: np.ndarray, atoms: np.ndarray, n_nonzero: int) -> np.ndarray:
    """Matching pursuit: the atom with the largest product, and the residual less its projection; no coefficient is
    fitted again. The reconstructions (N, F) (S. Mallat, Z. Zhang, IEEE Trans. Signal Processing 41, 1993)."""
    rest = signals.copy()
    every = np.arange(len(signals))
    for _ in range(n_nonzero):
        products = rest @ atoms.T
        chosen = np.abs(products).argmax(axis=1)
        rest -= products[every, chosen][:, None] * atoms[chosen]
    return signals - rest


def measure(patch_size: int) -> list[Row]:
    """All coders at one size of patch."""
    import torch

    from sparsefast.nn import rates
    from sparsefast.nn.kmeans import kmeans, sample_of

    learn, signals = (_signals(crops(split), patch_size) for split in ("train", "held-out"))
    codes = kmeans(sample_of(torch.from_numpy(learn), _LEARN, 0), N_CODES).numpy()
    atoms = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    n_crops = len(signals) * patch_size**2 / SIDE**2

    def omp(n_nonzero: int) -> Callable[[], np.ndarray]:
        return lambda: np.asarray(sparsefast.omp(signals, atoms, n_nonzero).decode(atoms))

    contenders: list[tuple[str, float, Callable[[], np.ndarray]]] = [
        ("VQ", rates.vector_bits(N_CODES), lambda: codes[sparsefast.nearest_code(signals, codes).indices]),
        (
            f"projections s={N_NONZERO}",
            rates.sparse_bits(N_CODES, N_NONZERO, None),
            lambda: project(signals, atoms, N_NONZERO),
        ),
        *((f"OMP s={s}", rates.sparse_bits(N_CODES, s, None), omp(s)) for s in (1, 2, N_NONZERO)),
    ]
    rows = []
    for name, bits, call in contenders:
        times = []
        for _ in range(_TURNS):
            start = time.perf_counter()
            found = call()
            times.append(time.perf_counter() - start)
        mse = float(np.mean((found.astype(np.float64) - signals) ** 2))
        milliseconds = 1e3 * statistics.median(times) / n_crops
        rows.append(Row(patch_size, name, mse, milliseconds, bits / patch_size**2))
    return rows


def _signals(images: np.ndarray, patch_size: int) -> np.ndarray:
    """Non-overlapping patches as rows (N, 3 * patch_size^2), float32."""
    patches = np.asarray(sparsefast.unfold(images, patch_size, patch_size, layout="signals"))
    return np.array(patches.reshape(-1, 3 * patch_size**2), np.float32)
