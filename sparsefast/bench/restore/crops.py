"""The parts of photographs that are restored."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sparsefast.images.masks import random_mask
from sparsefast.images.photos import photos

SIZE = 128
SEEDS = {
    "held-out": {"china": (0, 1, 2), "coffee": (0, 1, 2), "rocket": (0, 1, 2), "camera": (0, 1), "gravel": (0, 1)},
    "train": {"astronaut": (0, 1, 2), "chelsea": (0, 1, 2), "coins": (0,), "moon": (0,)},
}
"""The seeds of the crops of each photograph, on either side of the split: parameters are chosen on `train`."""


@dataclass(frozen=True)
class Crop:
    """A square of a photograph, whose place a seed draws."""

    photo: str
    seed: int
    top: int
    left: int
    truth: np.ndarray
    """(SIZE, SIZE) or (SIZE, SIZE, 3) float32, 0 to 255."""

    @property
    def name(self) -> str:
        return f"{self.photo}#{self.seed}"

    @property
    def colour(self) -> bool:
        return self.truth.ndim == 3

    def noisy(self, sigma: float) -> np.ndarray:
        """With noise of its own, which is not clipped: float32."""
        noise = self._rng(round(1000 * sigma)).standard_normal(self.truth.shape)
        return (self.truth + sigma * noise).astype(np.float32)

    def known(self, keep: float) -> np.ndarray:
        """A random mask of its own, (SIZE, SIZE) bool."""
        return random_mask(self.truth.shape[:2], keep, self._rng(round(1000 * keep)))

    def _rng(self, what: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(self.photo.encode()), self.seed, what])


def crops(names: Iterable[str] | None = None, split: str = "held-out", size: int = SIZE) -> list[Crop]:
    """The crops of some photographs, or of all, as far as these are installed."""
    library = photos(split)
    found = []
    for name in SEEDS[split] if names is None else names:
        if name not in library:
            continue
        image = library[name]
        for seed in SEEDS[split][name]:
            rng = np.random.default_rng(seed)
            top, left = (int(rng.integers(n - size + 1)) for n in image.shape[:2])
            part = image[top : top + size, left : left + size]
            found.append(Crop(name, seed, top, left, part.astype(np.float32)))
    return found
