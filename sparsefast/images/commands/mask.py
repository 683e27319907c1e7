"""`sparsefast mask`: a mask for a photograph, white where the pixel is known."""

from __future__ import annotations

import argparse
import os

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.formats import format_of
from sparsefast.images.masks import KINDS, make_mask
from sparsefast.images.picture import Picture
from sparsefast.images.writing import check_target, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast mask`."""
    parser.add_argument("photo", metavar="FILE", help="a picture")
    parser.add_argument(
        "--keep", type=float, required=True, metavar="F", help="the fraction of pixels that is known, above 0 up to 1"
    )
    parser.add_argument("--kind", choices=KINDS, default="random", help="which pixels are known (default: %(default)s)")
    parser.add_argument(
        "--out", metavar="FILE", help="the mask to write, white where known (default: FILE-mask.png, beside FILE)"
    )
    parser.add_argument("--masked", metavar="FILE", help="also write the picture, black where it is not known")
    common.add_seed(parser)
    common.add_force(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast mask`."""
    if not 0 < args.keep <= 1:
        raise ValueError(f"--keep {args.keep} must be above 0 and at most 1")
    common.check_seed(args.seed)
    out = args.out if args.out is not None else str(common.beside(args.photo, "mask"))
    _check_out(out, args)
    picture = common.read_quietly(args.photo)
    known = make_mask(args.kind, (picture.height, picture.width), args.keep, args.seed)
    written = [out]
    left_out: tuple[str, ...] = ()
    mask = Picture(np.where(known, 255, 0).astype(np.uint8))
    check_target(out, mask)
    if args.masked is not None:
        visible = known if picture.pixels.ndim == 2 else known[:, :, None]
        masked = picture.with_pixels(picture.pixels * visible.astype(picture.pixels.dtype))
        check_target(args.masked, masked)
        left_out = write(args.masked, masked)
        written.append(args.masked)
    write(out, mask)
    common.say(
        [
            *common.describe("photo", args.photo, picture),
            ("mask", f"{args.kind}, {known.sum()} of {known.size} pixels known ({known.mean():.2%}), white"),
            *(("note", f"{args.masked}: {note}") for note in left_out),
            *(("written", path) for path in written),
        ]
    )
    return 0


def _check_out(out: str, args: argparse.Namespace) -> None:
    common.check_out(out, args.photo, args.force)
    if format_of(out).lossy:
        raise ValueError(f"--out {out}: {format_of(out).name} would blur the mask; write a PNG (.png)")
    if args.masked is not None:
        common.check_out(args.masked, args.photo, args.force)
        if os.path.realpath(args.masked) == os.path.realpath(out):
            raise ValueError(f"--masked {args.masked} is the file of the mask; write to another")
