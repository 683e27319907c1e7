"""The Triton kernels as tests call any others: NumPy arrays in and out. Import it with TRITON_INTERPRET=1."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sparsefast.kernels.patch_grid import TileLists
from sparsefast.kernels.triton import fold, nearest_code, pursuit_blocks, pursuit_tile, topk, unfold
from tests.kernels.helper import Kernel


def tensor(a: Any) -> Any:
    """An array as a tensor that shares its memory, where PyTorch can."""
    if isinstance(a, TileLists):
        return a._replace(starts=tensor(a.starts), patches=tensor(a.patches))
    if not isinstance(a, np.ndarray):
        return a
    return torch.from_numpy(a if a.flags.writeable and min(a.strides, default=0) >= 0 else a.copy())


def called(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns for arrays as tensors; bfloat16 is int16 in arrays, and a dtype of tensors."""
    given = [tensor(a) for a in args]
    if any(isinstance(a, str) and a == "bfloat16" for a in args):
        given[0], given[-2] = given[0].view(torch.bfloat16), given[-2].view(torch.bfloat16)
    return function(*given)


class Module:
    """A module of the backend that takes arrays for tensors."""

    def __init__(self, name: str) -> None:
        self.module = importlib.import_module(f"sparsefast.kernels.triton.{name}")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.module, name)
        return functools.partial(called, found) if callable(found) else found


@dataclass(frozen=True)
class TritonKernel(Kernel):
    """One function of the backend, on the path "tile" (what is chosen by itself) or "blocks" (as for any size: small
    blocks of atoms, short lists, one program that codes tile after tile)."""

    path: str = "tile"

    def __str__(self) -> str:
        return f"{self.name}-{self.path}"

    def named(self, name: str) -> Kernel:
        return TritonKernel("triton", name=name, path=self.path)

    @property
    def module(self) -> Any:
        return Module(self.name)


@contextlib.contextmanager
def limits(path: str) -> Iterator[None]:
    """Sizes at which the kernels of `path` run."""
    if path == "tile":
        yield
        return
    small = {
        (pursuit_tile, "MOST_NONZEROS"): 0,
        (pursuit_blocks, "MOST_ATOMS"): 32,
        (pursuit_blocks, "WORKSPACE_BYTES"): 1,
        (topk, "MOST_ATOMS"): 16,
        (topk, "LONGEST_LIST"): 4,
        (nearest_code, "MOST_ATOMS"): 32,
        (unfold, "LANES"): 32,
        (unfold, "RUN"): 2,
        (fold, "PIXELS"): 16,
        (fold, "CHANNELS"): 2,
    }
    kept = {(module, name): getattr(module, name) for module, name in small}
    for (module, name), value in small.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name), value in kept.items():
            setattr(module, name, value)
