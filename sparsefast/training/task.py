"""What a model brings to be trained: its networks, its losses, and what of it is evaluated and looked at."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sparsefast.data.values import to_model
from sparsefast.training.config import TrainConfig

Batch = dict[str, Tensor]


class Task(LightningModule):
    """A model and what is done with it. A tenant overrides `losses` and `evaluate`, and what else it needs.

    Batches are dicts of tensors: "image" (B, C, H, W) in [-1, 1]; "index" and "seed" (B,) int64, of which the seed is
    of (run, epoch, sample), so that random numbers made of it (`sparsefast.training.randomness`) are the same whatever
    the processes; and where the data set has them "label", "mask", "condition".

    Parameters
    ----------
    config : dataclass
        Of the model: `name`, `learning_rate` and its own keys.
    image_shape : (int, int, int)
        Channels, height and width of the pictures that it is trained on.
    """

    # The number of an evaluation by which the best weights are told: the smallest.
    monitor = "val/loss"
    # Keys of the model that say how it is used, and not what its weights are: they may be others than in training.
    free_keys: tuple[str, ...] = ()

    def __init__(self, config: Any, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.config, self.image_shape = config, image_shape
        self._train_config, self._total_steps = TrainConfig(), 1
        self.latest: dict[str, Tensor] = {}

    # What a tenant brings.

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name: "loss" is what is minimised, and all are logged as train/<name>."""
        raise NotImplementedError

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Of a held-out batch: scalars, each the mean over its pictures, logged as val/<name>; and, where the model
        makes them, "images" and "reconstructions" (B, C, H, W) in [-1, 1], on which the metrics of pictures are taken.
        """
        raise NotImplementedError

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """Rows of the grid that is written during training, by their labels: each (B, C, H, W) in [-1, 1]."""
        return {}

    def initialize(self, batch: Batch) -> None:
        """Before the first step: what depends on data, from the first batch (this process's part of it)."""

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """After each step of the optimiser: projections, revivals."""

    def begin_evaluation(self) -> None:
        """Before the first batch of an evaluation."""

    def end_evaluation(self) -> dict[str, float]:
        """After the last one: further numbers of the whole held-out set, the same in all processes."""
        return {}

    def reconstruct(self, images: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Pictures (B, C, H, W) of any size in [-1, 1] through the model, and numbers to be said about them."""
        raise ValueError(f"model {self.config.name} does not reconstruct pictures")

    def sample(self, n: int, seed: int) -> Tensor:
        """New pictures (n, C, H, W) in [-1, 1], a function of the seed."""
        raise ValueError(f"model {self.config.name} does not make pictures")

    def figures(self, images: Tensor) -> dict[str, Any]:
        """Figures of matplotlib about what the model has learned, by names for their files, from held-out pictures
        (B, C, H, W) in [-1, 1]; in evaluation mode."""
        return {}

    # What the platform does with it.

    def prepare(self, train: TrainConfig, total_steps: int) -> None:
        """Tell the task how it is going to be trained."""
        self._train_config, self._total_steps = train, total_steps

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The losses, for Lightning, which minimises "loss"."""
        losses = self.losses(batch)
        self.latest = {name: value.detach() for name, value in losses.items()}
        return {"loss": losses["loss"]}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """Pictures become numbers in [-1, 1] on the device: bytes are moved there."""
        return self.as_input(batch)

    def as_input(self, batch: Batch) -> Batch:
        """A batch as the loader gives it, as the model takes it."""
        dtype = torch.get_default_dtype() if isinstance(self.dtype, str) else self.dtype
        return {name: to_model(x, dtype) if name == "image" else x for name, x in batch.items()}

    def configure_optimizers(self) -> Any:
        """AdamW at the model's learning rate, which rises, stays or falls by the schedule."""
        train = self._train_config
        optimizer = torch.optim.AdamW(
            (p for p in self.parameters() if p.requires_grad),
            lr=self.config.learning_rate,
            betas=(train.betas[0], train.betas[1]),
            weight_decay=train.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """The learning rate of a step, as a part of the largest."""
        warmup = min(self._train_config.warmup_steps, self._total_steps)
        if step < warmup:
            return (step + 1) / warmup
        if self._train_config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self._total_steps - warmup)))

    def compile_networks(self) -> None:
        """Compile each network in place, which leaves the names of the weights as they are."""
        for network in self.children():
            network.compile()
