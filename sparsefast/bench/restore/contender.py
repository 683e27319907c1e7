"""Us, and those who restore pictures too."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

Denoiser = Callable[[np.ndarray, float], np.ndarray]
"""A noisy picture on the scale of 0 to 255, float32, and sigma on that scale, to the picture without its noise."""
Inpainter = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A picture on the scale of 0 to 255, float32 and 0 where it is not known, and its mask, to the whole picture."""


@dataclass(frozen=True)
class Contender:
    """Somebody who restores pictures."""

    name: str
    version: str
    words: str
    """The settings, as they are printed."""
    restore: Callable[..., np.ndarray]
    ours: bool = False
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext


def within(backend: str | None) -> Callable[[], AbstractContextManager[Any]]:
    """What makes our ops run on a backend, or on the one that they choose."""
    if backend is None:
        return contextlib.nullcontext
    from sparsefast.dispatch import use_backend

    return lambda: use_backend(backend)
