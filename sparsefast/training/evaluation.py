"""A task on the held-out set: the same code during training and for `sparsefast eval`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from sparsefast.data.image_set import ImageSet
from sparsefast.data.loader import make_loader
from sparsefast.data.values import to_unit
from sparsefast.metrics.image_metrics import ImageMetrics
from sparsefast.training.group import all_of
from sparsefast.training.task import Task

_AUTOCAST = {"bf16": torch.bfloat16, "16": torch.float16}


def autocast(precision: str, device: torch.device) -> Any:
    """The context in which networks of this `train.precision` run."""
    dtype = _AUTOCAST.get(precision)
    return torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch of the loader where the model is."""
    return {name: x.to(device, non_blocking=True) for name, x in batch.items()}


def some(images: ImageSet, indices: np.ndarray, run_seed: int) -> dict[str, torch.Tensor]:
    """A batch of chosen held-out images, as the loader gives it."""
    places = np.stack([np.zeros_like(indices), indices], axis=1)
    loader = make_loader(images, [places], run_seed=run_seed, workers=0, start_method="fork")  # type: ignore[arg-type]
    return next(iter(loader))


def evaluate(
    task: Task, loader: Iterable[dict[str, Any]], metrics: ImageMetrics, device: torch.device, precision: str
) -> dict[str, float]:
    """Numbers of the held-out set, by the names they are logged under: val/loss, val/psnr, ...

    Each process has its own part of the set, of any size, and all get the numbers of the whole.

    Parameters
    ----------
    loader : iterable of batches, as the loader gives them
    metrics : ImageMetrics
        Taken where the task gives images and reconstructions.
    """
    training = task.training
    task.eval()
    sums: dict[str, float] = {}
    count = 0
    pairs = False
    metrics.reset()
    try:
        task.begin_evaluation()
        with torch.no_grad():
            for batch in loader:
                inputs = task.as_input(to_device(batch, device))
                with autocast(precision, device):
                    found = task.evaluate(inputs)
                images, reconstructions = found.pop("images", None), found.pop("reconstructions", None)
                if images is not None and reconstructions is not None:
                    metrics.update(to_unit(images), to_unit(reconstructions))
                    pairs = True
                n = len(inputs["index"])
                count += n
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + n * float(value)
            parts = all_of((sums, count, pairs))
            total = sum(part[1] for part in parts)
            names = list(dict.fromkeys(name for part in parts for name in part[0]))
            means = {name: sum(part[0].get(name, 0.0) for part in parts) / max(1, total) for name in names}
            if any(part[2] for part in parts):
                means |= metrics.compute()
            means |= task.end_evaluation()
    finally:
        task.train(training)
        metrics.reset()
    return {f"val/{name}": float(value) for name, value in means.items()}


def pictures(
    task: Task, batch: dict[str, torch.Tensor], device: torch.device, precision: str
) -> dict[str, torch.Tensor]:
    """The rows of a task's grid, of a batch as the loader gives it."""
    training = task.training
    task.eval()
    with torch.no_grad(), autocast(precision, device):
        rows = task.pictures(task.as_input(to_device(batch, device)))
    task.train(training)
    return rows
