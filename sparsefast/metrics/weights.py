"""The network weights of LPIPS and FID: which files, where they are looked for, and what a run says without them.

Nothing is downloaded. A file is believed by its contents: the eight hexadecimal digits that end its name begin its
SHA-256 (the convention of torch.hub), so that no other network's distance goes by the name of lpips or fid.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

VARIABLE = "SPARSEFAST_WEIGHTS"


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights."""

    name: str
    url: str
    network: str  # what it is called by those who use it

    @property
    def digest(self) -> str:
        """The first eight hexadecimal digits of its SHA-256."""
        return Path(self.name).stem.rsplit("-", 1)[-1]


# By metric, the best first. The linear heads of LPIPS come with torchmetrics. The last file is the one before it, under
# the name that pytorch-fid gives it.
FILES: dict[str, tuple[WeightFile, ...]] = {
    "lpips": (
        WeightFile("alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "alex"),
        WeightFile("vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", "vgg"),
    ),
    "fid": (
        WeightFile(
            "weights-inception-2015-12-05-6726825d.pth",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            "inception",
        ),
        WeightFile(
            "pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            "inception",
        ),
    ),
}
# The modules that hold the networks, and what pip calls them.
PACKAGES = {"lpips": ("torchvision", "torchvision"), "fid": ("torch_fidelity", "torch-fidelity")}


@dataclass(frozen=True)
class Weights:
    """The files found, None where there is none."""

    lpips: Path | None = None
    fid: Path | None = None


def find_weights(folder: str | os.PathLike[str] | None = None) -> Weights:
    """Look for the files by name: in `folder`, then in $SPARSEFAST_WEIGHTS, then in the cache of torch.hub.

    Parameters
    ----------
    folder : path or None
        What the key `train.weights` says. A file that is not in it is looked for in the other two places.

    Raises
    ------
    ValueError
        If `folder` or $SPARSEFAST_WEIGHTS is set and is no folder.
    """
    places = []
    for origin, place in (("train.weights", folder), (VARIABLE, os.environ.get(VARIABLE))):
        if place:
            if not Path(place).is_dir():
                raise ValueError(f"{origin}={os.fspath(place)!r} must be a folder that exists")
            places.append(Path(place))
    places.append(_cache())
    found = {
        metric: next((place / file.name for place in places for file in files if (place / file.name).is_file()), None)
        for metric, files in FILES.items()
    }
    return Weights(**found)


def left_out(names: Sequence[str], weights: Weights) -> tuple[str, ...]:
    """Those of the metrics `names` that cannot be had, for want of a file or of a package."""
    return tuple(
        name for name in names if name in FILES and (not _installed(name) or getattr(weights, name, None) is None)
    )


def missing_note(names: Sequence[str], weights: Weights) -> str | None:
    """One line for a run that goes on without some of the metrics `names`: which, and what to put where.

    None if none is left out.
    """
    parts = []
    without = left_out(names, weights)
    for name in without:
        if not _installed(name):
            parts.append(f"{name} is left out: {PACKAGES[name][1]} is not installed (pip install {PACKAGES[name][1]})")
    if files := {name: FILES[name][0] for name in without if _installed(name)}:
        wanted = " and ".join(f"{file.name} ({file.url})" for file in files.values())
        parts.append(
            f"{' and '.join(files)} {'is' if len(files) == 1 else 'are'} left out for want of network weights: "
            f"put {wanted} into the folder that train.weights or {VARIABLE} names, or into {_cache()}"
        )
    return "; ".join(parts) or None


_said: set[str] = set()


def note_missing(names: Sequence[str], weights: Weights, say: Callable[[str], object] = print) -> None:
    """Say `missing_note`, once in a process however many metrics are made."""
    note = missing_note(names, weights)
    if note is not None and note not in _said:
        _said.add(note)
        say(note)


def file_of(metric: str, path: Path) -> WeightFile:
    """Which of the published files of a metric a path is.

    Raises
    ------
    ValueError
        If its name is none of theirs.
    """
    for file in FILES[metric]:
        if file.name == path.name:
            return file
    raise ValueError(f"{metric}: {path} must be named {' or '.join(file.name for file in FILES[metric])}")


def read_weights(metric: str, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a published file by name, on the CPU; nothing in the file is run.

    Raises
    ------
    ValueError
        If its contents are not those published, or anything but named tensors, with the path.
    OSError
        If it cannot be read.
    """
    import torch

    file = file_of(metric, path)
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(file.digest):
        raise ValueError(
            f"{metric}: {path} is damaged or another file: its SHA-256 begins with {digest[:8]}, not {file.digest}; "
            f"get it again from {file.url}"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # Whatever a pickle can go wrong with: torch raises many kinds.
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise ValueError(f"{metric}: {path} cannot be read as weights: {text}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{metric}: {path} must hold tensors by name, not {type(state).__name__}")
    return dict(state)


def _installed(metric: str) -> bool:
    return importlib.util.find_spec(PACKAGES[metric][0]) is not None


def _cache() -> Path:
    import torch

    return Path(torch.hub.get_dir(), "checkpoints")
