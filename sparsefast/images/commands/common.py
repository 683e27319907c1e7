"""What the commands on photographs have in common: how they read, where they write, and what they print."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sparsefast.images.picture import Picture
from sparsefast.images.reading import read
from sparsefast.images.writing import check_not_input, check_target


def read_quietly(path: str) -> Picture:
    """`read`, without what libtiff says of a file on its way; what stops it is raised."""
    with _no_stderr():
        return read(path)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """The descriptor itself leads nowhere: libraries in C write to it past Python. It is one for all threads."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
    # The name of a file can have letters that the terminal's encoding lacks; its picture is written by now.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for label, text in lines:
        print(f"{label:<10} {text}".encode(encoding, "backslashreplace").decode(encoding))


def describe(label: str, path: str, picture: Picture) -> list[tuple[str, str]]:
    """The lines that say which picture was read, and what of its file was not."""
    return [(label, f"{path}, {picture}"), *(("note", f"{path}: {note}") for note in picture.notes)]
