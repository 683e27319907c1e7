"""Missing pixels interpolated between those nearby that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Known pixels that each missing one is interpolated from, and missing pixels that are interpolated at once.
NEIGHBORS = 20
_PIXELS = 1 << 16


def interpolate(
    image: np.ndarray, known: np.ndarray, progress: Callable[[float], None] = lambda done: None
) -> np.ndarray:
    """The missing pixels by radial basis functions around the nearest known ones.

    Linear functions |x|, with a constant: of those that SciPy has they gave the best PSNR on photographs.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C), any real dtype
        What the mask hides is not looked at.
    known : array of shape (H, W), bool
        At least one is True.
    progress : callable
        Called with the share of the missing pixels that are done.

    Returns
    -------
    array of the shape of the image, float64
        Within the range of each channel's known pixels.

    Source: `scipy.interpolate.RBFInterpolator`; G. Fasshauer, Meshfree approximation methods with Matlab, 2007.
    """
    from scipy.interpolate import RBFInterpolator

    places, missing = np.argwhere(known).astype(np.float64), np.argwhere(~known)
    values = image[known].astype(np.float64)
    result = image.astype(np.float64)
    interpolator = RBFInterpolator(places, values, neighbors=min(NEIGHBORS, len(places)), kernel="linear")
    for start in range(0, len(missing), _PIXELS):
        some = missing[start : start + _PIXELS]
        found = interpolator(some.astype(np.float64))
        result[some[:, 0], some[:, 1]] = np.clip(found, values.min(axis=0), values.max(axis=0))
        progress(min(1.0, (start + len(some)) / len(missing)))
    return result
