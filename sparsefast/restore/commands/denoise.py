"""`sparsefast denoise`: a photograph without its noise."""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.commands.noise import MAX_SIGMA
from sparsefast.images.noise import estimate_noise
from sparsefast.images.picture import Picture
from sparsefast.images.writing import check_target, write
from sparsefast.restore.commands.common import (
    add_dictionary,
    add_quiet,
    comparison,
    held_to_range,
    progress_bar,
    read_dictionary,
    read_reference,
)
from sparsefast.restore.denoising import LEAST_NOISE, METHODS, denoise, noise_level


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast denoise`."""
    parser.add_argument("photo", metavar="FILE", help="a picture, grey or in colours, of any size")
    parser.add_argument("--method", choices=METHODS, default="ksvd", help="(default: %(default)s)")
    parser.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="the standard deviation of the noise, on the scale from 0 to 255 whatever the depth of the picture "
        "(default: estimated)",
    )
    parser.add_argument(
        "--no-refine", action="store_true", help="patches one by one, not in groups: faster, and less is taken out"
    )
    parser.add_argument("--reference", metavar="FILE", help="the picture without noise, to print the PSNR")
    add_dictionary(parser)
    parser.add_argument("--out", metavar="FILE", help="the picture to write (default: FILE-denoised.png, beside FILE)")
    common.add_seed(parser)
    common.add_force(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast denoise`."""
    if args.sigma is not None and not 0 <= args.sigma <= MAX_SIGMA:
        raise ValueError(f"--sigma {args.sigma} must be 0 to {MAX_SIGMA:g}")
    common.check_seed(args.seed)
    if args.out is not None:
        common.check_out(args.out, args.photo, args.force)
    dictionary = read_dictionary(args.dictionary)
    picture = common.read_quietly(args.photo)
    # Of the formats with a short name only TIFF holds floating pixels.
    out = args.out or str(common.beside(args.photo, "denoised", ".tif" if picture.bits == 32 else ".png"))
    common.check_out(out, args.photo, args.force)
    check_target(out, picture)
    reference = read_reference(args.reference, picture, args.photo)

    levels, said = _noise(picture, args.sigma)
    lines = [*common.describe("photo", args.photo, picture), said]
    result = picture
    if np.any(levels > 0):
        start = time.perf_counter()
        with progress_bar("denoise", args.quiet) as progress:
            pixels = denoise(
                picture.pixels,
                levels,
                method=args.method,
                dictionary=dictionary,
                refine=not args.no_refine,
                seed=args.seed,
                progress=progress,
            )
        result = picture.with_pixels(held_to_range(pixels))
        lines.append(("method", f"{args.method}, {time.perf_counter() - start:.1f} s"))
    left_out = write(out, result)
    lines += comparison(reference, picture, result.pixels)
    common.say([*lines, *(("note", note) for note in left_out), ("written", out)])
    return 0


def _noise(picture: Picture, sigma: float | None) -> tuple[np.ndarray, tuple[str, str]]:
    """The noise to be taken out, on the scale of the pixels, and the line that says so."""
    unit = picture.full_scale / 255
    if sigma is not None:
        words = f"sigma {sigma:g} of 255" if sigma > 0 else "sigma 0: the pixels stay as they are"
        return np.asarray(sigma * unit), ("noise", words)
    levels = noise_level(picture.pixels)
    found = np.atleast_1d(np.nan_to_num(estimate_noise(picture.pixels))) / unit
    if not np.any(levels > 0):
        overall = math.sqrt(float(np.mean(found**2)))
        words = f"sigma {overall:.1f} of 255 by estimate, below {255 * LEAST_NOISE:g}: the pixels stay as they are"
        return levels, ("noise", words)
    return levels, ("noise", f"sigma {', '.join(f'{level:.1f}' for level in found)} of 255 by estimate")
