"""The processes of a run: which one this is, and how they come together."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch

# Of one process in a collective for the others. Evaluation and checkpoints keep nobody waiting that long.
_PATIENCE = datetime.timedelta(minutes=30)


def is_group() -> bool:
    """Whether this process was started as one of several, by torchrun or by `train.devices`."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def rank() -> int:
    """The number of this process among those of the run, from 0."""
    return int(os.environ["RANK"]) if is_group() else 0


def size() -> int:
    """How many processes the run has."""
    return int(os.environ["WORLD_SIZE"]) if is_group() else 1


def local_size() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", size())) if is_group() else 1


def device(accelerator: str) -> torch.device:
    """Where this process computes.

    Raises
    ------
    ValueError
        If CUDA is asked for and does not work.
    """
    works = torch.cuda.is_available()
    if accelerator == "cuda" and not works:
        raise ValueError("train.accelerator=cuda, but PyTorch finds no CUDA device that works")
    if accelerator == "cpu" or not works:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if is_group() else torch.cuda.current_device())


@contextlib.contextmanager
def joined(where: torch.device) -> Iterator[None]:
    """The process group of the run, inside the block: NCCL between GPUs, gloo between CPUs."""
    if not is_group() or torch.distributed.is_initialized():
        yield
        return
    if where.type == "cuda":
        torch.cuda.set_device(where)
    torch.distributed.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def agreed(value: Any) -> Any:
    """What process 0 has, in all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def all_of(value: Any) -> list[Any]:
    """What each process has, by rank, in all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found
