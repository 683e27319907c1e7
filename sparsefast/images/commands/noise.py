"""`sparsefast noise`: a photograph with Gaussian noise added."""

from __future__ import annotations

import argparse
import math

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.noise import add_noise, estimate_noise
from sparsefast.images.picture import Picture
from sparsefast.images.writing import check_target, write

# Nothing is left of a picture long before.
MAX_SIGMA = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast noise`."""
    parser.add_argument("photo", metavar="FILE", help="a picture")
    parser.add_argument(
        "--sigma",
        type=float,
        required=True,
        metavar="S",
        help="the standard deviation of the noise, on the scale from 0 to 255 whatever the depth of the picture",
    )
    parser.add_argument("--out", metavar="FILE", help="the picture to write (default: FILE-noisy.png, beside FILE)")
    common.add_seed(parser)
    common.add_force(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast noise`."""
    if not 0 <= args.sigma <= MAX_SIGMA:
        raise ValueError(f"--sigma {args.sigma} must be 0 to {MAX_SIGMA:g}")
    common.check_seed(args.seed)
    if args.out is not None:
        common.check_out(args.out, args.photo, args.force)
    picture = common.read_quietly(args.photo)
    # Of the formats with a short name only TIFF holds floating pixels.
    out = args.out or common.beside(args.photo, "noisy", ".tif" if picture.bits == 32 else ".png")
    common.check_out(out, args.photo, args.force)
    check_target(out, picture)
    noisy = picture.with_pixels(add_noise(picture.pixels, args.sigma / 255 * picture.full_scale, args.seed))
    left_out = write(out, noisy)
    common.say(
        [
            *common.describe("photo", args.photo, picture),
            ("noise", f"sigma {args.sigma:g} of 255, Gaussian, clipped, seed {args.seed}"),
            *_estimates(picture, noisy),
            *(("note", note) for note in left_out),
            ("written", str(out)),
        ]
    )
    return 0


def _estimates(before: Picture, after: Picture) -> list[tuple[str, str]]:
    """The line on what can be measured of the noise; none for a single pixel, of which nothing can be."""
    sigmas = [np.mean(estimate_noise(p.pixels)) / p.full_scale * 255 for p in (before, after)]
    if math.isnan(sigmas[0]):
        return []
    return [("estimate", f"sigma {sigmas[0]:.1f} before and {sigmas[1]:.1f} after, of 255")]
