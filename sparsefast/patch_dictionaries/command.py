"""`sparsefast learn-dictionary`: a dictionary of the patches of photographs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sparsefast.images.commands import common
from sparsefast.images.picture import Picture
from sparsefast.images.writing import check_target, write
from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary
from sparsefast.patch_dictionaries.sampling import sample_patches
from sparsefast.patch_dictionaries.sheet import atom_sheet


class Told(NamedTuple):
    """What all processes together learned from, and the root mean square error of a pixel, in grey levels of 256."""

    patches: int
    pictures: int
    error: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast learn-dictionary`."""
    parser.add_argument("photos", nargs="+", metavar="FOLDER", help="folders of pictures, or pictures")
    parser.add_argument("--out", metavar="FILE", default="dictionary.safetensors", help="(default: %(default)s)")
    parser.add_argument("--sheet", metavar="FILE", help="a picture of the atoms (default: beside the dictionary, .png)")
    parser.add_argument("--atoms", type=int, default=256, metavar="K", help="how many (default: %(default)s)")
    parser.add_argument("--patch", type=int, default=8, metavar="P", help="height and width in pixels (default: 8)")
    parser.add_argument("--n-nonzero", type=int, default=8, metavar="S", help="the most atoms for a patch (default: 8)")
    parser.add_argument("--patches", type=int, default=200_000, metavar="N", help="of all pictures (default: 200000)")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="times that all are seen (default: 5)")
    parser.add_argument("--batch", type=int, default=512, metavar="N", help="patches of a step (default: 512)")
    parser.add_argument("--grey", action="store_true", help="learn from grey values, also where there is colour")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    common.add_seed(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast learn-dictionary`; under torchrun each process reads its part of the photographs."""
    common.check_seed(args.seed)
    for name in ("atoms", "patch", "n_nonzero", "patches", "epochs", "batch"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)} must be at least 1")
    if args.n_nonzero > args.atoms:
        raise ValueError(f"--n-nonzero {args.n_nonzero} must be at most --atoms {args.atoms}")
    sheet = args.sheet if args.sheet is not None else str(Path(args.out).with_suffix(".png"))
    check_target(sheet)
    _check_out(args.out, sheet)
    files = _files(args.photos)
    with _processes() as (rank, size, group):
        patches, n_pictures, notes = _patches(files, args, rank, size, group)
        dictionary, told = _learn(patches, n_pictures, args, rank, group)
        if rank == 0:
            dictionary.save(args.out)
            write(sheet, Picture(atom_sheet(dictionary)))
            common.say(
                [
                    *(("note", note) for note in notes),
                    ("patches", f"{told.patches} of {told.pictures} pictures, {args.patch} x {args.patch} pixels"),
                    ("dictionary", f"{dictionary!r}"),
                    ("error", f"{told.error:.2f} of 256 grey levels, with {args.n_nonzero} atoms a patch"),
                    ("written", args.out),
                    ("written", sheet),
                ]
            )
    return 0


def _check_out(out: str, sheet: str) -> None:
    path = Path(out)
    if not path.parent.is_dir():
        raise ValueError(f"--out {out}: {path.parent} is not a folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"--out {out} is not a file")
    if os.path.realpath(out) == os.path.realpath(sheet):
        raise ValueError(f"--out {out} is the file of the sheet; give the dictionary another name, as .safetensors")


def _files(photos: list[str]) -> list[Path]:
    """The files in the folders, and those that are named, in the order of their names."""
    files: list[Path] = []
    for name in photos:
        path = Path(name)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
            if not found:
                raise ValueError(f"{name} holds no files")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"{name} is neither a folder nor a file")
    return files


def _patches(
    files: list[Path], args: argparse.Namespace, rank: int, size: int, group: Any
) -> tuple[np.ndarray, int, list[str]]:
    """The patches of this process's part of the files, of how many pictures, and what was not read.

    The parts follow each other, so that all together have the patches that one process would have.
    """
    from tqdm.auto import tqdm

    share = -(-args.patches // len(files))
    mine = np.array_split(np.arange(len(files)), size)[rank]
    parts: list[np.ndarray] = []
    notes: list[str] = []
    for i in tqdm(mine, desc="reading", unit="picture", disable=True if args.quiet or rank else None, leave=False):
        try:
            pixels = common.read_quietly(str(files[i])).pixels
        except (ValueError, ImportError) as error:  # no picture, or one of a kind that is not read
            if str(files[i]) in args.photos:
                raise
            notes.append(f"left out: {error}")
            continue
        if args.grey and pixels.ndim == 3:
            pixels = (pixels @ np.array([0.299, 0.587, 0.114]) / np.iinfo(pixels.dtype).max).astype(np.float32)
        if min(pixels.shape[:2]) < args.patch:
            notes.append(f"left out: {files[i]} is smaller than a patch")
            continue
        parts.append(sample_patches(pixels, args.patch, share, np.random.default_rng([args.seed, int(i)])))
    wide = max((part.shape[1] for part in parts), default=0)
    wide = int(_largest(wide, group))
    if wide == 0:
        raise ValueError(f"{', '.join(args.photos)}: no picture of at least {args.patch} x {args.patch} pixels")
    # A grey picture among coloured ones has its value in every channel.
    parts = [part if part.shape[1] == wide else np.tile(part, (1, wide // part.shape[1])) for part in parts]
    return np.concatenate([np.empty((0, wide), np.float32), *parts]), len(parts), notes


def _learn(
    patches: np.ndarray, n_pictures: int, args: argparse.Namespace, rank: int, group: Any
) -> tuple[PatchDictionary, Told]:
    from sparsefast.estimators.online import OnlineDictionaryLearning
    from sparsefast.estimators.processes import processes_of
    from sparsefast.ops.omp import omp

    _, n_patches = processes_of("learn-dictionary", group).before_and_all(len(patches))
    if args.atoms > n_patches:
        raise ValueError(
            f"--atoms {args.atoms} is above the number of patches, {n_patches}; pass fewer atoms, or more --patches or "
            "pictures"
        )
    learner = OnlineDictionaryLearning(
        args.atoms,
        n_nonzero=args.n_nonzero,
        max_iter=args.epochs,
        batch_size=args.batch,
        random_state=args.seed,
        process_group=group,
        verbose=not args.quiet and rank == 0 and sys.stderr is not None and sys.stderr.isatty(),
    ).fit(patches)
    atoms = learner.components_ / np.linalg.norm(learner.components_, axis=1, keepdims=True)
    code = omp(patches, atoms, args.n_nonzero)
    difference = patches - code.decode(atoms)
    in_use = np.arange(code.n_nonzero) < code.counts[:, None]
    usage = np.bincount(code.indices[in_use], minlength=args.atoms).astype(np.float64)
    squares_of_each = np.einsum("nf,nf->n", difference, difference).astype(np.float64)
    sums = np.array([len(patches), n_pictures, squares_of_each.sum(), *usage])
    n, pictures, squares, *usage_of_all = processes_of("learn-dictionary", group).total(sums)
    error = 255 * float(np.sqrt(squares / (n * patches.shape[1])))
    return PatchDictionary(atoms, args.patch, np.array(usage_of_all)), Told(int(n), int(pictures), error)


@contextlib.contextmanager
def _processes() -> Iterator[tuple[int, int, Any]]:
    """Rank, how many there are, and the group: under torchrun those that it started, else this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1, None
        return
    import torch.distributed as distributed

    distributed.init_process_group("gloo")
    try:
        yield distributed.get_rank(), distributed.get_world_size(), "world"
    finally:
        distributed.destroy_process_group()


def _largest(x: float, group: Any) -> float:
    """The largest of a number in all processes."""
    from sparsefast.estimators.processes import processes_of

    return float(processes_of("learn-dictionary", group).gathered(np.array([[x]])).max())
