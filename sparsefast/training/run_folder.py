"""The folder of a run: its configuration, versions, metrics, checkpoints and pictures; and the table of all runs."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsefast._version import __version__
from sparsefast.files import replace_file

CONFIG, METRICS, TABLE, LOG, VERSIONS = "config.yaml", "metrics.jsonl", "metrics.csv", "log.txt", "versions.json"
SUMMARY = "summary.csv"


class RunFolder:
    """Where everything of a run is.

    Parameters
    ----------
    path : path of the folder
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that the run is resumed from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def weights(self) -> Path:
        """The averaged weights of that moment."""
        return self.path / "weights.safetensors"

    @property
    def best(self) -> Path:
        """The averaged weights of the best evaluation."""
        return self.path / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """JSON lines: a dict of numbers for each `log_every` steps, and for each evaluation."""
        return self.path / METRICS

    def write_config(self, text: str) -> None:
        """Write the resolved configuration (YAML)."""
        replace_file(self.path / CONFIG, text.encode())

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def cut_metrics(self, step: int) -> None:
        """Leave out the lines of later steps: they are going to be written again."""
        if self.metrics.exists():
            kept = [line for line in read_metrics(self.metrics, partial=True) if line["step"] <= step]
            replace_file(self.metrics, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write_table(self) -> None:
        """Write metrics.jsonl as CSV, a column for each key."""
        lines = read_metrics(self.metrics) if self.metrics.exists() else []
        replace_file(self.path / TABLE, _csv(lines).encode())

    def write_versions(self, seed: int) -> None:
        """Write down the seed, and what the run is computed with and on."""
        import lightning
        import numpy
        import torch

        about = {
            "seed": seed,
            "sparsefast": __version__,
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "command": sys.argv,
        }
        replace_file(self.path / VERSIONS, (json.dumps(about, indent=2) + "\n").encode())

    def log(self, text: str) -> None:
        """Add a line with the time to log.txt."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def new_folder(out: str | os.PathLike[str], name: str | None, default: str) -> RunFolder:
    """Make the folder of a new run, out/name; without a name, out/default, or with a number behind it.

    Raises
    ------
    ValueError
        If a folder of that name is there already.
    OSError
        If it cannot be made.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if name is not None:
        try:
            (out / name).mkdir(parents=True)
        except FileExistsError:
            raise ValueError(
                f"{out / name} is there already: choose another name=, or go on with --resume {out / name}"
            ) from None
        return RunFolder(out / name)
    for i in range(1, 10_000):
        path = out / (default if i == 1 else f"{default}-{i}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return RunFolder(path)
    raise ValueError(f"{out} has too many runs named {default}: choose a name=")


def read_metrics(path: str | os.PathLike[str], partial: bool = False) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; `partial` leaves out a last line that was cut off.

    Raises
    ------
    ValueError
        If a line is not a dict with a step, naming the file and the line.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    found = []
    for i, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            line["step"] + 0
        except (ValueError, KeyError, TypeError):
            if partial and i == len(lines):
                break
            raise ValueError(f"{path}, line {i}: not a line of metrics") from None
        found.append(line)
    return found


def append_summary(out: str | os.PathLike[str], row: dict[str, Any]) -> None:
    """Add a row to out/summary.csv; a column that is new is empty in the older rows.

    Runs that end at the same time wait for each other.
    """
    path = Path(out) / SUMMARY
    with _alone(Path(out)):
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        replace_file(path, _csv([*rows, row]).encode())


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Held by one process at a time. The folder itself is locked, which leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError, ImportError):  # some network file systems lock nothing, and Windows has none
            fcntl: Any = importlib.import_module("fcntl")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
