"""Who takes noise out. The settings of peers are those with the best mean PSNR on the train crops: `tune` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsefast.bench.contender import need, version_of
from sparsefast.bench.restore.contender import Contender, within

NLM = {
    3: {"patch_size": 5, "patch_distance": 6, "h": 0.6},
    1: {"patch_size": 7, "patch_distance": 11, "h": 0.6},
}
"""By the number of channels; h over sigma."""
TV_WEIGHT = {3: 0.8, 1: 1.0}
"""By the number of channels, over sigma."""


def channels(image: np.ndarray) -> int:
    """3 or 1."""
    return 3 if image.ndim == 3 else 1


def axis(image: np.ndarray) -> int | None:
    """What scikit-image calls `channel_axis`."""
    return -1 if image.ndim == 3 else None


def ours(backends: Sequence[str]) -> list[Contender]:
    """The default, and K-SVD without its groups; on the backend that `auto` takes, or on each of these."""
    import sparsefast
    from sparsefast.restore import denoise

    def alone(noisy: np.ndarray, sigma: float) -> np.ndarray:
        return denoise(noisy, sigma, refine=False)

    found = []
    chosen: list[str | None] = [*backends] or [None]
    for backend in chosen:
        name = "sparsefast" if backend is None else f"sparsefast {backend}"
        version, around = sparsefast.__version__, within(backend)
        found.append(Contender(name, version, "denoise(noisy, sigma)", denoise, True, around))
        found.append(Contender(f"{name} alone", version, "refine=False", alone, True, around))
    return found


def nlm(settings: dict[int, dict[str, Any]] | None = None) -> Contender:
    """scikit-image's non-local means."""
    restoration = need("skimage.restoration", "scikit-image")
    by_channels = settings or NLM

    def run(noisy: np.ndarray, sigma: float) -> np.ndarray:
        options = by_channels[channels(noisy)]
        options = {**options, "h": options["h"] * sigma}
        return restoration.denoise_nl_means(noisy, sigma=sigma, fast_mode=True, channel_axis=axis(noisy), **options)

    words = [", ".join(f"{name}={value}" for name, value in by_channels[n].items()) for n in (3, 1)]
    text = words[0] if words[0] == words[1] else f"{words[0]} (grey {words[1]})"
    return Contender("NLM", version_of("scikit-image"), f"{text}, h over sigma, fast_mode", run)


def tv(weight: dict[int, float] | None = None) -> Contender:
    """scikit-image's total variation."""
    restoration = need("skimage.restoration", "scikit-image")
    factors = weight or TV_WEIGHT

    def run(noisy: np.ndarray, sigma: float) -> np.ndarray:
        # Its stopping rule and weight are for pictures from 0 to 1.
        strength = factors[channels(noisy)] * sigma / 255
        return restoration.denoise_tv_chambolle(noisy / 255, weight=strength, channel_axis=axis(noisy)) * 255

    return Contender("TV", version_of("scikit-image"), f"weight={_factors(factors)} sigma", run)


def wavelet() -> Contender:
    """scikit-image's wavelet shrinkage, which chooses its thresholds by itself."""
    restoration = need("skimage.restoration", "scikit-image")
    need("pywt", "PyWavelets")

    def run(noisy: np.ndarray, sigma: float) -> np.ndarray:
        colour = noisy.ndim == 3
        return 255 * restoration.denoise_wavelet(
            noisy / 255, sigma=sigma / 255, method="BayesShrink", convert2ycbcr=colour, channel_axis=axis(noisy)
        )

    return Contender("wavelet", version_of("scikit-image"), "BayesShrink, soft, YCbCr", run)


def bm3d() -> Contender:
    """The authors' BM3D."""
    module = need("bm3d", "bm3d")

    def run(noisy: np.ndarray, sigma: float) -> np.ndarray:
        function = module.bm3d_rgb if noisy.ndim == 3 else module.bm3d
        return function(noisy / 255, sigma / 255) * 255

    return Contender("BM3D", version_of("bm3d") or "unknown", "bm3d_rgb or bm3d, profile np", run)


PEERS = {"NLM": nlm, "TV": tv, "wavelet": wavelet, "BM3D": bm3d}


def _factors(factors: dict[int, float]) -> str:
    """Those of colours, and of grey where they differ."""
    return f"{factors[3]:g}" if factors[3] == factors[1] else f"{factors[3]:g} (grey {factors[1]:g})"
