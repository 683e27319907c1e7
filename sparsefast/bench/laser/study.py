"""Quality at given rates: what each contender is learnt from, how its settings are chosen, and what it reaches.

Dictionaries and codebooks are learnt from the same patches of photographs of the train split, without their means; so
are the models of all symbols. Other photographs of that split (TUNE) decide on a setting for each contender and rate.
The photographs of the table are held out from both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsefast.bench.laser.curves import Point, Setting, at_rate, curves
from sparsefast.bench.laser.photographs import TUNE, cut, open_photos
from sparsefast.bench.laser.sparse import SparseCoder
from sparsefast.bench.laser.vector import ResidualCoder, VectorCoder

RATES = (0.25, 0.5, 1.0)
GOAL = 1.0
"""dB that DL is to be above each of the others, at two of the rates."""
# From more than a bit per pixel on smooth photographs to less than a quarter on rough ones.
STEPS = (4, 6, 9, 13, 19, 28, 41, 60, 90, 136)
# Of the photographs that are learnt from, so many pixels on a side, and so many patches in all.
LEARN_SIDE = 384
LEARN_ROWS = 40_000


@dataclass(frozen=True)
class Candidate:
    """A contender, how it is made from patches, and the settings that are tried with it."""

    contender: str
    words: str
    make: Callable[[np.ndarray], Any]
    settings: tuple[Setting, ...]


@dataclass
class Found:
    """A contender at one rate."""

    contender: str
    rate: float
    words: str
    """The setting that was chosen."""
    searched: dict[str, float]
    """The mean PSNR on TUNE of each setting; NaN where one did not reach the rate."""
    psnr: dict[str, float] = field(default_factory=dict)
    """Of each held-out photograph; NaN where no setting reaches the rate."""
    points: dict[str, list[Point]] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.psnr.values())))


def _vector(patch_size: int, n_codes: int) -> Candidate:
    words = f"{patch_size}x{patch_size} K={n_codes}"
    return Candidate("VQ", words, lambda rows: VectorCoder(rows, n_codes), _settings(patch_size))


def _residual(patch_size: int, n_codes: int, n_stages: int) -> Candidate:
    words = f"{patch_size}x{patch_size} K={n_codes} {n_stages} stages"
    return Candidate("RVQ", words, lambda rows: ResidualCoder(rows, n_codes, n_stages), _settings(patch_size))


def _sparse(patch_size: int, n_atoms: int, n_nonzero: int) -> Candidate:
    words = f"{patch_size}x{patch_size} K={n_atoms} learnt with s={n_nonzero}"
    return Candidate("DL", words, lambda rows: SparseCoder(rows, n_atoms, n_nonzero), _settings(patch_size, 1.0, 1.5))


def _settings(patch_size: int, *slopes: float) -> tuple[Setting, ...]:
    """What a bit is worth, where there is a step of coefficients beside it."""
    return tuple(Setting(patch_size, slope=slope) for slope in slopes or (1.0,))


CANDIDATES = (
    *(_vector(p, k) for p, k in ((2, 256), (3, 512), (3, 2048), (4, 2048), (6, 2048))),
    *(
        _residual(p, k, m)
        for p, k, m in ((3, 256, 5), (4, 64, 6), (4, 256, 4), (4, 1024, 3), (6, 256, 8), (8, 256, 12))
    ),
    *(_sparse(p, k, s) for p, k, s in ((8, 512, 4), (8, 1024, 4))),
)


def patches_without_mean(images: Mapping[str, np.ndarray], size: int, most: int = LEARN_ROWS) -> np.ndarray:
    """At most so many patches (N, size^2) float32, on two grids that are half a patch apart; those of all images."""
    found = []
    for image in images.values():
        for shift in (0, size // 2):
            sides = (slice(shift, shift + (n - shift) // size * size) for n in image.shape)
            rows = cut(image[tuple(sides)], size).reshape(-1, size**2)
            found.append(rows - rows.mean(axis=1, keepdims=True))
    rows = np.concatenate(found).astype(np.float32)
    chosen = np.random.default_rng(0).permutation(len(rows))[:most]
    return rows[np.sort(chosen)]


def study(
    candidates: Sequence[Candidate] = CANDIDATES,
    names: Sequence[str] | None = None,
    rates: Sequence[float] = RATES,
    side: int = LEARN_SIDE,
    steps: Sequence[float] = STEPS,
    held_out: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Found]:
    """What each contender reaches at each rate, contender by contender."""
    every = open_photos("train", most=side)
    tune = {name: every.pop(name) for name in TUNE if name in every}
    wanted = open_photos("held-out", names) if held_out is None else held_out
    for contender in dict.fromkeys(c.contender for c in candidates):
        tried = []
        for c in (c for c in candidates if c.contender == contender):
            coder = c.make(patches_without_mean(every, c.settings[0].patch_size))
            tried += [
                _Tried(f"{c.words} {_words(s)}", coder, s, curves(coder, s, every, tune, steps)) for s in c.settings
            ]
        for rate in rates:
            searched = {t.words: _mean(t.tuned, rate) for t in tried}
            scores = {words: -np.inf if np.isnan(value) else value for words, value in searched.items()}
            ranked = sorted(tried, key=lambda t: -scores[t.words])
            found = Found(contender, rate, ranked[0].words, searched)
            for t in ranked:
                # The best setting that reaches the rate on a photograph: for most the first.
                left = {name: image for name, image in wanted.items() if name not in found.psnr}
                missing = {name: image for name, image in left.items() if name not in t.points}
                t.points |= curves(t.coder, t.setting, every, missing, steps) if missing else {}
                for name in left:
                    if not np.isnan(value := at_rate(t.points[name], rate)):
                        found.psnr[name], found.points[name] = value, t.points[name]
            found.psnr |= {name: float("nan") for name in wanted if name not in found.psnr}
            yield found


@dataclass
class _Tried:
    words: str
    coder: Any
    setting: Setting
    tuned: dict[str, list[Point]]
    points: dict[str, list[Point]] = field(default_factory=dict)


def _words(setting: Setting) -> str:
    return f"slope={setting.slope:g}"


def _mean(found: Mapping[str, Sequence[Point]], rate: float) -> float:
    return float(np.mean([at_rate(points, rate) for points in found.values()]))
