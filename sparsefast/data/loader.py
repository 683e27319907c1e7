"""Batches of a set of images as PyTorch has them, the same whatever the number of processes that prepare them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from sparsefast.data.config import DataConfig
from sparsefast.data.image_set import TRAIN, ImageSet, open_set
from sparsefast.data.sampler import EpochSampler
from sparsefast.data.seeds import sample_seeds

Batch = dict[str, torch.Tensor]

# What a worker sends through a pipe; a larger array goes through shared memory, which costs a file each time: batches
# of 0.4 MB arrive three times as fast by the former, ones of 1.6 MB twice as fast by the latter.
PIPED_BYTES = 1 << 19


class Loader(DataLoader[Batch]):
    """PyTorch's loader, whose errors are those of the set, in one line, wherever they were met.

    Iterating raises what the set raises (ValueError or OSError, naming the file), and RuntimeError if a worker was
    killed. PyTorch's own signal handler may raise the latter while a batch is being worked on; `worker_error` tells it.
    """

    def __iter__(self) -> Any:
        with _translated():
            return _Batches(super().__iter__())


def make_loader(
    image_set: ImageSet,
    sampler: EpochSampler,
    *,
    run_seed: int,
    workers: int,
    start_method: str,
    pin_memory: bool = False,
) -> Loader:
    """Batches of a set, in the order of a sampler.

    Parameters
    ----------
    image_set : ImageSet
    sampler : EpochSampler
        `loader.batch_sampler`, whose `set_position` says where the next iteration begins.
    run_seed : int
        Of the run: with epoch and index it makes the seed of a sample.
    workers : int
        Processes that prepare batches, of one thread each, which stay for all epochs; 0: none.
    start_method : {"fork", "spawn"}
    pin_memory : bool
        Put batches into pinned memory, from which GPUs copy faster.

    Returns
    -------
    Loader of dicts of tensors
        "image" (B, C, H, W), uint8; "index" (B,), int64; "seed" (B,), int64, the bits of a uint64; of labelled sets
        "label" (B,), int64. Neither they nor the global random state depend on the workers.
    """
    # PyTorch draws a seed for its workers, which nothing here reads; from our generator, so that none is drawn from the
    # global one.
    generator = torch.Generator().manual_seed(0)
    return Loader(
        # Only tensors are pinned.
        _Samples(image_set, run_seed, 0 if pin_memory else PIPED_BYTES),
        batch_sampler=sampler,  # type: ignore[arg-type]  # arrays of rows instead of lists
        num_workers=workers,
        multiprocessing_context=start_method if workers else None,
        persistent_workers=workers > 0,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        generator=generator,
    )


def open_loader(
    config: DataConfig, split: str, *, run_seed: int, rank: int = 0, world_size: int = 1, pin_memory: bool = False
) -> Loader:
    """The loader of one side of a data set, as its config says.

    Training batches are in random order, and what is left of an epoch is dropped; held-out images come in order, each
    once over all processes.

    Raises
    ------
    ValueError, FileNotFoundError
        As `open_set` and `EpochSampler`.
    """
    images = open_set(config, split)
    training = split == TRAIN
    sampler = EpochSampler(
        len(images),
        config.batch_size if training else config.eval_batch_size,
        seed=run_seed,
        shuffle=training,
        rank=rank,
        world_size=world_size,
        drop_last=training,
    )
    return make_loader(
        images,
        sampler,
        run_seed=run_seed,
        workers=config.workers,
        start_method=config.start_method,
        pin_memory=pin_memory,
    )


def worker_error(error: BaseException) -> RuntimeError | None:
    """PyTorch's error that a worker is gone, as one line that says what to do; None if the error is another."""
    text = str(error)
    found = re.search(
        r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (?:is killed by signal: (\w+)|exited unexpectedly)", text
    )
    if not isinstance(error, RuntimeError) or found is None:
        return None
    how = f"by the signal {found[2]}" if found[2] else "or ended"
    return RuntimeError(f"a data worker (process {found[1]}) was killed {how}; data.workers=0 goes without")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise worker_error(error) or error from None


@dataclasses.dataclass
class _Failure:
    """An error of the set, on its way out of a worker; PyTorch would turn it into a page of text."""

    error: Exception


class _Samples(Dataset[Batch]):
    """Samples of a set by (epoch, index), many at once."""

    def __init__(self, image_set: ImageSet, run_seed: int, piped_bytes: int) -> None:
        self.image_set, self.run_seed, self.piped_bytes = image_set, run_seed, piped_bytes

    def __len__(self) -> int:
        return len(self.image_set)

    def __getitem__(self, row: Any) -> Batch:
        """The batch of one."""
        return _tensors(self.arrays(np.asarray(row).reshape(1, 2)))

    def __getitems__(self, rows: np.ndarray) -> dict[str, Any] | _Failure:
        """What PyTorch calls with what the sampler gives, an array of shape (B, 2)."""
        if get_worker_info() is None:
            return _tensors(self.arrays(rows))
        try:
            return _tensors(self.arrays(rows), self.piped_bytes)
        except (ValueError, OSError, ImportError) as error:
            return _Failure(error)

    def arrays(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        epochs, indices = np.ascontiguousarray(rows.T)
        seeds = sample_seeds(self.run_seed, epochs, indices)
        return {**self.image_set.batch(indices, seeds), "index": indices, "seed": seeds.view(np.int64)}


class _Batches:
    """PyTorch's iterator, with errors as `Loader` promises them."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Batch:
        with _translated():
            found = next(self.inner)
        if isinstance(found, _Failure):
            raise found.error
        return _tensors(found)

    def __len__(self) -> int:
        return len(self.inner)


def _tensors(batch: dict[str, Any], over: int = 0) -> dict[str, Any]:
    """The same with tensors for arrays, without a copy; only for those of at least so many bytes."""
    arrays = {key: value for key, value in batch.items() if isinstance(value, np.ndarray) and value.nbytes >= over}
    return {**batch, **{key: torch.from_numpy(value) for key, value in arrays.items()}}


def _as_it_is(batch: Any) -> Any:
    return batch
