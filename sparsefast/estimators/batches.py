"""The signals that an estimator learns from: arrays, tensors, memory-mapped files, and whatever yields batches."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

Array = Any
DTYPES = [np.float64, np.float32]


def is_tensor(x: object) -> bool:
    """Whether x is a PyTorch tensor, told without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def yields_batches(x: object) -> bool:
    """Whether x is a function or an iterable of batches, rather than all signals at once."""
    if callable(x):
        return True
    if is_tensor(x) or hasattr(x, "__array__") or hasattr(x, "shape"):
        return False
    if isinstance(x, (list, tuple)):  # of numbers, which scikit-learn takes for an array, or of batches
        return any(len(getattr(row, "shape", ())) == 2 for row in x)
    return isinstance(x, Iterable) and not isinstance(x, (str, bytes))


def host(x: Array) -> np.ndarray:
    """An array or a tensor as a NumPy array; waits for a GPU."""
    return np.asarray(x.detach().cpu() if is_tensor(x) else x)


def like(x: Array, other: Array) -> Array:
    """x as an array of the kind, device and dtype of another; the same one where it is that."""
    if not is_tensor(other):
        return host(x).astype(other.dtype, copy=False)
    import torch

    tensor = x if is_tensor(x) else torch.from_numpy(np.ascontiguousarray(x))
    return tensor.to(other.device, other.dtype)


def checked_tensor(owner: str, x: Array) -> Array:
    """A tensor (n_samples, n_features), float32 or float64 and finite; 16 bits become float32, integers float64.

    Raises
    ------
    ValueError
        If the shape is another, it is empty, or not all of it is finite.
    """
    import torch

    x = x.detach()
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{owner}: X has shape {tuple(x.shape)}; it must be (n_samples, n_features), none of them 0")
    if x.dtype not in (torch.float32, torch.float64):
        x = x.to(torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else torch.float64)
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"{owner}: X contains NaN or infinity")
    return x


def checked_batch(owner: str, x: Array, n_features: int | None) -> Array:
    """A batch as float32 or float64 (n, n_features), finite; n may be 0."""
    if np.shape(x)[:1] == (0,):
        x = x if is_tensor(x) or getattr(x, "dtype", None) in DTYPES else np.asarray(x, np.float64)
    else:
        x = checked_tensor(owner, x) if is_tensor(x) else check_array(x, dtype=DTYPES, input_name="X")
    if n_features is not None and x.ndim == 2 and x.shape[1] != n_features:
        raise ValueError(
            f"{owner}: X has {x.shape[1]} features, but {owner} is expecting {n_features} features as input"
        )
    return x


class Whole:
    """Signals that are all there, or mapped from a file: batches are rows by index.

    Parameters
    ----------
    owner : str
        Who learns, for messages.
    x : array, tensor or memory-mapped array (n_samples, n_features)
    checked : bool
        Whether all of x was looked at; what was not is, a batch at a time.
    """

    def __init__(self, owner: str, x: Array, checked: bool = True) -> None:
        self._owner, self.array, self._checked = owner, x, checked

    def __len__(self) -> int:
        return int(self.array.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.array.shape[1])

    def rows(self, where: np.ndarray) -> Array:
        """The signals at these indices, in increasing order, which a file is read in."""
        where = np.sort(where)
        if is_tensor(self.array):
            import torch

            return self.array[torch.from_numpy(where).to(self.array.device)]
        taken = np.asarray(self.array[where])
        return taken if self._checked else checked_batch(self._owner, taken, None)


class Stream:
    """Batches one after the other, from an iterable, or from a function that returns one for each epoch.

    Raises
    ------
    TypeError
        If the source is neither.
    ValueError
        If it ends after one epoch, and there are to be more.
    """

    def __init__(self, owner: str, source: Iterable[Array] | Callable[[], Iterable[Array]], n_epochs: int) -> None:
        if isinstance(source, Iterator) and n_epochs > 1:
            raise ValueError(
                f"{owner}: X is an iterator, which ends after one epoch, and max_iter={n_epochs}; pass max_iter=1, a "
                "list of batches, or a function that returns a new iterator for each epoch"
            )
        self._owner, self._source = owner, source

    def first(self) -> Array:
        """The first batch, which an epoch still yields."""
        batches = self.epoch()
        try:
            batch = checked_batch(self._owner, next(batches), None)
        except StopIteration:
            raise ValueError(f"{self._owner}: X yields no batch") from None
        if isinstance(self._source, Iterator):
            self._source = itertools.chain([batch], batches)
        return batch

    def epoch(self) -> Iterator[Array]:
        """The batches of an epoch."""
        return iter(self._source() if callable(self._source) else self._source)
