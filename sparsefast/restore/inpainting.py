"""Missing pixels filled in by sparse coding in a dictionary that is learnt from the known ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sparsefast import arrays
from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary
from sparsefast.prepared import prepare
from sparsefast.restore.denoising import check_seed
from sparsefast.restore.generic import PATCH_SIZE, start_of
from sparsefast.restore.groups import Grouping, filter_groups, sparse_coder
from sparsefast.restore.interpolation import interpolate
from sparsefast.restore.learning import learn_dictionary, sample_patches, with_constants
from sparsefast.restore.masked import approximate_known
from sparsefast.restore.pixels import check_finite, check_image, padded, to_pixels, to_planes
from sparsefast.restore.progress import Progress

METHODS = ("auto", "ksvd", "rbf")
# Residuals that a pixel may have, as shares of the range of the known pixels: from the first to the last iteration.
# What is filled in at first is far off; what is small in it is not worth an atom before the rest is right.
FIRST_ERROR, LAST_ERROR = 20.0 / 255, 2.0 / 255
# How much of the way to the estimate a missing pixel goes, and beyond: an estimate still has half of what was filled in
# before in it. At 2.5 it begins to swing.
RELAXATION = 2.0
# Fewer patches, from less far, than denoising has in a group: there is an estimate for each of many iterations.
GROUPING = Grouping(PATCH_SIZE, size=8, stride=4, radius=8)
# K-SVD iterations for one dictionary, and for how many of the iterations it stays.
_LEARNING, _RELEARN = 2, 8
# On photographs "ksvd" is better with a tenth of the pixels known, at random, and in holes of any size; with a
# twentieth at random it is worse than interpolation.
LEAST_KNOWN = 0.08


def inpaint(
    image: np.ndarray,
    known: np.ndarray,
    *,
    method: str = "auto",
    dictionary: PatchDictionary | None = None,
    n_iterations: int = 16,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """A picture with its missing pixels filled in; known pixels stay as they are, bit for bit.

    "ksvd" starts from `omp_masked` codes of all overlapping patches in a dictionary of photographs, each patch by its
    known pixels alone. Then, in turns, the dictionary is adapted to the picture as it is filled in by now (K-SVD), and
    groups of similar patches are coded in it to within an error that decreases; missing pixels go twice as far:

        x ← x + ω (1 - m) (mean over patches of D γ - x),   γ the sparsest with ||R x - D γ|| <= ε_k √n

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, 3), uint8, uint16, float32 or float64
        Grey or RGB, of any size and scale. What the mask hides is not looked at, and may be NaN.
    known : array of shape (H, W), bool
        True where a pixel is known.
    method : {"auto", "ksvd", "rbf"}
        "rbf" interpolates by radial basis functions (`sparsefast.restore.interpolation`): faster, and better where
        very few pixels are known. "auto" is what `choose_method` says.
    dictionary : PatchDictionary, optional
        What "ksvd" starts from, as for `denoise`.
    n_iterations : int
        Of "ksvd", at least 0.
    seed : int, at least 0
        For the choice of the patches that a large picture is learnt from. The same seed gives the same result, bit for
        bit, on one machine.
    progress : callable, optional
        Called with the share of the work that is done, from above 0 to 1.

    Returns
    -------
    array of the shape and dtype of the image
        Integers are rounded. Missing pixels are within the range of the known ones of their channel.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of an allowed type, shape or value, no pixel is known, or a known one is not finite.

    References
    ----------
    J. Mairal, M. Elad, G. Sapiro, "Sparse representation for color image restoration", IEEE Trans. Image Processing 17,
    2008, section V (masked codes). O. Guleryuz, "Nonlinear approximation based image recovery using adaptive sparse
    reconstructions and iterated denoising", IEEE Trans. Image Processing 15, 2006 (thresholds that decrease).
    """
    check_image("inpaint", image)
    _check_mask(known, image)
    if method not in METHODS:
        raise ValueError(f"inpaint: method={method!r}; it must be one of {', '.join(METHODS)}")
    n_iterations = arrays.index(n_iterations, "inpaint: n_iterations")
    if n_iterations < 0:
        raise ValueError(f"inpaint: n_iterations={n_iterations}; it must be at least 0")
    seed = check_seed("inpaint", seed)
    check_finite("inpaint", image, known)
    start, patch_size = start_of("inpaint", dictionary, 1 if image.ndim == 2 else 3)
    if known.all():
        return image.copy()
    if method == "auto":
        method = choose_method(known)
    low, high = image[known].min(axis=0), image[known].max(axis=0)
    span = float(np.max(high.astype(np.float64) - low))
    report = Progress(progress, 1.0 + (1.0 + n_iterations if method == "ksvd" else 0.0))
    filled = interpolate(image, known, report.step(1.0))
    if method == "ksvd" and span > 0:
        mask = padded(known[None], 2 * patch_size)[0]
        # Around the middle, so that float32 is exact enough for pictures of any offset.
        middle = low + 0.5 * (high.astype(np.float64) - low)
        planes = padded(to_planes((filled - middle) / span), 2 * patch_size)
        found = _by_ksvd(planes, mask, start, patch_size, n_iterations, seed, report)[
            :, : image.shape[0], : image.shape[1]
        ]
        filled = to_pixels(found, filled) * span + middle
    result = np.clip(filled, low, high)
    if image.dtype.kind == "u":
        result = np.rint(result)
    result = result.astype(image.dtype)
    result[known] = image[known]
    return result


def choose_method(known: np.ndarray) -> str:
    """What `inpaint` does with method="auto".

    Parameters
    ----------
    known : array of shape (H, W), bool

    Returns
    -------
    str
        "rbf" if less than 8% of the pixels are known, where patches know too little of themselves; otherwise "ksvd".
    """
    return "rbf" if known.mean() < LEAST_KNOWN else "ksvd"


def _by_ksvd(
    planes: np.ndarray,
    known: np.ndarray,
    start: np.ndarray,
    patch_size: int,
    n_iterations: int,
    seed: int,
    report: Progress,
) -> np.ndarray:
    """Planes with their missing pixels, which hold a first guess, filled in; the range is about 1."""
    norm = math.sqrt(start.shape[1])
    found = approximate_known(planes, known, prepare(start), patch_size, report.step(1.0))
    for i, error in enumerate(np.geomspace(FIRST_ERROR, LAST_ERROR, n_iterations)):
        if i % _RELEARN == 0:
            signals = sample_patches(found, patch_size, seed)
            learnt = learn_dictionary(signals, start, error * norm, _LEARNING, seed=seed)
            dictionary = prepare(with_constants(learnt, len(planes)))
        coder = sparse_coder(dictionary, error * norm)
        estimate = filter_groups(found, found, GROUPING._replace(patch_size=patch_size), coder, report.step(1.0))
        step = RELAXATION if i + 1 < n_iterations else 1.0
        found = np.where(known, planes, found + np.float32(step) * (estimate - found))
    return found


def _check_mask(known: np.ndarray, image: np.ndarray) -> None:
    if not isinstance(known, np.ndarray) or known.dtype != bool:
        what = f"has dtype {known.dtype}" if isinstance(known, np.ndarray) else f"is a {type(known).__name__}"
        raise TypeError(f"inpaint: known {what}; it must be an array of bool, True where a pixel is known")
    if known.shape != image.shape[:2]:
        raise ValueError(f"inpaint: known has shape {known.shape}; it must be {image.shape[:2]}, as the image is")
    if not known.any():
        raise ValueError("inpaint: known is False everywhere; at least one pixel must be known")
