"""`sparsefast inpaint`: a photograph with its missing pixels filled in."""

from __future__ import annotations

import argparse
import time

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.masks import random_mask
from sparsefast.images.metrics import psnr
from sparsefast.images.picture import Picture
from sparsefast.images.values import to_float
from sparsefast.images.writing import check_not_input, check_target, write
from sparsefast.restore.commands.common import (
    add_dictionary,
    add_quiet,
    comparison,
    held_to_range,
    progress_bar,
    read_dictionary,
    read_reference,
)
from sparsefast.restore.inpainting import METHODS, choose_method, inpaint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast inpaint`."""
    parser.add_argument("photo", metavar="FILE", help="a picture, grey or in colours, of any size")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--mask", metavar="FILE", help="white where a pixel is known, as `sparsefast mask` writes it; of the same size"
    )
    which.add_argument(
        "--keep", type=float, metavar="F", help="hide all but this fraction of the pixels, chosen at random by --seed"
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="auto",
        help="auto: ksvd, or rbf where too little is known around the missing pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--reference", metavar="FILE", help="the whole picture, to print the PSNR (with --keep: FILE itself)"
    )
    add_dictionary(parser)
    parser.add_argument("--out", metavar="FILE", help="the picture to write (default: FILE-inpainted.png, beside FILE)")
    common.add_seed(parser)
    common.add_force(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast inpaint`."""
    if args.keep is not None and not 0 < args.keep <= 1:
        raise ValueError(f"--keep {args.keep} must be above 0 and at most 1")
    common.check_seed(args.seed)
    if args.out is not None:
        _check_out(args.out, args)
    dictionary = read_dictionary(args.dictionary)
    picture = common.read_quietly(args.photo)
    # Of the formats with a short name only TIFF holds floating pixels.
    out = args.out or str(common.beside(args.photo, "inpainted", ".tif" if picture.bits == 32 else ".png"))
    _check_out(out, args)
    check_target(out, picture)
    known = _known(args, picture)
    reference = read_reference(args.reference, picture, args.photo)
    if reference is None and args.keep is not None:
        reference = picture

    lines = [
        *common.describe("photo", args.photo, picture),
        ("mask", f"{known.sum()} of {known.size} pixels known ({known.mean():.2%})"),
    ]
    result = picture
    if known.all():
        lines.append(("method", "none: no pixel is missing, and all stay as they are"))
    else:
        method = choose_method(known) if args.method == "auto" else args.method
        start = time.perf_counter()
        with progress_bar("inpaint", args.quiet) as progress:
            pixels = inpaint(
                picture.pixels, known, method=method, dictionary=dictionary, seed=args.seed, progress=progress
            )
        result = picture.with_pixels(held_to_range(pixels))
        lines.append(("method", f"{method}, {time.perf_counter() - start:.1f} s"))
    left_out = write(out, result)
    lines += _comparison(reference, result.pixels, known)
    common.say([*lines, *(("note", note) for note in left_out), ("written", out)])
    return 0


def _check_out(out: str, args: argparse.Namespace) -> None:
    common.check_out(out, args.photo, args.force)
    if args.mask is not None:
        check_not_input(out, args.mask)


def _known(args: argparse.Namespace, picture: Picture) -> np.ndarray:
    """The mask (H, W), True where a pixel is known."""
    if args.keep is not None:
        known = random_mask((picture.height, picture.width), args.keep, args.seed)
    else:
        mask = common.read_quietly(args.mask)
        if (mask.width, mask.height) != (picture.width, picture.height):
            raise ValueError(
                f"--mask {args.mask} is {mask.width} x {mask.height} pixels and {args.photo} {picture.width} x "
                f"{picture.height}; they must be the same"
            )
        level = to_float(mask.pixels)
        known = (level if level.ndim == 2 else level.mean(axis=2)) >= 0.5
    if not known.any():
        raise ValueError("no pixel is known: a mask is white where a pixel is known, and this one is black")
    return known


def _comparison(reference: Picture | None, pixels: np.ndarray, known: np.ndarray) -> list[tuple[str, str]]:
    """The line on the PSNR, of all pixels and of those that were missing."""
    lines = comparison(reference, None, pixels)
    if reference is None or known.all():
        return lines
    missing = psnr(to_float(reference.pixels)[~known], to_float(pixels)[~known], 1.0)
    return [(label, f"{text}, {missing:.2f} dB of the missing pixels") for label, text in lines]
