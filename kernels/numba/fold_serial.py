"""Images from overlapping patches on a range of tiles: the serial functions that Numba compiles.

    out(c, y, x) = s(y, x) sum over l of w(y - y_l, x - x_l) f_l p_l(c, y - y_l, x - x_l)

A gather over tiles of the output, which stay in cache while all that is added to them comes by once: from columns
(L fastest), one run of patches for each (c, i, j) and row of the grid; from rows, patch by patch. Either way the
patches of a pixel are added in increasing l, so that the sum depends neither on tiles nor on threads.

The rules are those of sparsefast.kernels.reference.fold, with sums in the type of the output.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from sparsefast.kernels.numba.compiler import compiled


@compiled
def clear(c0, c1, y0, y1, x0, x1, out_at, height, width, out):
    """Zeros in the box of channels, rows and columns."""
    for c in range(c0, c1):
        for y in range(y0, y1):
            at = np.uint64(out_at + (c * height + y) * width + x0)
            for x in range(x1 - x0):
                out[at + np.uint64(x)] = 0


@compiled
def add_patch(patches, at, pixel_step, window, ph, pw, f, y_l, x_l, c0, c1, y0, y1, x0, x1, out_at, height, width, out):
    """Add w f p_l to the box. Its pixels are patches[at + (c, i, j) * pixel_step]."""
    left, right = max(x0, x_l), min(x1, x_l + pw)
    for c in range(c0, c1):
        for y in range(max(y0, y_l), min(y1, y_l + ph)):
            i = y - y_l
            from_ = np.uint64(at + ((c * ph + i) * pw + left - x_l) * pixel_step)
            w = np.uint64(i * pw + left - x_l)
            to = np.uint64(out_at + (c * height + y) * width + left)
            for x in range(right - left):
                out[to + np.uint64(x)] += window[w + np.uint64(x)] * f * patches[from_ + np.uint64(x * pixel_step)]


@compiled
def add_columns(
    patches, at, pixel_step, row_step, window, ph, pw, weighted, confidence, f_at, ys, xs, stride,
    c, y0, y1, out_at, height, width, out,
):  # fmt: skip
    """Add w f p of one channel to rows y0..y1. Pixel k of row o of the patches is patches[at + k * pixel_step + o *
    row_step] and what follows.

    The pixels of the patches from the last to the first: so a pixel of the output meets its patches in increasing l.
    """
    n_y, n_x = ys.shape[0], xs.shape[0]
    regular = n_x if xs[n_x - 1] == (n_x - 1) * stride else n_x - 1
    for i in range(ph - 1, -1, -1):
        for o in range(n_y):
            y = ys[o] + i
            if y < y0 or y >= y1:
                continue
            f_row = f_at + o * n_x
            for j in range(pw - 1, -1, -1):
                w = window[i * pw + j]
                row = at + (i * pw + j) * pixel_step + o * row_step
                to = out_at + (c * height + y) * width + j
                # Those whose pixel lies in the image.
                n = max(0, min(regular, (width - j + stride - 1) // stride))
                a, b, g = np.uint64(to), np.uint64(row), np.uint64(f_row)
                if weighted:
                    for x in range(n):
                        out[a + np.uint64(x * stride)] += w * confidence[g + np.uint64(x)] * patches[b + np.uint64(x)]
                elif stride == 1:
                    for x in range(n):
                        out[a + np.uint64(x)] += w * patches[b + np.uint64(x)]
                else:
                    for x in range(n):
                        out[a + np.uint64(x * stride)] += w * patches[b + np.uint64(x)]
                if regular < n_x and xs[regular] + j < width:
                    f = confidence[f_row + regular] if weighted else out.dtype.type(1)
                    out[to + xs[regular]] += w * f * patches[row + regular]


@compiled
def scale(weights, step, weights_at, divide, c0, c1, y0, y1, x0, x1, out_at, height, width, out):
    """Divide the box by weights (rows `step` apart), where they are not 0, or multiply it with them."""
    zero = out.dtype.type(0)
    for c in range(c0, c1):
        for y in range(y0, y1):
            a = np.uint64(out_at + (c * height + y) * width + x0)
            b = np.uint64(weights_at + (y - y0) * step)
            if divide:
                for x in range(x1 - x0):
                    weight = weights[b + np.uint64(x)]
                    total = out[a + np.uint64(x)]
                    out[a + np.uint64(x)] = total / weight if weight != zero else zero
            else:
                for x in range(x1 - x0):
                    out[a + np.uint64(x)] *= weights[b + np.uint64(x)]


def fold_range(
    start, stop, patches, ys, xs, stride, ph, pw, rows, window, confidence, inverse, normalize,
    band, channels, ones, weights, n_channels, height, width, out,
):  # fmt: skip
    """Boxes start..stop of `channels` channels by `band` rows, numbered by image, then channel, then row.

    Empty confidence means ones, and empty inverse that weights are summed here, if `normalize` asks for them.
    """
    n_y, n_x = ys.shape[0], xs.shape[0]
    n_patches = n_y * n_x
    n_bands = (height + band - 1) // band
    n_groups = (n_channels + channels - 1) // channels
    weighted = confidence.shape[0] > 0
    inverted = inverse.shape[0] > 0
    one = out.dtype.type(1)
    for item in range(start, stop):
        y0 = item % n_bands * band
        y1 = min(y0 + band, height)
        c0 = item // n_bands % n_groups * channels
        c1 = min(c0 + channels, n_channels)
        b = item // n_bands // n_groups
        out_at = b * n_channels * height * width
        clear(c0, c1, y0, y1, 0, width, out_at, height, width, out)
        patches_at = b * n_patches * n_channels * ph * pw
        if rows:
            for o in range(n_y):
                if ys[o] >= y1 or ys[o] + ph <= y0:
                    continue
                for x in range(n_x):
                    n = o * n_x + x
                    f = confidence[b * n_patches + n] if weighted else one
                    add_patch(
                        patches, patches_at + n * n_channels * ph * pw, 1, window, ph, pw, f, ys[o], xs[x],
                        c0, c1, y0, y1, 0, width, out_at, height, width, out,
                    )  # fmt: skip
        else:
            for c in range(c0, c1):
                add_columns(
                    patches, patches_at + c * ph * pw * n_patches, n_patches, n_x, window, ph, pw,
                    weighted, confidence, b * n_patches, ys, xs, stride, c, y0, y1, out_at, height, width, out,
                )  # fmt: skip
        if inverted:
            scale(inverse, width, y0 * width, False, c0, c1, y0, y1, 0, width, out_at, height, width, out)
        elif normalize:
            # As columns of ones, the same for every pixel of a patch.
            clear(0, 1, 0, y1 - y0, 0, width, 0, band, width, weights)
            add_columns(
                ones, 0, 0, 0, window, ph, pw, weighted, confidence, b * n_patches, ys, xs, stride,
                0, y0, y1, -y0 * width, 0, width, weights,
            )  # fmt: skip
            scale(weights, width, 0, True, c0, c1, y0, y1, 0, width, out_at, height, width, out)


def fold_at_range(
    start, stop, patches, corners, tile_starts, tile_patches, tile_height, tile_width, ph, pw, rows, window, confidence,
    normalize, ones, weights, n_channels, height, width, out,
):  # fmt: skip
    """Tiles start..stop, numbered by image, then row and column of tiles, of patches at corners (B or 1, L, 2)."""
    n_patches = corners.shape[1]
    size = n_channels * ph * pw
    patch_step, pixel_step = (size, 1) if rows else (1, n_patches)
    across = (width + tile_width - 1) // tile_width
    n_tiles = (height + tile_height - 1) // tile_height * across
    weighted = confidence.shape[0] > 0
    one = out.dtype.type(1)
    for item in range(start, stop):
        b = item // n_tiles
        y0, x0 = item % n_tiles // across * tile_height, item % across * tile_width
        y1, x1 = min(y0 + tile_height, height), min(x0 + tile_width, width)
        own = b if corners.shape[0] > 1 else 0
        out_at = b * n_channels * height * width
        clear(0, n_channels, y0, y1, x0, x1, out_at, height, width, out)
        clear(0, 1, 0, tile_height, 0, tile_width, 0, tile_height, tile_width, weights)
        for t in range(tile_starts[item], tile_starts[item + 1]):
            n = tile_patches[t]
            f = confidence[b * n_patches + n] if weighted else one
            # Those that are listed touch the tile: no sum with their corners overflows.
            y, x = corners[own, n, 0], corners[own, n, 1]
            add_patch(
                patches, b * n_patches * size + n * patch_step, pixel_step, window, ph, pw, f, y, x,
                0, n_channels, y0, y1, x0, x1, out_at, height, width, out,
            )  # fmt: skip
            if normalize:
                add_patch(
                    ones, 0, 0, window, ph, pw, f, y - y0, x - x0,
                    0, 1, 0, y1 - y0, 0, x1 - x0, 0, tile_height, tile_width, weights,
                )  # fmt: skip
        if normalize:
            scale(weights, tile_width, 0, True, 0, n_channels, y0, y1, x0, x1, out_at, height, width, out)
