"""Tables and the picture of `bench laser`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from sparsefast.bench.laser import pixels, speed, steps
from sparsefast.bench.laser.study import GOAL, Found

_OURS = "DL"


def found_line(found: Found) -> str:
    """A contender at one rate: the mean, then each photograph."""
    each = "  ".join(f"{name} {value:.2f}" for name, value in found.psnr.items())
    return f"  {found.contender:<4} {found.rate:g} bit/pixel  {found.mean:6.2f} dB  ({each})  [{found.words}]"


def gain_lines(results: Sequence[Found]) -> Iterator[str]:
    """How far DL is above each of the others at each rate, and what the goal is."""
    means = {(found.contender, found.rate): found.mean for found in results}
    for rate in sorted({found.rate for found in results}):
        gains = [
            f"{means[_OURS, rate] - mean:+.2f} dB over {other}"
            for (other, at), mean in means.items()
            if at == rate and other != _OURS and (_OURS, rate) in means
        ]
        if gains:
            yield f"  {_OURS} at {rate:g}: {', '.join(gains)} (goal {GOAL:+g} over both, at two rates)"


def pixel_line(row: pixels.Row) -> str:
    return (
        f"  {row.patch_size}x{row.patch_size}  {row.contender:<16} MSE {row.mse:.2e}"
        f"  {row.milliseconds:7.2f} ms a crop  {row.bits_per_pixel:6.2f} bit/pixel"
    )


def speed_line(row: speed.Row, goal: float) -> str:
    text = (
        f"  {row.size:<9} batch {row.batch:<3} {row.contender:<12} forward {row.forward:7.2f} ms"
        f"  with backward {row.both:7.2f} ms"
    )
    if row.contender == speed.PEER:
        return text
    text += f"  {row.times:5.2f}x {speed.PEER} ({row.times_forward:.2f}x forward)"
    return text + (f"  goal {goal:g}x" if row.contender.startswith(_OURS) else "")


def step_line(row: steps.Row) -> str:
    if row.absent is not None:
        return f"  {row.setting:<9} batch {row.batch:<5} {row.part:<10} {row.contender:<22} absent: {row.absent}"
    text = (
        f"  {row.setting:<9} batch {row.batch:<5} {row.part:<10} {row.contender:<22}"
        f" {row.images_per_second:10.4g} images/s  (mean {row.mean_images_per_second:.4g})"
    )
    if row.contender.startswith(steps.PEER):
        return text
    text += f"  {row.times:5.2f}x {steps.PEER}"
    return text + (f"  goal {steps.GOAL:g}x" if row.contender.startswith(_OURS) and row.part == "model" else "")


def draw(results: Sequence[Found], path: str) -> None:
    """Mean PSNR by rate of each contender, and the curves of each photograph behind them."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(7, 5))
    for colour, contender in enumerate(dict.fromkeys(found.contender for found in results)):
        mine = [found for found in results if found.contender == contender]
        for found in mine:
            for points in found.points.values():
                axes.plot(
                    [p.bits_per_pixel for p in points],
                    [p.psnr for p in points],
                    color=f"C{colour}",
                    linewidth=0.5,
                    alpha=0.4,
                )
        axes.plot([f.rate for f in mine], [f.mean for f in mine], "o-", color=f"C{colour}", label=contender)
    axes.set(xlabel="entropy, bit/pixel", ylabel="PSNR, dB (mean: thick)", xlim=(0, 1.5))
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
