"""What happens around each step of the optimiser."""

from __future__ import annotations

import random
from typing import Any

import torch
from lightning.pytorch import Callback

from sparsefast.training.ema import WeightAverage

_PRIMES = (1_000_003, 8_191, 131)


class Steps(Callback):
    """Seeds each step, initialises before the first, and lets task and average follow the optimiser.

    The global random state is set anew at each step, by the run's seed and the step's number: nothing of it has to be
    kept to go on from a checkpoint.
    """

    def __init__(self, seed: int, average: WeightAverage | None) -> None:
        self._seed, self._average = seed, average
        self._done: int | None = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._done is None:
            self._done = trainer.global_step
            if self._done == 0:
                self._set_seed(trainer, -1)
                with torch.no_grad():
                    pl_module.initialize(batch)
            if self._average is not None:
                self._average.start(pl_module)
        self._set_seed(trainer, batch_idx % trainer.accumulate_grad_batches)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self._done:  # a part of a batch that is not whole yet
            return
        self._done = trainer.global_step
        with torch.no_grad():
            pl_module.after_step(trainer.optimizers[0])
            if self._average is not None:
                self._average.step(pl_module)

    def _set_seed(self, trainer: Any, part: int) -> None:
        # Each process its own: what all are to share comes from the samples' seeds.
        parts = (trainer.global_step, part + 1, trainer.global_rank)
        seed = self._seed * 0x9E3779B97F4A7C15 + sum(p * x for p, x in zip(_PRIMES, parts, strict=True))
        torch.manual_seed(seed % (1 << 63))
        random.seed(seed % (1 << 63))
