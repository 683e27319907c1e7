"""Made pictures: there are as many as anyone wants, and nothing has to be there."""

from __future__ import annotations

import numpy as np

from sparsefast.data.config import SyntheticConfig
from sparsefast.data.crops import flip_in_place, luma
from sparsefast.data.seeds import HELD_OUT, KIND, sample_seeds, uniform_integers, words
from sparsefast.data.synthetic.dead_leaves import dead_leaves
from sparsefast.data.synthetic.gaussian_fields import gaussian_fields
from sparsefast.data.synthetic.textures import textures


class Synthetic:
    """The set `synthetic`. A training picture is a function of its seed, so every epoch has new ones; a held-out one
    is a function of its index, drawn from a stream of its own, and the same in every run."""

    def __init__(self, config: SyntheticConfig, training: bool) -> None:
        self.size, self.channels, self.training = config.size, config.channels, training
        self.kinds, self.alpha, self.flip = list(config.kinds), float(config.alpha), config.flip and training
        self.n = config.epoch_images if training else config.eval_images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    def __len__(self) -> int:
        return self.n

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        if not self.training:
            seeds = words(sample_seeds(0, 0, indices), HELD_OUT)
        images = np.empty((len(seeds), 3, self.size, self.size), np.uint8)
        kinds = np.array(self.kinds)[uniform_integers(seeds, KIND, len(self.kinds))]
        for kind in sorted(set(self.kinds)):
            of_kind = np.flatnonzero(kinds == kind)
            if len(of_kind):
                pictures = self._made(kind, seeds[of_kind])
                images[of_kind] = np.rint(pictures.clip(0, 1) * 255)
        if self.channels == 1:
            images = luma(images)
        if self.flip:
            flip_in_place(images, seeds)
        return {"image": images}

    def _made(self, kind: str, seeds: np.ndarray) -> np.ndarray:
        match kind:
            case "dead-leaves":
                return dead_leaves(seeds, self.size)
            case "gaussian-field":
                return gaussian_fields(seeds, self.size, self.alpha)
            case _:
                return textures(seeds, self.size)
