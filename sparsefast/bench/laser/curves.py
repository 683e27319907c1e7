"""Curves of quality by rate: models of symbols from some photographs, and then others coded at several steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefast.bench.laser.entropy import Streams, Tables, bits_of, joined, tables_of
from sparsefast.bench.laser.means import PEAK, decode_means, encode_means
from sparsefast.bench.laser.photographs import clipped, cut, join, psnr

# Squared error that a bit is worth, in step^2: the slope of a uniform quantiser at a high rate, 2 ln 2 / 12.
SLOPE = 2 * np.log(2) / 12
# Encoding and counting in turn at the first step, where nothing is known; more change nothing in the second digit.
_ROUNDS = 3


@dataclass(frozen=True)
class Setting:
    """How a contender works at every rate."""

    patch_size: int
    mean_step: float = 1.0
    """Of the means, relative to that of a coefficient of an orthonormal transform."""
    slope: float = 1.0
    """Of what a bit is worth, relative to SLOPE step^2."""


@dataclass(frozen=True)
class Point:
    """One photograph at one step."""

    step: float
    bits_per_pixel: float
    psnr: float


@dataclass
class Coded:
    """A photograph as symbols: all that a decoder gets but the models."""

    shape: tuple[int, int]
    code: Any
    streams: Streams
    """Those of the means, "mean 0" and on for each plane, and those of the coder."""
    spared: float

    def bits(self, tables: Tables) -> float:
        return bits_of(self.streams, tables) - self.spared


def encode_photo(coder: Any, image: np.ndarray, setting: Setting, step: float, tables: Tables | None) -> Coded:
    """Symbols of an image (H, W, C) at one step."""
    patches = cut(image, setting.patch_size)
    shape, channels = (patches.shape[0], patches.shape[1]), range(patches.shape[2])
    fine = mean_step(setting, step)
    means = {f"mean {c}": encode_means(patches[:, :, c].mean(2), fine, _peak(len(channels))) for c in channels}
    rest = patches - _means(means, shape, fine)[..., None]
    rows = rest.reshape(shape[0] * shape[1], -1).astype(np.float32)
    code = coder.encode(rows, setting.slope * SLOPE * step**2, step, tables)
    return Coded(shape, code, {**means, **coder.streams(code, shape, step)}, coder.spared(code))


def decode_photo(coder: Any, coded: Coded, setting: Setting, step: float) -> np.ndarray:
    """The image (H, W, C) from symbols alone."""
    means = _means(coded.streams, coded.shape, mean_step(setting, step))
    rows = coder.decode(coded.code, step).reshape(*means.shape, -1)
    return clipped(join(rows + means[..., None], setting.patch_size))


def _means(streams: Streams, shape: tuple[int, int], step: float) -> np.ndarray:
    """Means (rows, columns, C) of patches."""
    sent = [stream for name, stream in streams.items() if name.startswith("mean ")]
    return np.stack([decode_means(stream, shape, step, _peak(len(sent))) for stream in sent], axis=2)


def _peak(channels: int) -> float:
    """Of the means of planes: the brightness of white is sqrt(3) times as large in orthonormal colours."""
    return PEAK if channels == 1 else PEAK * float(np.sqrt(3))


def mean_step(setting: Setting, step: float) -> float:
    """The step of the means: a mean is 1 / patch_size of the coefficient that an orthonormal transform would have."""
    return max(0.5, setting.mean_step * step / setting.patch_size)


def learn_tables(
    coder: Any, images: Mapping[str, np.ndarray], setting: Setting, step: float, tables: Tables | None = None
) -> Tables:
    """Models of all symbols at one step; those of a step beside it, if known, are where to begin."""
    for _ in range(_ROUNDS if tables is None else 1):
        coded = [encode_photo(coder, image, setting, step, tables) for image in images.values()]
        tables = tables_of({name: joined([c.streams[name] for c in coded]) for name in coded[0].streams})
    assert tables is not None
    return tables


def curves(
    coder: Any,
    setting: Setting,
    learn: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray],
    steps: Sequence[float],
    most: float = np.inf,
    known: dict[float, Tables] | None = None,
) -> dict[str, list[Point]]:
    """For each photograph a point for each step, in order of rate, from the largest step to that at which all take
    more than `most` bits per pixel. Tables are taken from `known`, and what is learnt is kept there."""
    found: dict[str, list[Point]] = {name: [] for name in images}
    known = {} if known is None else known
    tables: Tables | None = None
    for step in sorted(steps, reverse=True):
        if step not in known:
            known[step] = learn_tables(coder, learn, setting, step, tables)
        tables = known[step]
        for name, image in images.items():
            coded = encode_photo(coder, image, setting, step, tables)
            quality = psnr(image, decode_photo(coder, coded, setting, step))
            found[name].append(Point(step, coded.bits(tables) / (image.shape[0] * image.shape[1]), quality))
        if all(points[-1].bits_per_pixel > most for points in found.values()):
            break
    return {name: sorted(points, key=lambda p: p.bits_per_pixel) for name, points in found.items()}


def at_rate(points: Sequence[Point], rate: float) -> float:
    """PSNR at so many bits per pixel, between the two points beside it; NaN beyond them. A point that takes more bits
    than another that is as good does not count."""
    front: list[Point] = []
    for p in sorted(points, key=lambda p: (p.bits_per_pixel, -p.psnr)):
        if not front or p.psnr > front[-1].psnr:
            front.append(p)
    return float(np.interp(rate, [p.bits_per_pixel for p in front], [p.psnr for p in front], left=np.nan, right=np.nan))
