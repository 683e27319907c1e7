"""Quality at given rates: what each contender is learnt from, how its settings are chosen, and what it reaches.

Dictionaries and codebooks are learnt from the same number of patches of the same photographs of the train split,
without their means; the models of all symbols from the middles of these photographs. Other photographs of that split
(TUNE) decide on a setting for each contender and rate. The photographs of the table are held out from both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsefast.bench.laser.curves import Point, Setting, at_rate, curves
from sparsefast.bench.laser.entropy import Tables
from sparsefast.bench.laser.photographs import TUNE, open_photos
from sparsefast.bench.laser.sparse import SparseCoder
from sparsefast.bench.laser.vector import ResidualCoder, VectorCoder

RATES = (0.25, 0.5, 1.0)
GOAL = 1.0
"""dB that DL is to be above each of the others, at two of the rates."""
# From more than a bit per pixel on smooth photographs to less than a quarter on rough ones.
STEPS = (4, 6, 9, 13, 19, 28, 41, 60, 90, 136)
QUICK_STEPS = (13, 41, 136)
# Of the photographs that the models of symbols are learnt from, so many pixels on a side.
LEARN_SIDE = 384
# Patches that dictionaries and codebooks are learnt from.
LEARN_ROWS = 120_000
# A patch of colours has three times the numbers.
COLOUR_ROWS = 30_000
QUICK_ROWS = 20_000


@dataclass(frozen=True)
class Candidate:
    """A contender, how it is made from patches, and the settings that are tried with it."""

    contender: str
    words: str
    make: Callable[[np.ndarray], Any]
    settings: tuple[Setting, ...]
    effort: int = 1
    """How many searches a patch gets."""


@dataclass
class Found:
    """A contender at one rate."""

    contender: str
    rate: float
    space: str
    """luma or rgb"""
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


def _residual(patch_size: int, n_codes: int, n_stages: int, effort: int = 1) -> Candidate:
    words = f"{patch_size}x{patch_size} K={n_codes} {n_stages} stages"
    return Candidate(
        "RVQ" if effort == 1 else f"RVQ x{effort}",
        words,
        lambda rows: ResidualCoder(rows, n_codes, n_stages),
        _settings(patch_size),
        effort,
    )


def _sparse(patch_size: int, n_atoms: int, n_nonzero: int, effort: int = 1) -> Candidate:
    words = f"{patch_size}x{patch_size} K={n_atoms} learnt with s={n_nonzero}"
    return Candidate(
        "DL" if effort == 1 else f"DL x{effort}",
        words,
        lambda rows: SparseCoder(rows, n_atoms, n_nonzero),
        _settings(patch_size),
        effort,
    )


def _settings(patch_size: int) -> tuple[Setting, ...]:
    """What a bit is worth: the same for all. A half more or less is 0.05 dB."""
    return (Setting(patch_size, slope=1.25),)


_WIDE = 4
CANDIDATES = (
    *(_vector(p, k) for p, k in ((2, 256), (3, 2048), (4, 2048), (6, 2048))),
    *(_residual(p, k, m) for p, k, m in ((3, 256, 5), (4, 1024, 4), (6, 256, 8), (8, 256, 12))),
    *(_sparse(p, k, s) for p, k, s in ((6, 2048, 4), (8, 2048, 4), (12, 2048, 6))),
    *(_residual(p, k, m, _WIDE) for p, k, m in ((3, 256, 5), (4, 1024, 4), (6, 256, 8), (8, 256, 12))),
    *(_sparse(p, k, s, _WIDE) for p, k, s in ((6, 2048, 4), (8, 2048, 4), (12, 2048, 6))),
)
# Fewer and smaller, for the time they take.
COLOURS = (
    *(_vector(p, k) for p, k in ((2, 256), (4, 1024))),
    *(_residual(p, k, m) for p, k, m in ((4, 1024, 4), (8, 256, 12))),
    *(_sparse(p, k, s) for p, k, s in ((6, 1024, 4), (8, 1024, 4))),
)
# A minute, for a look.
QUICK = (_vector(4, 256), _residual(4, 256, 4), _sparse(8, 256, 4))


def patches_without_mean(images: Mapping[str, np.ndarray], size: int, most: int = LEARN_ROWS) -> np.ndarray:
    """At most so many patches (N, C * size^2) float32, less the mean of each plane: as many of each image, at random
    places, each turned or mirrored into one of eight positions at random."""
    rng, found, each = np.random.default_rng(0), [], max(1, most // len(images))
    for image in images.values():
        height, width = image.shape[:2]
        windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
        chosen = windows[rng.integers(0, height - size + 1, each), rng.integers(0, width - size + 1, each)]
        turned = chosen.copy()
        for at, flips in enumerate(np.array_split(rng.permutation(each), 8)):
            part = chosen[flips]
            part = part[:, :, ::-1] if at & 1 else part
            part = part[..., ::-1] if at & 2 else part
            turned[flips] = part.swapaxes(2, 3) if at & 4 else part
        found.append((turned - turned.mean(axis=(2, 3), keepdims=True)).reshape(each, -1))
    return np.concatenate(found).astype(np.float32)


def study(
    candidates: Sequence[Candidate] = CANDIDATES,
    names: Sequence[str] | None = None,
    rates: Sequence[float] = RATES,
    side: int = LEARN_SIDE,
    steps: Sequence[float] = STEPS,
    held_out: Mapping[str, np.ndarray] | None = None,
    space: str = "luma",
    rows: int = LEARN_ROWS,
) -> Iterator[Found]:
    """What each contender reaches at each rate, contender by contender."""
    every = open_photos("train", space=space)
    shown = open_photos("train", most=side, space=space)
    every = {name: image for name, image in every.items() if name not in TUNE}
    tune = {name: shown.pop(name) for name in TUNE if name in shown}
    wanted = open_photos("held-out", names, space=space) if held_out is None else held_out
    learnt: dict[str, Any] = {}
    for contender in dict.fromkeys(c.contender for c in candidates):
        tried = []
        for c in (c for c in candidates if c.contender == contender):
            if c.words not in learnt:
                learnt[c.words] = c.make(patches_without_mean(every, c.settings[0].patch_size, rows))
            coder = copy.copy(learnt[c.words])
            coder.effort = c.effort
            for s in c.settings:
                known: dict[float, Tables] = {}
                tuned = curves(coder, s, shown, tune, steps, max(rates), known)
                tried.append(_Tried(f"{c.words} {_words(s)}", coder, s, tuned, known))
        for rate in rates:
            searched = {t.words: _mean(t.tuned, rate) for t in tried}
            scores = {words: -np.inf if np.isnan(value) else value for words, value in searched.items()}
            ranked = sorted(tried, key=lambda t: -scores[t.words])
            found = Found(contender, rate, space, ranked[0].words, searched)
            for t in ranked:
                # The best setting that reaches the rate on a photograph: for most the first.
                left = {name: image for name, image in wanted.items() if name not in found.psnr}
                missing = {name: image for name, image in left.items() if name not in t.points}
                t.points |= curves(t.coder, t.setting, shown, missing, steps, max(rates), t.known) if missing else {}
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
    known: dict[float, Tables]
    points: dict[str, list[Point]] = field(default_factory=dict)


def _words(setting: Setting) -> str:
    return f"slope={setting.slope:g}"


def _mean(found: Mapping[str, Sequence[Point]], rate: float) -> float:
    return float(np.mean([at_rate(points, rate) for points in found.values()]))
