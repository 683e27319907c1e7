"""Learning by one process, or by several that have a part of the signals each: what they have to tell each other.

Every process gets the same answers, so that all take the same steps.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np

from sparsefast.estimators.batches import like
from sparsefast.ops.dictionary_stats import DictionaryStats


class Processes(Protocol):
    """One process, or several."""

    rank: int

    def total(self, x: np.ndarray) -> np.ndarray:
        """The sum of an array of numbers over all processes, in float64."""

    def before_and_all(self, n: int) -> tuple[int, int]:
        """How many the processes before this one have, and how many all have together."""

    def merged(self, stats: DictionaryStats, error: float) -> float:
        """Make the statistics those of all processes together, and return the sum of a number over them."""

    def gathered(self, x: np.ndarray) -> np.ndarray:
        """The rows of all processes, (sum of n, F), in the order of the processes."""


class Alone:
    """A process that learns by itself."""

    rank = 0

    def total(self, x: np.ndarray) -> np.ndarray:
        return x

    def before_and_all(self, n: int) -> tuple[int, int]:
        return 0, n

    def merged(self, stats: DictionaryStats, error: float) -> float:
        return error

    def gathered(self, x: np.ndarray) -> np.ndarray:
        return x


class Group:
    """The processes of a torch.distributed group, which all call the same methods in the same order.

    Parameters
    ----------
    owner : str
        Who learns, for messages.
    group : torch.distributed.ProcessGroup or None
        None: the default group.
    """

    def __init__(self, owner: str, group: Any) -> None:
        self._owner, self._group = owner, group
        self._distributed = importlib.import_module("torch.distributed")
        self._torch = importlib.import_module("torch")
        if not (self._distributed.is_available() and self._distributed.is_initialized()):
            raise ValueError(
                f"{owner}: process_group is given and torch.distributed is not initialised; "
                "call torch.distributed.init_process_group first"
            )
        self.rank = self._distributed.get_rank(group)
        self.size = self._distributed.get_world_size(group)
        # NCCL takes tensors on a GPU alone.
        on_gpu = "nccl" in str(self._distributed.get_backend(group))
        self._device = self._torch.device("cuda", self._torch.cuda.current_device()) if on_gpu else "cpu"

    def total(self, x: np.ndarray) -> np.ndarray:
        sent = self._torch.from_numpy(np.ascontiguousarray(x, np.float64).reshape(-1).copy()).to(self._device)
        self._try(lambda: self._distributed.all_reduce(sent, group=self._group))
        return np.asarray(sent.cpu().numpy()).reshape(x.shape)

    def before_and_all(self, n: int) -> tuple[int, int]:
        mine = np.zeros(self.size)
        mine[self.rank] = n
        counts = self.total(mine).astype(np.int64)
        return int(counts[: self.rank].sum()), int(counts.sum())

    def merged(self, stats: DictionaryStats, error: float) -> float:
        here = stats.numpy()
        parts = [np.asarray(getattr(here, name)) for name in ("A", "B", "usage", "totals")]
        # One message: the network's latency is paid once a step.
        flat = self.total(np.concatenate([*(part.reshape(-1) for part in parts), [error]]))
        at = 0
        for name, part in zip(("A", "B", "usage", "totals"), parts, strict=True):
            x = getattr(stats, name)
            x[...] = like(flat[at : at + part.size].reshape(part.shape), x)
            at += part.size
        return float(flat[-1])

    def gathered(self, x: np.ndarray) -> np.ndarray:
        before, n = self.before_and_all(len(x))
        rows = np.zeros((n, *x.shape[1:]))
        rows[before : before + len(x)] = x
        return self.total(rows)

    def _try(self, call: Any) -> None:
        try:
            call()
        except RuntimeError as error:  # torch's own errors for a lost connection and for a timeout are among these
            text = " ".join(str(error).split())
            raise RuntimeError(
                f"{self._owner}: process {self.rank} of {self.size} lost another one ({text}); "
                "start all again, and go on from the last checkpoint with load(path) and fit(X, resume=True)"
            ) from error


def processes_of(owner: str, process_group: Any) -> Processes:
    """What the parameter `process_group` of an estimator stands for: None, "world" or a ProcessGroup."""
    if process_group is None:
        return Alone()
    if isinstance(process_group, str) and process_group != "world":
        raise ValueError(f"{owner}: process_group={process_group!r}; it must be None, 'world' or a ProcessGroup")
    return Group(owner, None if isinstance(process_group, str) else process_group)
