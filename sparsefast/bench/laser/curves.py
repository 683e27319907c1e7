"""Curves of quality by rate: models of symbols from some photographs, and then others coded at several steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefast.bench.laser.entropy import Stream, Streams, Tables, bits_of, tables_of
from sparsefast.bench.laser.means import decode_means, encode_means
from sparsefast.bench.laser.photographs import cut, join, psnr

# Squared error that a bit is worth, in step^2: the slope of a uniform quantiser at a high rate, 2 ln 2 / 12.
SLOPE = 2 * np.log(2) / 12
# Encoding and counting in turn; more change nothing in the second digit.
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
    means: Stream
    code: Any
    streams: Streams
    spared: float

    def bits(self, tables: Tables) -> float:
        return bits_of({"mean": self.means, **self.streams}, tables) - self.spared


def encode_photo(coder: Any, image: np.ndarray, setting: Setting, step: float, tables: Tables | None) -> Coded:
    """Symbols of an image (H, W) at one step."""
    patches = cut(image, setting.patch_size)
    means = encode_means(patches.mean(2), mean_step(setting, step))
    shape = patches.shape[0], patches.shape[1]
    rest = patches - decode_means(means, shape, mean_step(setting, step))[:, :, None]
    rows = rest.reshape(-1, rest.shape[2]).astype(np.float32)
    code = coder.encode(rows, setting.slope * SLOPE * step**2, step, tables)
    return Coded(shape, means, code, coder.streams(code), coder.spared(code))


def decode_photo(coder: Any, coded: Coded, setting: Setting, step: float) -> np.ndarray:
    """The image (H, W), in 0 to 255, from symbols alone."""
    means = decode_means(coded.means, coded.shape, mean_step(setting, step))
    rows = coder.decode(coded.code, step).reshape(*coded.shape, -1)
    return np.clip(join(rows + means[:, :, None], setting.patch_size), 0, 255)


def mean_step(setting: Setting, step: float) -> float:
    """The step of the means: a mean is 1 / patch_size of the coefficient that an orthonormal transform would have."""
    return max(0.5, setting.mean_step * step / setting.patch_size)


def learn_tables(coder: Any, images: Mapping[str, np.ndarray], setting: Setting, step: float) -> Tables:
    """Models of all symbols at one step."""
    tables: Tables | None = None
    for _ in range(_ROUNDS):
        coded = [encode_photo(coder, image, setting, step, tables) for image in images.values()]
        together: Streams = {"mean": _joined([c.means for c in coded])}
        for name in coded[0].streams:
            together[name] = _joined([c.streams[name] for c in coded])
        tables = tables_of(together)
    assert tables is not None
    return tables


def _joined(streams: Sequence[Stream]) -> Stream:
    return Stream(np.concatenate([s.symbols for s in streams]), streams[0].size)


def curves(
    coder: Any,
    setting: Setting,
    learn: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray],
    steps: Sequence[float],
) -> dict[str, list[Point]]:
    """For each photograph a point for each step, in order of rate."""
    found: dict[str, list[Point]] = {name: [] for name in images}
    for step in steps:
        tables = learn_tables(coder, learn, setting, step)
        for name, image in images.items():
            coded = encode_photo(coder, image, setting, step, tables)
            quality = psnr(image, decode_photo(coder, coded, setting, step))
            found[name].append(Point(step, coded.bits(tables) / image.size, quality))
    return {name: sorted(points, key=lambda p: p.bits_per_pixel) for name, points in found.items()}


def at_rate(points: Sequence[Point], rate: float) -> float:
    """PSNR at so many bits per pixel, between the two points beside it; NaN beyond them."""
    rates = [p.bits_per_pixel for p in points]
    return float(np.interp(rate, rates, [p.psnr for p in points], left=np.nan, right=np.nan))
