"""What the kernels in C++ share (csrc/cpu), behind the interface of all backends.

The extension packs the dictionary, keeps a workspace for each calling thread, holds small work on one thread, and
looks for Ctrl-C between the pieces of a long call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefast import _native

if _native.module is None:
    raise ImportError(_native.why_not)
extension: Any = _native.module


def layout_key() -> str:
    """The instruction set in use: a layout packed for one is not used by another."""
    return extension.isa()


def prepare_gram(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Any:
    """Pack a dictionary (n_atoms, n_features), with its Gram matrix (n_atoms, n_atoms) or None; copies both."""
    return extension.OmpDictionary(dictionary, gram, n_threads)


def prepare_atoms(dictionary: np.ndarray, gram: np.ndarray | None, n_threads: int) -> Any:
    """Pack a dictionary (n_atoms, n_features) alone; `gram` is not needed."""
    return extension.OmpDictionary(dictionary, None, n_threads, with_gram=False)
