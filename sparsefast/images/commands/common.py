"""What the commands on photographs have in common: where they write, and what they print."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from sparsefast.images.picture import Picture
from sparsefast.images.writing import check_not_input, check_target


def add_force(parser: argparse.ArgumentParser) -> None:
    """The argument that lets a command write over the photograph it read."""
    parser.add_argument("--force", action="store_true", help="write even over the photograph itself")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The argument that makes random numbers others."""
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed gives other random numbers (default: 0)"
    )


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed that NumPy does not take."""
    if seed < 0:
        raise ValueError(f"--seed {seed} must be at least 0")


def beside(photo: str, what: str, suffix: str = ".png") -> Path:
    """The default name of what a command makes of a photograph: next to it, photo.jpg to photo-WHAT.png."""
    path = Path(photo)
    return path.with_name(f"{path.stem}-{what}{suffix}")


def check_out(out: str | os.PathLike[str], photo: str, force: bool) -> None:
    """Raise ValueError, before any work is done, if a command may or can not write there."""
    check_target(out)
    if not force:
        check_not_input(out, photo, unless=" or pass --force")


def say(lines: Iterable[tuple[str, str]]) -> None:
    """Print a label and a text a line."""
    for label, text in lines:
        print(f"{label:<10} {text}")


def describe(label: str, path: str, picture: Picture) -> list[tuple[str, str]]:
    """The lines that say which picture was read, and what of its file was not."""
    return [(label, f"{path}, {picture}"), *(("note", f"{path}: {note}") for note in picture.notes)]
