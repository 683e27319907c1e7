"""Images from overlapping patches, weighted: the definition.

For patches p_l (C, ph, pw) whose first pixels are (y_l, x_l), a window w (ph, pw) and a confidence f_l in each patch,

    out(c, y, x) = s(y, x) sum over l of w(y - y_l, x - x_l) f_l p_l(c, y - y_l, x - x_l)

over the patches that cover (y, x), in increasing l. What of a patch lies outside of the image is left out. s is

    1                              without `normalize`: the adjoint of unfold, where w and f are ones
    1 / (sum over l of w f_l)      with `normalize`: the weighted mean; 0 where that sum is 0
    inverse                        where that is given

Sums run in float64, and the result is rounded once to its dtype: to nearest, ties to even; in uint8 numbers are held to
0 to 255, and NaN becomes 0.

Sources: col2im of convolution, torch.nn.functional.fold; the weighted mean of overlapping patches is equation 12 of
Dabov et al., Image denoising by sparse 3-D transform-domain collaborative filtering, 2007.
"""

import numpy as np

from sparsefast.kernels.numbers import narrow, widen
from sparsefast.kernels.patch_grid import Grid, TileLists
from sparsefast.kernels.reference.unfold import inside

__all__ = ["TILE", "fold", "fold_at"]

# The lists of patches by tiles are not needed here.
TILE = (64, 64)


def fold(
    patches: np.ndarray,
    grid: Grid,
    rows: bool,
    dtype: str,
    window: np.ndarray | None,
    confidence: np.ndarray | None,
    inverse: np.ndarray | None,
    normalize: bool,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Sum patches (B, C * ph * pw, L), or with `rows` (B, L, C * ph * pw), into out (B, C, H, W), both of `dtype`."""
    corners = grid.corners()[None]
    _fold(patches, corners, grid.patch, rows, dtype, window, confidence, inverse, normalize, out)


def fold_at(
    patches: np.ndarray,
    corners: np.ndarray,
    tiles: TileLists,
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    window: np.ndarray | None,
    confidence: np.ndarray | None,
    normalize: bool,
    out: np.ndarray,
    n_threads: int,
) -> None:
    """Sum patches at corners (B or 1, L, 2), as `fold` does."""
    _fold(patches, corners, patch, rows, dtype, window, confidence, None, normalize, out)


def _fold(
    patches: np.ndarray,
    corners: np.ndarray,
    patch: tuple[int, int],
    rows: bool,
    dtype: str,
    window: np.ndarray | None,
    confidence: np.ndarray | None,
    inverse: np.ndarray | None,
    normalize: bool,
    out: np.ndarray,
) -> None:
    n_images, n_channels, *size = out.shape
    by_patch = patches if rows else patches.transpose(0, 2, 1)
    w = np.ones(patch) if window is None else window.astype(np.float64)
    for b in range(n_images):
        total = np.zeros((n_channels, *size))
        weights = np.zeros(size)
        for n, (y, x) in enumerate(corners[b % len(corners)].tolist()):
            image_y, patch_y = inside(y, patch[0], size[0])
            image_x, patch_x = inside(x, patch[1], size[1])
            p = widen(by_patch[b, n], dtype).astype(np.float64).reshape(n_channels, *patch)
            f = 1.0 if confidence is None else float(confidence[b, n])
            total[:, image_y, image_x] += (w * f * p)[:, patch_y, patch_x]
            weights[image_y, image_x] += (w * f)[patch_y, patch_x]
        if inverse is not None:
            total *= inverse.astype(np.float64)
        elif normalize:
            total = np.divide(total, weights, out=np.zeros(total.shape), where=weights != 0)
        out[b] = narrow(total, dtype)
