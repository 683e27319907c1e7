"""The batches of a run as one stream, and the part of it between two checkpoints."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from sparsefast.data.sampler import EpochSampler


class StreamSampler:
    """Batches `start` to `start + count` of the stream that goes over one epoch after the other.

    A run is cut into segments that end with a checkpoint, and never resumed inside of one, so that what a loader has
    fetched ahead is of no account. What batch b holds is a function of the seed and b alone.

    Parameters
    ----------
    epochs : EpochSampler
        Of all processes the same batches, of which this one has its part.
    per_epoch : int
        Batches of an epoch that are used, at most those that it has: whole steps of the optimiser.
    """

    def __init__(self, epochs: EpochSampler, per_epoch: int) -> None:
        self._epochs, self._per_epoch = epochs, per_epoch
        self._start = self._count = 0

    def set_segment(self, start: int, count: int) -> None:
        """Say which batches the next iteration gives."""
        self._start, self._count = start, count

    def __iter__(self) -> Iterator[Any]:
        at, end = self._start, self._start + self._count
        while at < end:
            epoch, first = divmod(at, self._per_epoch)
            self._epochs.set_position(epoch, first)
            here = min(self._per_epoch - first, end - at)
            yield from itertools.islice(self._epochs, here)
            at += here

    def __len__(self) -> int:
        return self._count


class Segments:
    """What Lightning trains on: each iteration is the segment that begins at the present step.

    It has no length, since the last segment of a run is shorter than the others.

    Parameters
    ----------
    loader : torch.utils.data.DataLoader
        Of the sampler.
    sampler : StreamSampler
    step : () -> int
        How many steps of the optimiser are done.
    segment, last : int
        Steps between two checkpoints, and of the run.
    accumulate : int
        Batches of the stream for a step.

    Attributes
    ----------
    waited : float
        Seconds that the loader took, in which no step was computed.
    """

    def __init__(
        self, loader: Any, sampler: StreamSampler, step: Callable[[], int], segment: int, last: int, accumulate: int
    ) -> None:
        self._loader, self._sampler, self._step = loader, sampler, step
        self._segment, self._last, self._accumulate = segment, last, accumulate
        self.waited = 0.0

    def __iter__(self) -> Iterator[Any]:
        step = self._step()
        steps = min(self._segment, self._last - step)
        self._sampler.set_segment(step * self._accumulate, steps * self._accumulate)
        return self._timed(iter(self._loader))

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            start = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.waited += time.perf_counter() - start
            yield batch
