"""What the two commands have in common: a progress bar, and how far the result is from the truth."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.metrics import psnr
from sparsefast.images.picture import Picture
from sparsefast.images.values import to_float
from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary


def add_dictionary(parser: argparse.ArgumentParser) -> None:
    """The argument that names a dictionary to start from."""
    parser.add_argument(
        "--dictionary",
        metavar="FILE",
        help="start from what `sparsefast learn-dictionary` made (default: photographs in general)",
    )


def read_dictionary(path: str | None) -> PatchDictionary | None:
    """The dictionary in a file, if one is named."""
    return None if path is None else PatchDictionary.load(path)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The argument that leaves out the progress bar."""
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


@contextlib.contextmanager
def progress_bar(words: str, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """What to call with the share of the work that is done; None where there is no terminal to show it on."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed} of about {remaining} more"
    with tqdm(total=1.0, desc=words, bar_format=form, file=sys.stderr, leave=False) as bar:
        yield lambda done: bar.update(done - bar.n) and None


def read_reference(path: str | None, picture: Picture, photo: str) -> Picture | None:
    """The picture that the result is compared with, if there is one.

    Raises
    ------
    ValueError
        If it has another size or other colours than the photograph.
    """
    if path is None:
        return None
    reference = common.read_quietly(path)
    if (reference.width, reference.height) != (picture.width, picture.height):
        raise ValueError(
            f"--reference {path} is {reference.width} x {reference.height} pixels and {photo} {picture.width} x "
            f"{picture.height}; they must be the same"
        )
    if reference.pixels.ndim != picture.pixels.ndim:
        raise ValueError(f"--reference {path} is {reference} and {photo} is {picture}; their channels must be the same")
    return reference


def comparison(reference: Picture | None, before: Picture | None, after: np.ndarray) -> list[tuple[str, str]]:
    """The line that says how far the pixels are from the reference, before and after; none without a reference."""
    if reference is None:
        return []
    truth = to_float(reference.pixels)
    text = f"{psnr(truth, to_float(after), 1.0):.2f} dB"
    if before is not None:
        text = f"{psnr(truth, to_float(before.pixels), 1.0):.2f} dB before and {text} after"
    return [("PSNR", text)]


def held_to_range(pixels: np.ndarray) -> np.ndarray:
    """Floating pixels as a file holds them, 0 to 1; others as they are."""
    return np.clip(pixels, 0, 1) if pixels.dtype.kind == "f" else pixels
