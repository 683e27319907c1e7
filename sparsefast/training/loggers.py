"""Lightning's loggers, for what is chosen beside metrics.jsonl."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from sparsefast.training.config import LoggerConfig


def check_loggers(config: LoggerConfig) -> None:
    """Raise an ImportError, with what to do, if a package is missing that a chosen logger needs."""
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ImportError(
            "logger.tensorboard=true needs tensorboard: pip install tensorboard, or logger.tensorboard=false"
        )
    if config.wandb and importlib.util.find_spec("wandb") is None:
        raise ImportError("logger.wandb=true needs wandb: pip install wandb, or logger.wandb=false")


def make_loggers(config: LoggerConfig, folder: Path, step: int) -> list[Any]:
    """The loggers of a run in this folder, which is at this step."""
    loggers: list[Any] = []
    if config.tensorboard:
        # What an earlier process wrote of later steps is going to be written again.
        purge: Any = {"purge_step": step + 1} if step else {}
        loggers.append(TensorBoardLogger(str(folder), name="", version="tensorboard", **purge))
    if config.wandb:
        loggers.append(
            WandbLogger(
                name=folder.name,
                save_dir=str(folder),
                project=config.wandb_project,
                offline=config.wandb_mode == "offline",
                id=folder.name,
            )
        )
    return loggers
