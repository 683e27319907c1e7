"""Checkpoints, to go on from, and weights, to work with: files without code in them, there whole or not at all."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sparsefast.files import replace_file
from sparsefast.tensor_files import load_arrays, save_arrays

# What a checkpoint says about itself, under this key of its dict.
ABOUT = "sparsefast"
VERSION = 1
WEIGHTS = "weights"


class WholeFiles(TorchCheckpointIO):
    """Lightning's checkpoints, each written beside the one it replaces, and read without running what they hold."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, buffer.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(path)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dict of a checkpoint of a run, on the CPU.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or holds objects other than tensors and plain containers.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        raw = io.BytesIO(file.read())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file that is refused below
            found = torch.load(raw, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file it can be any
        unsafe = "Unsupported global" in str(error) or "Weights only load failed" in str(error)
        why = "holds objects that are not tensors, and was not loaded" if unsafe else "is damaged, or no checkpoint"
        raise ValueError(f"{path} {why}: give a checkpoint that sparsefast train wrote") from None
    about = found.get(ABOUT) if isinstance(found, dict) else None
    if not isinstance(about, dict) or "config" not in about:
        raise ValueError(f"{path} is not a checkpoint of sparsefast train")
    if about.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {about.get('version')} of these checkpoints; this program reads {VERSION}"
        )
    return found


def save_weights(path: str | os.PathLike[str], task: Any, about: dict[str, Any]) -> None:
    """Write the weights and buffers of a task as they are now, with the configuration that they belong to.

    A safetensors file, by its header a sparsefast.weights.
    """
    arrays = {name: x.detach().float().cpu().numpy() if x.dtype == torch.bfloat16 else x.detach().cpu().numpy()
              for name, x in task.state_dict().items()}  # fmt: skip
    save_arrays(path, WEIGHTS, VERSION, arrays, about)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The state dict of a file of `save_weights`, and what is said about it: "config", "step", "metrics".

    Raises
    ------
    ValueError
        If it is no such file.
    OSError
        If it cannot be read.
    """
    arrays, about = load_arrays(path, WEIGHTS, VERSION)
    return {name: torch.from_numpy(x.copy()) for name, x in arrays.items()}, about


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The file to take weights from: that of a run's folder, or the file itself.

    Raises
    ------
    ValueError
        If it is a folder without weights.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "weights.safetensors"
        if not path.exists():
            raise ValueError(f"{path.parent} holds no weights.safetensors: it is no run, or has no checkpoint yet")
    return path


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights that are evaluated, the averaged ones, of a file of `save_weights` or a checkpoint (`.ckpt`), and
    what is said about them: "config", "image_shape", "step".

    Raises
    ------
    ValueError
        If it is no such file.
    OSError
        If it cannot be read.
    """
    if Path(path).suffix != ".ckpt":
        return load_weights(path)
    checkpoint = read_checkpoint(path)
    weights = dict(checkpoint["state_dict"])
    for name, state in checkpoint["callbacks"].items():
        if name.startswith("WeightAverage"):
            weights |= {key: average.to(weights[key].dtype) for key, average in state["averages"].items()}
    return weights, checkpoint[ABOUT]


def put_weights(task: Any, weights: dict[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Give a task weights that were loaded from `path`.

    Raises
    ------
    ValueError
        If they are of another model, naming the first difference.
    """
    own = task.state_dict()
    for name, x in own.items():
        if name not in weights:
            raise ValueError(f"{path} is of another model: it has no {name}")
        if x.shape != weights[name].shape:
            raise ValueError(
                f"{path} is of another model: {name} has shape {tuple(weights[name].shape)}, not {tuple(x.shape)}"
            )
    if more := sorted(set(weights) - set(own)):
        raise ValueError(f"{path} is of another model: it has {more[0]}, which this one lacks")
    task.load_state_dict(weights)
