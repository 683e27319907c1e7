"""Denoising by sparse coding in a dictionary that is learnt from the noisy picture itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from sparsefast import arrays
from sparsefast.images.noise import MAX_SIGMA, estimate_noise
from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary
from sparsefast.prepared import prepare
from sparsefast.restore.averaging import code_and_average
from sparsefast.restore.generic import start_of
from sparsefast.restore.groups import Grouping, filter_groups, sparse_coder
from sparsefast.restore.learning import learn_dictionary, sample_patches, with_constants
from sparsefast.restore.pixels import check_finite, check_image, padded, to_pixels, to_planes, white
from sparsefast.restore.progress import Progress
from sparsefast.restore.wiener import wiener_coder

METHODS = ("ksvd",)
# An estimate of the noise below this share of white is left alone: a picture without noise has as much, for its finest
# texture, and below it denoising does harm. Measured on photographs with noise of 2 and 3 of 255 added.
LEAST_NOISE = 3.0 / 255
# The residual at which a patch counts as explained, over the norm of its noise σ √n: alone, and in groups; by the
# number of channels. The norm of noise varies less the more features there are, and at 1 half of the patches have
# noise coded too, which the mean over patches takes out again.
GAINS = {1: (1.15, 1.2), 3: (1.0, 1.05)}
# The same for codes of the guide of the last step, whose error is small beside the noise.
GUIDE_GAIN = 0.07
# A channel with less than this share of the strongest noise is treated as if it had so much.
_LEAST_SHARE = 0.25


def denoise(
    image: np.ndarray,
    sigma: ArrayLike | None = None,
    *,
    method: str = "ksvd",
    dictionary: PatchDictionary | None = None,
    refine: bool = True,
    n_iterations: int = 4,
    gain: float | None = None,
    blend: float = 0.0,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """A picture without its white Gaussian noise.

    A dictionary of patches of photographs is adapted to the picture's noisy patches by K-SVD. All overlapping patches,
    with their colours together, are coded in it by OMP until the residual is as large as the noise, and averaged:

        min over D, γ, x of  λ ||x - y||² + Σ ||D γ_i - R_i x||²,  γ_i the sparsest with ||R_i y - D γ_i|| <= C σ √n

    With `refine`, patches that resemble each other in the result are coded again, as groups; and once more, with
    coefficients that are shrunk by their power in the result of that (see `sparsefast.restore.groups` and `.wiener`).

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, 3), uint8, uint16, float32 or float64
        Grey or RGB, of any size. Floating pixels may have any scale if `sigma` is given, and need not be clipped.
    sigma : float or array of shape (3,), optional
        The standard deviation of the noise, of each channel or of all, on the scale of the data: 0 to 255 for uint8,
        0 to 65535 for uint16. If it is not given, `noise_level` tells it.
    method : {"ksvd"}
    dictionary : PatchDictionary, optional
        What learning starts from, for pictures of one kind: `sparsefast learn-dictionary` makes one. By default
        of photographs in general.
    refine : bool
        False is the method of Elad and Aharon alone: several times as fast, and half a dB worse.
    n_iterations : int
        Of K-SVD; with 0 the dictionary is that of photographs in general.
    gain : float, optional
        C, above 0; if it is not given, 1.15 for grey pictures and 1 for colours.
    blend : float
        λ, at least 0: how much the noisy picture counts in the mean of the patches, each of which counts 1.
    seed : int, at least 0
        For the choice of the patches that a large picture is learnt from. The same seed gives the same result, bit for
        bit, on one machine.
    progress : callable, optional
        Called with the share of the work that is done, from above 0 to 1.

    Returns
    -------
    array of the shape and dtype of the image
        Integers are rounded and held to their range; floating pixels are not held to any. A copy of the image, bit for
        bit, where there is no noise to take out: `sigma` is 0, or was not given and is below 3 / 255 of white.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of an allowed type, shape or value, or a pixel is not finite.

    References
    ----------
    M. Elad, M. Aharon, "Image denoising via sparse and redundant representations over learned dictionaries", IEEE
    Trans. Image Processing 15, 2006, equation 4 (the equation above) and figure 3 (the algorithm). J. Mairal, M. Elad,
    G. Sapiro, "Sparse representation for color image restoration", IEEE Trans. Image Processing 17, 2008 (colours of a
    patch together; a start learnt from photographs).
    """
    check_image("denoise", image)
    if method not in METHODS:
        raise ValueError(f"denoise: method={method!r}; it must be one of {', '.join(METHODS)}")
    n_iterations = arrays.index(n_iterations, "denoise: n_iterations")
    if n_iterations < 0:
        raise ValueError(f"denoise: n_iterations={n_iterations}; it must be at least 0")
    seed = check_seed("denoise", seed)
    if gain is not None and not (math.isfinite(gain) and gain > 0):
        raise ValueError(f"denoise: gain={gain}; it must be above 0")
    if not (math.isfinite(blend) and blend >= 0):
        raise ValueError(f"denoise: blend={blend}; it must be at least 0")
    check_finite("denoise", image)
    levels = noise_level(image) if sigma is None else _checked(sigma, image)
    strongest = float(np.max(levels))
    start, patch_size = start_of("denoise", dictionary, 1 if image.ndim == 2 else 3)
    if strongest == 0:
        return image.copy()

    # In units of the noise: every channel has deviation 1.
    scale = np.maximum(levels, _LEAST_SHARE * strongest)
    planes = padded(to_planes(image, scale), 2 * patch_size)  # room for a group
    report = Progress(progress, 5.0 if refine else 1.0)
    alone, in_groups = GAINS[len(planes)]
    gains = (alone if gain is None else gain), in_groups
    found = _denoised(planes, start, patch_size, refine, n_iterations, gains, blend, seed, report)
    result = to_pixels(found[:, : image.shape[0], : image.shape[1]], image, scale)
    if result.ndim == 3:
        result[:, :, levels == 0] = image[:, :, levels == 0]
    return result


def noise_level(image: np.ndarray) -> np.ndarray:
    """The deviation of the noise that `denoise` takes out of a picture, if it is not told.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, 3), uint8, uint16, or floating from 0 to 1

    Returns
    -------
    array of shape () or (3,), float64
        On the scale of the data, by `sparsefast.images.estimate_noise`. All 0 if the root mean square over the channels
        is below 3 / 255 of white, which the texture of a picture without noise may amount to.

    Raises
    ------
    TypeError, ValueError
        If the image is not of an allowed type or shape, or a pixel is not finite.
    """
    check_image("noise_level", image)
    check_finite("noise_level", image)
    levels = np.nan_to_num(np.asarray(estimate_noise(image), np.float64))
    return levels if math.sqrt(float(np.mean(levels**2))) >= LEAST_NOISE * white(image) else np.zeros_like(levels)


def check_seed(who: str, seed: int) -> int:
    """Raise unless the seed is an integer of at least 0; return it."""
    seed = arrays.index(seed, f"{who}: seed")
    if seed < 0:
        raise ValueError(f"{who}: seed={seed}; it must be at least 0")
    return seed


def _denoised(
    planes: np.ndarray,
    start: np.ndarray,
    patch_size: int,
    refine: bool,
    n_iterations: int,
    gains: tuple[float, float],
    blend: float,
    seed: int,
    report: Progress,
) -> np.ndarray:
    """`denoise` of planes whose noise has deviation 1."""
    norm = math.sqrt(start.shape[1])
    signals = sample_patches(planes, patch_size, seed)
    learnt = learn_dictionary(signals, start, gains[0] * norm, n_iterations, seed=seed, progress=report.step(0.5))
    dictionary = prepare(with_constants(learnt, len(planes)))
    result = code_and_average(planes, dictionary, patch_size, gains[0] * norm, blend, report.step(0.5))
    if not refine:
        return result
    grouping = Grouping(patch_size)
    coder = sparse_coder(dictionary, gains[1] * norm)
    result = filter_groups(planes, result, grouping, coder, report.step(1.5))
    return filter_groups(planes, result, grouping, wiener_coder(dictionary, GUIDE_GAIN * norm, 1.0), report.step(2.5))


def _checked(sigma: ArrayLike, image: np.ndarray) -> np.ndarray:
    """The given noise as an array of shape () or (3,)."""
    levels = np.asarray(sigma)
    if levels.dtype.kind not in "fiu":
        raise TypeError(f"denoise: sigma={sigma!r} must be a number, or one for each channel")
    if levels.shape not in ((), image.shape[2:]):
        raise ValueError(f"denoise: sigma has shape {levels.shape}; it must be a number or of shape {image.shape[2:]}")
    levels = levels.astype(np.float64)
    if not ((levels >= 0) & (levels <= MAX_SIGMA)).all():
        raise ValueError(f"denoise: sigma={levels}; it must be 0 to {MAX_SIGMA:g}")
    return np.broadcast_to(levels, image.shape[2:])
