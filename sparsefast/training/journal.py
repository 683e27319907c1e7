"""The metrics of a run, while it runs: means over some steps, rates, and where they are written."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback

from sparsefast.training.group import all_of
from sparsefast.training.run_folder import RunFolder

Line = dict[str, Any]


class Rates:
    """Images and seconds of a part of a run."""

    def __init__(self) -> None:
        self.images, self.seconds = 0, 0.0

    def add(self, images: int, seconds: float) -> None:
        """One batch more."""
        self.images, self.seconds = self.images + images, self.seconds + seconds

    @property
    def images_per_second(self) -> float:
        """Over all."""
        return self.images / self.seconds if self.seconds > 0 else 0.0


class Journal(Callback):
    """Takes the means of the losses, and hands each line on: to metrics.jsonl, Lightning's loggers and the bar.

    Parameters
    ----------
    folder : RunFolder or None
        None in all processes but the first.
    log_every : int
        Steps that a line is the mean of.
    steps_per_epoch : int
        Of the data.
    """

    def __init__(self, folder: RunFolder | None, log_every: int, steps_per_epoch: int) -> None:
        self._folder, self._log_every, self._steps_per_epoch = folder, log_every, steps_per_epoch
        self._sums: dict[str, torch.Tensor] = {}
        self._batches = 0
        self._window, self.whole = Rates(), Rates()
        self._start = self._ended = time.perf_counter()
        self._before = 0.0
        self._warm = False
        self.listeners: list[Callable[[Line], None]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = float(state_dict["seconds"])

    def _seconds(self) -> float:
        return self._before + time.perf_counter() - self._start

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._ended = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        for name, value in pl_module.latest.items():
            known = self._sums.get(name)
            self._sums[name] = value.double() if known is None else known + value
        self._batches += 1
        now = time.perf_counter()
        images = len(batch["index"]) * trainer.world_size
        self._window.add(images, now - self._ended)
        # The first batch opens files, initialises and compiles: it says nothing of the rate.
        if self._warm:
            self.whole.add(images, now - self._ended)
        self._warm = True
        self._ended = now
        whole_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if whole_step and trainer.global_step % self._log_every == 0:
            self.flush(trainer)

    def flush(self, trainer: Any) -> None:
        """Write the line of the steps since the last one; every process at the same step."""
        if not self._batches:
            return
        here = {name: float(value) / self._batches for name, value in self._sums.items()}
        parts = all_of(here) if trainer.world_size > 1 else [here]
        line = {f"train/{name}": sum(part[name] for part in parts) / len(parts) for name in here}
        line["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        line["images_per_second"] = round(self._window.images_per_second, 1)
        self._sums, self._batches, self._window = {}, 0, Rates()
        self.write(trainer, line)

    def write(self, trainer: Any, numbers: Line) -> None:
        """Hand on numbers of the present step."""
        step = trainer.global_step
        line = {"step": step, "epoch": round(step / self._steps_per_epoch, 4), "seconds": round(self._seconds(), 3)}
        line |= numbers
        if self._folder is not None:
            self._folder.append_metrics(line)
        for logger in trainer.loggers:
            logger.log_metrics({name: x for name, x in numbers.items() if isinstance(x, float)}, step)
        for listener in self.listeners:
            listener(line)
        # Writing, and what comes before it, is not the time of a step.
        self._ended = time.perf_counter()
