"""Patches of images on a range of them: the serial functions that Numba compiles.

    patch_l(c, i, j) = image(c, y_l + i, x_l + j), 0 outside of the image

On a grid, rows of an image are first copied to a small buffer, whatever their strides, with zeros where they leave the
image. From there, columns (C * ph * pw, L) take one contiguous run for each (c, i, j) and row of the grid, and rows
(L, C * ph * pw) one for each patch, c and i. Patches at corners of their own are read from the image itself.

Elements are bits of 1, 2, 4 or 8 bytes; the rules are those of sparsefast.kernels.reference.unfold.
"""
# Numba infers the types of these functions from those that the callers of `compile_range` declare.
# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from sparsefast.kernels.numba.compiler import compiled

# Patches at corners, as columns, are written this many at a time: whole cache lines, from patches that stay in cache.
BLOCK = 64


@compiled
def load(images, b, c, first, n_rows, width, buffer, at):
    """Rows first.. of one channel to buffer[at..], `width` pixels each; 0 outside of the image."""
    zero = buffer.dtype.type(0)
    inside = min(width, images.shape[3])
    for r in range(n_rows):
        row = np.uint64(at + r * width)
        y = first + r
        n = inside if y < images.shape[2] else 0
        for x in range(n):
            buffer[row + np.uint64(x)] = images[b, c, y, x]
        for x in range(n, width):
            buffer[row + np.uint64(x)] = zero


@compiled
def copy(source, source_at, out, out_at, n):
    """out[out_at..] = source[source_at..], n elements."""
    i, j = np.uint64(source_at), np.uint64(out_at)
    for k in range(n):
        out[j + np.uint64(k)] = source[i + np.uint64(k)]


def unfold_range(start, stop, images, ys, xs, stride, ph, pw, rows, band, buffer, out):
    """Bands start..stop of `band` rows of the grid, numbered by image, then (unless `rows`) channel, then row.

    ys and xs say where the rows and columns of the grid begin; the columns lie `stride` apart, but for the last.
    """
    n_channels = images.shape[1]
    n_y, n_x = ys.shape[0], xs.shape[0]
    width = xs[n_x - 1] + pw
    n_bands = (n_y + band - 1) // band
    regular = n_x if xs[n_x - 1] == (n_x - 1) * stride else n_x - 1
    n_loaded = n_channels if rows else 1
    for item in range(start, stop):
        top = item % n_bands * band
        end = min(top + band, n_y)
        b, c0 = item // n_bands, 0
        if not rows:
            b, c0 = b // n_channels, b % n_channels
        n_rows = ys[end - 1] + ph - ys[top]
        for c in range(n_loaded):
            load(images, b, c0 + c, ys[top], n_rows, width, buffer, c * n_rows * width)
        if rows:
            at = ((b * n_y + top) * n_x) * n_channels * ph * pw
            for o in range(top, end):
                for x in range(n_x):
                    for c in range(n_channels):
                        row = (c * n_rows + ys[o] - ys[top]) * width + xs[x]
                        for _ in range(ph):
                            copy(buffer, row, out, at, pw)
                            row += width
                            at += pw
            continue
        for k in range(ph * pw):
            i, j = k // pw, k % pw
            at = (((b * n_channels + c0) * ph * pw + k) * n_y + top) * n_x
            for o in range(top, end):
                row = (ys[o] - ys[top] + i) * width + j
                if stride == 1:
                    copy(buffer, row, out, at, n_x)
                else:
                    to, from_ = np.uint64(at), np.uint64(row)
                    for x in range(regular):
                        out[to + np.uint64(x)] = buffer[from_ + np.uint64(x * stride)]
                    if regular < n_x:
                        out[at + n_x - 1] = buffer[row + xs[n_x - 1]]
                at += n_x


def unfold_at_range(start, stop, images, corners, n_patches, ph, pw, rows, out):
    """Blocks start..stop of BLOCK patches at corners (B or 1, L, 2), numbered by image, then patch."""
    n_channels, height, width = images.shape[1:]
    n_blocks = (n_patches + BLOCK - 1) // BLOCK
    size = n_channels * ph * pw
    # From one patch to the next, and from one of its pixels to the next.
    patch_step, pixel_step = (size, 1) if rows else (1, n_patches)
    zero = out.dtype.type(0)
    for item in range(start, stop):
        b = item // n_blocks
        first = item % n_blocks * BLOCK
        n = min(BLOCK, n_patches - first)
        own = b if corners.shape[0] > 1 else 0
        at = b * n_patches * size + first * patch_step
        # By patches or by pixels, whichever lies together in the output.
        for outer in range(n if rows else n_channels * ph):
            for inner in range(n_channels * ph if rows else n):
                p, k = (outer, inner) if rows else (inner, outer)
                c, i = k // ph, k % ph
                # Held to where the patch just misses the image: sums cannot overflow.
                y = min(max(corners[own, first + p, 0], -ph), height) + i
                x = min(max(corners[own, first + p, 1], -pw), width)
                to = at + p * patch_step + k * pw * pixel_step
                # Pixels left..right of this row of the patch lie in the image.
                left, right = max(0, -x), max(0, min(pw, width - x))
                if y < 0 or y >= height:
                    left, right = pw, pw
                for j in range(left):
                    out[np.uint64(to + j * pixel_step)] = zero
                for j in range(left, right):
                    out[np.uint64(to + j * pixel_step)] = images[b, c, y, np.uint64(x + j)]
                for j in range(right, pw):
                    out[np.uint64(to + j * pixel_step)] = zero
