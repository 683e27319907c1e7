"""RunConfig: all keys of a run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sparsefast.training.config import LoggerConfig, TrainConfig, require


@dataclass
class RunConfig:
    """All keys of a run, each group as the dataclass that was chosen."""

    model: Any = None
    data: Any = None
    train: TrainConfig = None  # type: ignore[assignment]
    logger: LoggerConfig = None  # type: ignore[assignment]
    # Of everything that is random.
    seed: int = 0
    # Folder of the runs, and of summary.csv.
    out: str = "runs"
    # Folder of this run inside of it; null: the model, the data and the time.
    name: str | None = None

    def check(self) -> None:
        """Raise a ValueError that names the first key whose value is not allowed."""
        require(0 <= self.seed < 2**31, "seed", self.seed, "at least 0 and below 2**31")
        for key in ("model", "data", "train", "logger"):
            getattr(self, key).check()


GROUPS = ("model", "data", "train", "logger")
ROOT_KEYS = tuple(field.name for field in fields(RunConfig) if field.name not in GROUPS)
