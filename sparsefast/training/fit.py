"""A run: a task, its data and a folder, from the first step or from a checkpoint to the last step."""

from __future__ import annotations

import importlib
import logging
import math
import signal
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sparsefast.data.image_set import ImageSet
from sparsefast.data.loader import make_loader
from sparsefast.data.sampler import EpochSampler
from sparsefast.metrics.image_metrics import ImageMetrics
from sparsefast.metrics.weights import find_weights
from sparsefast.training import group
from sparsefast.training.bar import Bar
from sparsefast.training.checkpoints import WholeFiles
from sparsefast.training.config import PRECISIONS, LoggerConfig, TrainConfig, require
from sparsefast.training.ema import WeightAverage
from sparsefast.training.evaluation import evaluate, pictures, some, to_device
from sparsefast.training.journal import Journal
from sparsefast.training.loggers import make_loggers
from sparsefast.training.run_folder import RunFolder
from sparsefast.training.segment_end import SegmentEnd
from sparsefast.training.steps import Steps
from sparsefast.training.stream import Segments, StreamSampler
from sparsefast.training.task import Task


@dataclass
class Data:
    """Both sides of a data set, with its keys.

    `config` is of `sparsefast.data.config`; `train` and `held_out` are what `open_set` gives.
    """

    config: Any
    train: ImageSet
    held_out: ImageSet

    def loader(self, sampler: Any, image_set: ImageSet, seed: int, device: torch.device) -> Any:
        """Batches of one of the sets."""
        return make_loader(
            image_set,
            sampler,
            run_seed=seed,
            workers=self.config.workers,
            start_method=self.config.start_method,
            pin_memory=device.type == "cuda",
        )

    def held_out_loader(self, seed: int, device: torch.device) -> Any:
        """Batches of this process's part of the held-out set, in its order."""
        sampler = EpochSampler(
            len(self.held_out),
            self.config.eval_batch_size,
            seed=seed,
            shuffle=False,
            drop_last=False,
            rank=group.rank(),
            world_size=group.size(),
        )
        return self.loader(sampler, self.held_out, seed, device)


@dataclass
class Plan:
    """How long a run is: steps of an epoch of the data, between two checkpoints, and of all."""

    steps_per_epoch: int
    segment: int
    total: int


def plan(train: TrainConfig, batch_size: int, n_images: int) -> Plan:
    """The steps of a run.

    Raises
    ------
    ValueError
        If a batch cannot be cut into its parts, or is larger than the training set.
    """
    parts = train.accumulate * max(group.size(), train.devices)
    require(
        batch_size % parts == 0,
        "data.batch_size",
        batch_size,
        f"a multiple of train.accumulate times the number of processes, {parts}",
    )
    steps_per_epoch = n_images // batch_size
    require(steps_per_epoch >= 1, "data.batch_size", batch_size, f"at most the {n_images} images of the training set")
    limits = [train.max_epochs * steps_per_epoch, train.max_steps]
    total = min(limit for limit in limits if limit > 0)
    return Plan(steps_per_epoch, min(train.checkpoint_every or steps_per_epoch, total), total)


def fit(
    task: Task,
    data: Data,
    train: TrainConfig,
    logger: LoggerConfig,
    folder: RunFolder,
    *,
    seed: int,
    about: dict[str, Any],
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Train a task to the end, and return the numbers of its last evaluation and of the run.

    All that is written is in the folder; see `RunFolder`. On a CPU a run that was ended at any moment and resumed
    writes the same metrics, bit for bit, as one that was not.

    Parameters
    ----------
    about : dict
        Plain containers for the files to say what they belong to: "config", "image_shape".
    checkpoint : dict or None
        Of `read_checkpoint(folder.checkpoint)`, to go on from it.
    """
    device = group.device(train.accelerator)
    steps = plan(train, data.config.batch_size, len(data.train))
    task.prepare(train, steps.total)
    if train.compile:
        task.compile_networks()

    batches = EpochSampler(
        len(data.train),
        data.config.batch_size // train.accumulate,
        seed=seed,
        shuffle=True,
        drop_last=True,
        rank=group.rank(),
        world_size=group.size(),
    )
    stream = StreamSampler(batches, steps.steps_per_epoch * train.accumulate)
    loader = data.loader(stream, data.train, seed, device)

    metrics = ImageMetrics(train.metrics, find_weights(train.weights))
    if metrics.note and group.rank() == 0:
        print(f"note: {metrics.note}", flush=True)
    held_out = data.held_out_loader(seed, device)
    average = WeightAverage(train.ema) if train.ema > 0 else None
    first = group.rank() == 0
    journal = Journal(folder if first else None, train.log_every, steps.steps_per_epoch)
    bar = Bar(steps.total, train.progress)
    if first:
        journal.listeners.append(bar.show)
    end = SegmentEnd(
        folder,
        about,
        lambda task: evaluate(task, held_out, metrics, device, train.precision),
        journal,
        average,
        every=train.evaluate_every,
        last=steps.total,
        draw=_drawing(data, train, seed, device) if first and train.samples else None,
        table=logger.csv,
    )
    done = int(checkpoint["global_step"]) if checkpoint else 0
    if first and checkpoint:
        folder.cut_metrics(done)

    callbacks = [*([average] if average else []), Steps(seed, average), journal, *([bar] if first else []), end]
    with _quiet():
        trainer = Trainer(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=group.local_size() if group.is_group() else [device.index or 0] if device.type == "cuda" else 1,
            num_nodes=group.size() // group.local_size(),
            strategy=DDPStrategy(broadcast_buffers=False) if group.is_group() else "auto",
            precision=PRECISIONS[train.precision],  # type: ignore[arg-type]
            max_epochs=math.ceil(steps.total / steps.segment),
            accumulate_grad_batches=train.accumulate,
            gradient_clip_val=train.clip or None,
            logger=make_loggers(logger, folder.path, done) if first else False,
            callbacks=callbacks,
            plugins=[WholeFiles()],
            limit_val_batches=0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(folder.path),
        )
        segments = Segments(loader, stream, lambda: trainer.global_step, steps.segment, steps.total, train.accumulate)
        handler = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(task, segments, ckpt_path=str(folder.checkpoint) if checkpoint else None, weights_only=True)
        except SIGTERMException:  # an exit, which would look like success
            raise RuntimeError(
                f"ended by SIGTERM at step {trainer.global_step}; go on with --resume {folder.path}"
            ) from None
        except SystemExit:  # Lightning's answer to Ctrl-C, which it then ignores
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from None
    return {**end.evaluated, **rates(journal, segments, device)}


def rates(journal: Journal, segments: Segments, device: torch.device) -> dict[str, float]:
    """Images a second of the steps and of the loader, and the most memory that was used, in MiB."""
    whole = journal.whole
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident_peak()
    return {
        "images_per_second": whole.images_per_second,
        "waiting_for_data": segments.waited / max(whole.seconds, segments.waited, 1e-9),
        "peak_memory_mib": peak / 2**20,
    }


def _resident_peak() -> float:
    """The most memory that this process has had, in bytes; nan where the system does not say."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:  # on Windows
        return math.nan
    # In kilobytes, but on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _drawing(data: Data, train: TrainConfig, seed: int, device: torch.device) -> Any:
    """What makes the rows of the grid, of held-out pictures from all over the set."""
    n = min(train.samples, len(data.held_out))
    indices = np.unique(np.linspace(0, len(data.held_out) - 1, n).astype(np.int64))
    batch = to_device(some(data.held_out, indices, seed), device)
    return lambda task: pictures(task, batch, device, train.precision)


class _quiet(warnings.catch_warnings):
    """Lightning's advice on what was chosen here on purpose is kept from the terminal."""

    def __enter__(self) -> Any:
        found = super().__enter__()
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return found
