"""What happens every `checkpoint_every` steps: an evaluation when it is due, pictures, then a checkpoint."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from lightning.pytorch import Callback
from torch import Tensor

from sparsefast.files import replace_file
from sparsefast.training.checkpoints import ABOUT, VERSION, save_weights
from sparsefast.training.ema import WeightAverage
from sparsefast.training.journal import Journal
from sparsefast.training.pictures import picture_grid, png
from sparsefast.training.run_folder import RunFolder
from sparsefast.training.task import Task

Evaluate = Callable[[Task], dict[str, float]]
Draw = Callable[[Task], dict[str, Tensor]]


class SegmentEnd(Callback):
    """Evaluates with the averaged weights, writes pictures, weights, the table and the checkpoint, in this order.

    The checkpoint comes last, so that a run that ends in between goes on from the one before and does all again.

    Parameters
    ----------
    folder : RunFolder
    about : dict
        What the files say about themselves: "config", plain containers, and "image_shape".
    evaluate : Task -> dict
        Numbers of the held-out set.
    every, last : int
        Checkpoints between two evaluations; the step that the run ends at.
    draw : (Task -> rows of pictures by their labels) or None
    table : bool
        Whether metrics.csv is written.
    """

    def __init__(
        self,
        folder: RunFolder,
        about: dict[str, Any],
        evaluate: Evaluate,
        journal: Journal,
        average: WeightAverage | None,
        *,
        every: int,
        last: int,
        draw: Draw | None,
        table: bool,
    ) -> None:
        self._folder, self._about, self._evaluate = folder, about, evaluate
        self._journal, self._average = journal, average
        self._every, self._last, self._draw, self._table = every, last, draw, table
        self._best = math.inf
        self._segments = 0
        self.evaluated: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "segments": self._segments, "evaluated": dict(self.evaluated)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self._segments = float(state_dict["best"]), int(state_dict["segments"])
        self.evaluated = dict(state_dict["evaluated"])

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[ABOUT] = {"version": VERSION, "step": trainer.global_step, **self._about}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._journal.flush(trainer)
        self._segments += 1
        with self._averaged(pl_module):
            if self._segments % self._every == 0 or trainer.global_step >= self._last:
                self._evaluation(trainer, pl_module)
            elif trainer.is_global_zero:
                self._write_weights(trainer, pl_module, self._folder.weights)
        if trainer.is_global_zero and self._table:
            self._folder.write_table()
        trainer.save_checkpoint(self._folder.checkpoint)

    def _averaged(self, task: Task) -> Any:
        return contextlib.nullcontext() if self._average is None else self._average.applied(task)

    def _evaluation(self, trainer: Any, task: Task) -> None:
        self.evaluated = self._evaluate(task)
        self._journal.write(trainer, self.evaluated)
        if not trainer.is_global_zero:
            return
        self._write_weights(trainer, task, self._folder.weights)
        # Of a model that does not give that number, each evaluation is the best.
        if (found := self.evaluated.get(task.monitor, -math.inf)) <= self._best:
            self._best = found
            self._write_weights(trainer, task, self._folder.best)
        if self._draw is not None and (rows := self._draw(task)):
            self._write_pictures(trainer, rows)

    def _write_weights(self, trainer: Any, task: Task, path: Any) -> None:
        save_weights(path, task, {**self._about, "step": trainer.global_step, "metrics": self.evaluated})

    def _write_pictures(self, trainer: Any, rows: dict[str, Tensor]) -> None:
        grid = picture_grid(rows)
        folder = self._folder.path / "samples"
        folder.mkdir(exist_ok=True)
        replace_file(folder / f"step-{trainer.global_step:07d}.png", png(grid))
        for logger in trainer.loggers:
            if hasattr(logger.experiment, "add_image"):
                logger.experiment.add_image("samples", np.asarray(grid), trainer.global_step, dataformats="HWC")
