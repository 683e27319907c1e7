"""Is a result right? From the definition, in float64, on the first, the last and two other images of a batch.

unfold: patch_l(c, ky, kx) = image(c, y_l + ky, x_l + kx), bit for bit, and 0 outside of the image.

fold: s(y, x) = Σ_l w(y - y_l, x - x_l) patch_l(c, y - y_l, x - x_l), and the mean s / Σ_l w. A sum of n products in
whatever order errs by at most n + 1 roundings of Σ |w patch|, with a rounded window by one more; the divisor, a sum of
n too, and the division come on top for the mean.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench.data import SEED
from sparsefast.bench.patches.given import Given, on_host, padded_images, windows

Array = NDArray[Any]
IMAGES_CHECKED = 4


class Sums(NamedTuple):
    """What the patches of an image add up to, in float64."""

    value: Array
    magnitude: Array
    """Of the absolute values, (C, H, W)."""
    weight: Array
    """Of the windows, (H, W)."""
    reached: Array
    """How many patches reach a pixel, (H, W)."""


def rows(n_images: int) -> list[int]:
    """The images that are looked at."""
    others = np.random.default_rng(SEED).permutation(np.arange(1, max(1, n_images - 1)))[: IMAGES_CHECKED - 2]
    return sorted({0, n_images - 1, *others.tolist()}) if n_images else []


class Checker:
    """Checks the results of one batch in one layout. What it compares with is computed once."""

    def __init__(self, given: Given) -> None:
        self.given, self.case = given, given.case
        self._patches = functools.cache(self._cut)
        self._sums = functools.cache(self._add_up)

    def unfold(self, result: Any, n_images: int) -> str | None:
        """What is wrong with the patches (n_images, ...) of the layout, or None."""
        if len(result) != n_images:
            return f"patches of {len(result)} images for {n_images}"
        for b in rows(n_images):
            got, wanted = on_host(result[b]), self._patches(b)
            if (wrong := _kind(got, wanted)) is not None:
                return f"image {b}: {wrong}"
            bits = f"u{got.itemsize}"
            if not np.array_equal(got.view(bits), wanted.view(bits)):
                bad = np.argwhere(got.view(bits) != wanted.view(bits))
                place = tuple(bad[0].tolist())
                return f"image {b}: {len(bad)} of {got.size} differ, first {place}: {got[place]}, not {wanted[place]}"
        return None

    def fold(
        self, result: Any, n_images: int, window: Array | None, mean: bool = True, uncovered: bool = True
    ) -> str | None:
        """What is wrong with the images (n_images, C, H, W), or None.

        Parameters
        ----------
        window : array of shape (ph, pw), or None for ones
        mean : whether they are means, and not sums
        uncovered : whether pixels that no patch reaches must be 0; otherwise they may be anything
        """
        if len(result) != n_images:
            return f"{len(result)} images for {n_images}"
        for b in rows(n_images):
            sums = self._sums(b, None if window is None else _Key(window))
            wanted, bound = _bound(sums, mean, float(np.finfo(self.given.dtype).eps))
            got = on_host(result[b])
            if (wrong := _kind(got, wanted.astype(self.given.dtype))) is not None:
                return f"image {b}: {wrong}"
            # A comparison with NaN is false, so it is looked for what is right.
            right = np.abs(got - wanted) <= bound
            if not uncovered:
                right |= sums.reached == 0
            if not right.all():
                place = tuple(np.argwhere(~right)[0].tolist())
                words = f"{got[place]:.8g}, not {wanted[place]:.8g} to within {bound[place]:.1e}"
                return f"image {b}: {(~right).sum()} of {got.size} are off, first {place}: {words}"
        return None

    def _cut(self, b: int) -> Array:
        """The patches of an image, pixel by pixel of the patch."""
        case = self.case
        image = padded_images(on_host(self.given.images[b : b + 1]), case)[0]
        y, x = case.corners.T
        out = np.empty((case.channels, *case.patch, case.n_patches), image.dtype)
        for ky, kx in np.ndindex(*case.patch):
            out[:, ky, kx] = image[:, y + ky, x + kx]
        flat = out.reshape(case.n_features, -1)
        return flat if self.given.layout == "columns" else np.ascontiguousarray(flat.T)

    def _add_up(self, b: int, key: _Key | None) -> Sums:
        case = self.case
        patches = windows(on_host(self.given.patches[b : b + 1]), case, self.given.layout)[0]
        window = np.ones(case.patch) if key is None else key.window
        height, width = np.maximum(case.size, case.corners.max(axis=0) + case.patch)
        planes = [np.zeros((case.channels, height, width)) for _ in range(2)]
        weight, count = np.zeros((height, width)), np.zeros((height, width))
        y, x = case.corners.T
        for ky, kx in np.ndindex(*case.patch):
            part = patches[:, ky, kx].astype(np.float64) * window[ky, kx]
            place = (y + ky) * width + (x + kx)
            if not case.scattered:
                # On a grid no two patches have this pixel of theirs at one place.
                for plane, values in zip(planes, (part, np.abs(part)), strict=True):
                    plane.reshape(case.channels, -1)[:, place] += values
                weight.reshape(-1)[place] += window[ky, kx]
                count.reshape(-1)[place] += 1
                continue
            for plane, values in zip(planes, (part, np.abs(part)), strict=True):
                for c in range(case.channels):
                    plane[c] += np.bincount(place, values[c], height * width).reshape(height, width)
            hits = np.bincount(place, minlength=height * width).reshape(height, width)
            weight += window[ky, kx] * hits
            count += hits
        return Sums(*(part[..., : case.size[0], : case.size[1]] for part in (*planes, weight, count)))


class _Key:
    """A window by which sums are remembered."""

    def __init__(self, window: Array) -> None:
        self.window = np.asarray(window, np.float64)
        self._bytes = self.window.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)


def _kind(got: Array, wanted: Array) -> str | None:
    if got.shape != wanted.shape:
        return f"shape {got.shape}, not {wanted.shape}"
    return f"{got.dtype}, not {wanted.dtype}" if got.dtype != wanted.dtype else None


def _bound(sums: Sums, mean: bool, eps: float) -> tuple[Array, Array]:
    """The result in float64, and how far from it one may be."""
    roundings = sums.reached + 2
    if not mean:
        return sums.value, roundings * eps * sums.magnitude
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(sums.weight > 0, 1 / sums.weight, 0.0)
    return sums.value * inverse, (2 * roundings + 2) * eps * sums.magnitude * inverse
