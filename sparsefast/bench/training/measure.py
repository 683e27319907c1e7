"""Images a second of a loader, of a model's steps, and of a run that has both."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from dataclasses import dataclass
from typing import Any

# Steps of the run: of the same kind as those measured alone, and enough that the first ones do not count.
MIN_STEPS = 20
MAX_STEPS = 2000


@dataclass
class Row:
    """Rates of one model on one data set, in images a second."""

    model: str
    data: str
    batch_size: int
    size: int
    loader: float
    """The loader by itself, without workers."""
    loader_worker: float
    """The same with one worker process."""
    step: float
    """Forward, backward and optimiser on one batch, again and again, in a plain loop."""
    run: float
    """A run of `sparsefast train`, after its first batch: loader, step, averages, losses, metrics.jsonl."""
    waiting: float
    """The share of the run's time that it waits for the loader."""


def measure(model: str, data: str, seconds: float) -> Row:
    """Measure, each part for about so many seconds, in float32 on the CPU, with the defaults of both."""
    from sparsefast.conf.compose import compose
    from sparsefast.data.image_set import TRAIN
    from sparsefast.data.loader import open_loader
    from sparsefast.data.rate import loader_rate

    config = compose(
        [f"model={model}", f"data={data}", "logger=none", "train.progress=false", "train.samples=0", "train.metrics=[]"]
    )
    rates = []
    for workers in (0, 1):
        config.data.workers = workers
        rates.append(loader_rate(open_loader(config.data, TRAIN, run_seed=0), seconds))
    config.data.workers = 0
    step = step_rate(config, seconds)
    run, waiting = run_rate(config, step, seconds)
    return Row(model, data, config.data.batch_size, config.data.size, rates[0], rates[1], step, run, waiting)


def step_rate(config: Any, seconds: float) -> float:
    """Images a second of the steps alone."""
    from sparsefast.data.image_set import TRAIN
    from sparsefast.data.loader import open_loader
    from sparsefast.pipelines import make_task

    loader = open_loader(config.data, TRAIN, run_seed=0)
    raw = next(iter(loader))
    task = make_task(config.model, loader.dataset.image_set.image_shape, 0)  # type: ignore[attr-defined]
    task.prepare(config.train, MAX_STEPS)
    optimizer = task.configure_optimizers()["optimizer"]
    batch = task.as_input(raw)
    task.initialize(batch)

    def step() -> None:
        task.losses(batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(optimizer)

    step()
    n, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or n < 2:
        step()
        n += 1
    return n * config.data.batch_size / passed


def run_rate(config: Any, step: float, seconds: float) -> tuple[float, float]:
    """Images a second of a run of about so many seconds, and the share of its time that it waits for data."""
    from sparsefast.data.image_set import HELD_OUT, TRAIN, open_set
    from sparsefast.pipelines import make_task
    from sparsefast.training.fit import Data, fit
    from sparsefast.training.run_folder import RunFolder

    steps = int(min(MAX_STEPS, max(MIN_STEPS, seconds * step / config.data.batch_size)))
    config.train.max_epochs, config.train.max_steps, config.train.checkpoint_every = 0, steps, steps
    config.data.eval_images = 1
    data = Data(config.data, open_set(config.data, TRAIN), open_set(config.data, HELD_OUT))
    task = make_task(config.model, data.train.image_shape, 0)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        found = fit(task, data, config.train, config.logger, RunFolder(folder), seed=0, about={"config": {}})
    return found["images_per_second"], found["waiting_for_data"]
