"""Curves of training runs, from the metrics that they wrote: a panel for each metric, a line for each run."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sparsefast.files import replace_file

# By the last part of a key: what its axis says. Losses and what is not listed have no unit.
UNITS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "mse": "MSE", "mae": "MAE", "lpips": "LPIPS", "fid": "FID",
         "images_per_second": "images/s", "peak_memory": "peak memory (bytes)"}  # fmt: skip


def plot_curves(
    metrics: Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    keys: Sequence[str] = ("train/loss", "val/psnr"),
) -> None:
    """Draw metrics against the optimiser step, and write a PNG, whole or not at all.

    Parameters
    ----------
    metrics : mapping of str to path
        By the label of a run, a file of JSON lines: each an object with "step" (an integer) and any of the keys as
        numbers. A line without a key is no point of its panel, nor is a nan; of a step that comes again after a resume
        the last value counts. A last line that was not written to its end is left out.
    out : path of the PNG, in a folder that exists
    keys : sequence of str
        A panel each, such as "train/loss" and "val/psnr" (in dB).

    Raises
    ------
    ValueError
        If a file holds another line than such an object, with the file and the line; if there is no run or no key; or
        if no run has any value of a key.
    OSError
        If a file cannot be read or written.
    ModuleNotFoundError
        If matplotlib is missing.
    """
    if not metrics or not keys:
        raise ValueError(f"plot_curves: {'keys' if metrics else 'metrics'} is empty; it must name at least one")
    runs = {label: _points(path, keys) for label, path in metrics.items()}
    for key in keys:
        if not any(points[key] for points in runs.values()):
            raise ValueError(f"plot_curves: no line of {', '.join(map(str, metrics.values()))} has a value of {key!r}")
    replace_file(out, _drawn(runs, keys))


def _points(path: str | os.PathLike[str], keys: Sequence[str]) -> dict[str, dict[int, float]]:
    """By key, the values of a file by step."""
    points: dict[str, dict[int, float]] = {key: {} for key in keys}
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
            except ValueError as error:  # of JSON, and of UTF-8
                if not line.endswith(b"\n"):
                    break  # the last one of a run that goes on, or was killed
                raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(entry, dict) or not _is_number(entry.get("step"), int):
                raise ValueError(f'{path}, line {number}: must be an object with an integer "step"')
            for key in keys:
                value = entry.get(key)
                if value is None:
                    continue
                if not _is_number(value, (int, float)):
                    raise ValueError(f"{path}, line {number}: {key}={value!r} must be a number")
                points[key][entry["step"]] = float(value)
    return points


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _drawn(runs: Mapping[str, dict[str, dict[int, float]]], keys: Sequence[str]) -> bytes:
    try:
        # Neither pyplot nor its backend: nothing of a program that draws too is changed.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError:
        raise ModuleNotFoundError("plot_curves: curves are drawn with matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(5 * len(keys), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for key, axes in zip(keys, figure.subplots(1, len(keys), squeeze=False)[0], strict=True):
        for label, points in runs.items():
            known = sorted((step, value) for step, value in points[key].items() if math.isfinite(value))
            # A run without values keeps its colour and its place in the legend of every panel.
            lone = "o" if len(known) == 1 else None
            axes.plot([step for step, _ in known], [value for _, value in known], label=label, marker=lone)
        axes.set(title=key, xlabel="optimiser step", ylabel=UNITS.get(key.rsplit("/", 1)[-1], key.rsplit("/", 1)[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()
