"""Which samples make up which batch of which process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsefast.data.seeds import permutation


class EpochSampler:
    """Batches of (epoch, index), for `DataLoader(batch_sampler=...)`; a function of (seed, epoch, start) alone.

    The samples of an epoch, in their order or in a random one, are cut into global batches of `batch_size`. Process
    `rank` of `world_size` gets the `rank`-th contiguous block of each, so that the blocks one after the other are the
    global batch, whatever the number of processes.

    Iterating begins at the position that `set_position` set, which it reads at once; the next iteration begins with
    batch 0 of the same epoch, unless the position is set again. The epoch never advances by itself: a training loop
    calls `set_position` before each, and held-out samples stay in epoch 0.

    Parameters
    ----------
    n : int
        Samples of an epoch; at least 1.
    batch_size : int
        Samples of a batch over all processes; at least 1. A multiple of `world_size`, unless every sample is taken
        once and in order (`shuffle` and `drop_last` False): then the first processes get one sample more of a batch
        that is not, and the last ones may have no sample of the last batch, and one batch fewer for it.
    seed : int
        Of the order; only read where `shuffle` is.
    shuffle : bool
        Whether the order is random.
    rank, world_size : int
        This process and how many there are.
    drop_last : bool
        Leave out the last batch where it is smaller.

    Raises
    ------
    ValueError
        If a number is not allowed, or no batch would be left.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool,
    ) -> None:
        if n < 1:
            raise ValueError(f"EpochSampler: n={n} must be at least 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"EpochSampler: rank={rank} must be from 0 to world_size - 1 = {world_size - 1}")
        if batch_size < 1:
            raise ValueError(f"data.batch_size={batch_size} must be at least 1")
        if (shuffle or drop_last) and batch_size % world_size:
            raise ValueError(f"data.batch_size={batch_size} must be a multiple of the {world_size} processes")
        if drop_last and n < batch_size:
            raise ValueError(f"data.batch_size={batch_size} must be at most the {n} images of an epoch")
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self.rank, self.world_size = rank, world_size
        self._epoch, self._start = 0, 0

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        """Let the next iteration be that of `epoch`, from batch `start_batch` on.

        Raises
        ------
        ValueError
            If the epoch is negative, or start_batch is not from 0 to len(self).
        """
        if epoch < 0:
            raise ValueError(f"set_position: epoch={epoch} must be at least 0")
        if not 0 <= start_batch <= len(self):
            raise ValueError(f"set_position: start_batch={start_batch} must be from 0 to {len(self)}, batches an epoch")
        self._epoch, self._start = epoch, start_batch

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever the next iteration begins."""
        whole, rest = divmod(self.n, self.batch_size)
        return whole + (not self.drop_last and self._block(rest)[1] > self._block(rest)[0])

    def __iter__(self) -> Iterator[np.ndarray]:
        """Arrays of shape (b, 2), int64: epoch and index of each sample."""
        epoch, start, self._start = self._epoch, self._start, 0
        order = permutation(self.seed, epoch, self.n) if self.shuffle else np.arange(self.n)
        return self._batches(epoch, order, start)

    def _batches(self, epoch: int, order: np.ndarray, start: int) -> Iterator[np.ndarray]:
        for number in range(start, len(self)):
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            first, last = self._block(len(indices))
            yield np.stack([np.full(last - first, epoch), indices[first:last]], axis=1)

    def _block(self, n: int) -> tuple[int, int]:
        """Where this process's part of n samples begins and ends."""
        each, more = divmod(n, self.world_size)
        first = self.rank * each + min(self.rank, more)
        return first, first + each + (self.rank < more)
