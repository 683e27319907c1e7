"""The keys of `train` and `logger`: what is the same for every model and every data set."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "64": "64-true"}
ACCELERATORS = ("auto", "cpu", "cuda")
SCHEDULES = ("constant", "cosine")
METRICS = ("mse", "mae", "psnr", "ssim", "lpips", "fid")


def require(holds: bool, key: str, value: object, allowed: str) -> None:
    """Raise a ValueError that names the key, its value and what is allowed, unless the condition holds."""
    if not holds:
        raise ValueError(f"{key}={value} must be {allowed}")


def one_of(names: tuple[str, ...] | dict[str, str]) -> str:
    """The names as words for an error."""
    *rest, last = names
    return f"{', '.join(rest)} or {last}" if rest else last


@dataclass
class TrainConfig:
    """How long, on what, and how the weights move."""

    name: str = "default"
    # Passes over the training set; 0: by max_steps alone.
    max_epochs: int = 20
    # Steps of the optimiser, over all of the run; 0: by max_epochs alone. The smaller of the two ends a run.
    max_steps: int = 0
    # Steps between two checkpoints, from which a run can be resumed; 0: one pass over the training set.
    checkpoint_every: int = 0
    # Checkpoints between two evaluations on the held-out set; the last one is always followed by one.
    evaluate_every: int = 1
    # Steps that a line of metrics.jsonl is the mean of.
    log_every: int = 10
    # Processes on this machine, each with a GPU of its own where there are any. Under torchrun its count holds.
    devices: int = 1
    # auto takes CUDA where it works.
    accelerator: str = "auto"
    # 32, bf16 or 16 (networks in 16 bits by autocast, weights in 32), 64.
    precision: str = "32"
    # Compile the networks by torch.compile: slow to start, then faster.
    compile: bool = False
    # The largest norm of the gradient; 0: as it is.
    clip: float = 1.0
    # Parts that a batch is computed in, for what memory does not hold at once.
    accumulate: int = 1
    # Decay of the average of the weights that is evaluated, sampled from and kept beside the weights; 0: none.
    ema: float = 0.999
    # constant, or cosine: a falling half wave from the learning rate to 0 at the last step.
    schedule: str = "cosine"
    # Steps in which the learning rate rises from 0.
    warmup_steps: int = 100
    # AdamW's weight decay, and the decay rates of its moments.
    weight_decay: float = 0.0
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    # Pictures in the grid that is written after an evaluation; 0: none.
    samples: int = 8
    # What is measured on the held-out set, where the model makes what it measures: mse, mae, psnr, ssim, lpips, fid.
    metrics: list[str] = field(default_factory=lambda: list(METRICS))
    # Folder with the network weights that lpips and fid need; null: $SPARSEFAST_WEIGHTS, then torch's cache.
    weights: str | None = None
    # A bar on a terminal.
    progress: bool = True

    def check(self) -> None:
        """Raise a ValueError that names the first key whose value is not allowed."""
        require(self.max_epochs >= 0, "train.max_epochs", self.max_epochs, "at least 0")
        require(self.max_steps >= 0, "train.max_steps", self.max_steps, "at least 0")
        require(
            self.max_epochs > 0 or self.max_steps > 0,
            "train.max_steps",
            self.max_steps,
            "above 0 where train.max_epochs is 0",
        )
        require(self.checkpoint_every >= 0, "train.checkpoint_every", self.checkpoint_every, "at least 0")
        for key in ("evaluate_every", "log_every", "devices", "accumulate"):
            require(getattr(self, key) >= 1, f"train.{key}", getattr(self, key), "at least 1")
        require(self.accelerator in ACCELERATORS, "train.accelerator", self.accelerator, one_of(ACCELERATORS))
        require(self.precision in PRECISIONS, "train.precision", self.precision, one_of(PRECISIONS))
        require(self.schedule in SCHEDULES, "train.schedule", self.schedule, one_of(SCHEDULES))
        require(0 <= self.clip < math.inf, "train.clip", self.clip, "finite and at least 0")
        require(0 <= self.ema < 1, "train.ema", self.ema, "at least 0 and below 1")
        require(self.warmup_steps >= 0, "train.warmup_steps", self.warmup_steps, "at least 0")
        require(0 <= self.weight_decay < math.inf, "train.weight_decay", self.weight_decay, "finite and at least 0")
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "train.betas",
            self.betas,
            "two numbers, each at least 0 and below 1",
        )
        require(self.samples >= 0, "train.samples", self.samples, "at least 0")
        for metric in self.metrics:
            require(metric in METRICS, "train.metrics", self.metrics, f"a list of {one_of(METRICS)}")


@dataclass
class LoggerConfig:
    """Where the metrics go beside metrics.jsonl."""

    name: str = "default"
    # metrics.csv, one column for each metric.
    csv: bool = True
    # Event files for `tensorboard --logdir`, with the pictures.
    tensorboard: bool = True
    # Weights & Biases, where wandb is installed.
    wandb: bool = False
    # Its project.
    wandb_project: str = "sparsefast"
    # online, or offline: kept in the folder of the run, for `wandb sync`.
    wandb_mode: str = "online"

    def check(self) -> None:
        """Raise a ValueError that names the first key whose value is not allowed."""
        modes = ("online", "offline")
        require(self.wandb_mode in modes, "logger.wandb_mode", self.wandb_mode, one_of(modes))
