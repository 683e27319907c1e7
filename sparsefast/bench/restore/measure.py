"""How near the restored crops are to the truth, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sparsefast.bench.restore.contender import Contender
from sparsefast.bench.restore.crops import Crop
from sparsefast.images.metrics import psnr, ssim

VARIANTS: dict[str, dict[str, tuple[str, float]]] = {
    "denoise": {f"sigma{s}": ("sigma", s) for s in (10, 25, 50)},
    "inpaint": {f"keep{k}": ("keep", k / 100) for k in (5, 20, 50)},
}
"""By op and name: what a number is, and the number."""
DEFAULT = {"denoise": ["sigma25"], "inpaint": ["keep20"]}


@dataclass(frozen=True)
class Row:
    """What one contender did with one crop."""

    contender: str
    crop: str
    psnr: float
    ssim: float
    seconds: float
    cpu_seconds: float
    """Of this process, all threads: what the others on a busy machine do not change."""


def rows(op: str, number: float, contenders: Iterable[Contender], crops: list[Crop]) -> Iterator[Row]:
    """A row for each contender and crop, after a crop that is not counted: caches are filled, libraries loaded."""
    for who in contenders:
        with who.around():
            _restored(who, op, number, crops[0])
            for crop in crops:
                cpu, start = time.process_time(), time.perf_counter()
                result = _restored(who, op, number, crop)
                seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
                # What a file would hold.
                result = np.clip(result, 0, 255).astype(np.float64)
                quality = psnr(crop.truth, result, 255), ssim(crop.truth, result, 255)
                yield Row(who.name, crop.name, *quality, seconds, cpu_seconds)


def _restored(who: Contender, op: str, number: float, crop: Crop) -> np.ndarray:
    if op == "denoise":
        return who.restore(crop.noisy(number), number)
    known = crop.known(number)
    hidden = known if crop.truth.ndim == 2 else known[:, :, None]
    return who.restore(crop.truth * hidden, known)
