"""Tables and the picture of `bench laser`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparsefast.bench.laser import pixels, speed, steps
from sparsefast.bench.laser.study import GOAL, Found

_OURS = "DL"


def found_line(found: Found) -> str:
    """A contender at one rate: the mean, then each photograph."""
    each = "  ".join(f"{name} {value:.2f}" for name, value in found.psnr.items())
    return f"  {found.contender:<6} {found.rate:g} bit/pixel  {found.mean:6.2f} dB  ({each})  [{found.words}]"


def gain_lines(results: Sequence[Found]) -> Iterator[str]:
    """How far each DL is above each of the others that are searched no harder, and what the goal is."""
    means = {(found.contender, found.rate): found.mean for found in results}
    for ours in dict.fromkeys(found.contender for found in results if found.contender.startswith(_OURS)):
        for rate in sorted({found.rate for found in results}):
            gains = [
                f"{means[ours, rate] - mean:+.2f} dB over {other}"
                for (other, at), mean in means.items()
                if at == rate and not other.startswith(_OURS) and _effort(other) <= _effort(ours)
            ]
            if gains and (ours, rate) in means:
                yield f"  {ours} at {rate:g}: {', '.join(gains)} (goal {GOAL:+g} over VQ and RVQ, at two rates)"


def _effort(contender: str) -> int:
    """Of a contender's name: "RVQ" is searched once, "RVQ x4" four times."""
    return int(contender.partition(" x")[2] or 1)


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


def draw(path: str, studies: Mapping[str, Sequence[Found]], sizes: Sequence[pixels.Row]) -> None:
    """Quality by rate of each study, then error and time by patch size of the coders of `pixels`."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    n_panels = len(studies) + 2 * bool(sizes)
    columns, rows = min(2, n_panels), (n_panels + 1) // 2
    figure, axes = pyplot.subplots(rows, columns, figsize=(5.5 * columns, 4.2 * rows), squeeze=False)
    left = iter(axes.ravel())
    for title, results in studies.items():
        _draw_rates(next(left), title, results)
    if sizes:
        for what, label in (("mse", "MSE, data range 1"), ("milliseconds", "ms a 128 x 128 crop")):
            _draw_sizes(next(left), sizes, what, label)
    for unused in left:
        unused.axis("off")
    figure.savefig(path, dpi=90, bbox_inches="tight")
    pyplot.close(figure)


def _draw_rates(axes: Any, title: str, results: Sequence[Found]) -> None:
    """Mean PSNR by rate of each contender, and the curves of each photograph behind them."""
    for colour, contender in enumerate(dict.fromkeys(found.contender for found in results)):
        mine = [found for found in results if found.contender == contender]
        # At two rates the same setting often has the same curve.
        for points in {tuple(points) for found in mine for points in found.points.values()}:
            rates, values = [p.bits_per_pixel for p in points], [p.psnr for p in points]
            axes.plot(rates, values, color=f"C{colour}", linewidth=0.5, alpha=0.3)
        axes.plot([f.rate for f in mine], [f.mean for f in mine], "o-", color=f"C{colour}", label=contender)
    axes.set(title=title, xlabel="entropy, bit/pixel", ylabel="PSNR, dB (mean: thick)", xlim=(0, 1.3), ylim=(20, 46))
    axes.legend()


def _draw_sizes(axes: Any, rows: Sequence[pixels.Row], what: str, label: str) -> None:
    for contender in dict.fromkeys(row.contender for row in rows):
        mine = [row for row in rows if row.contender == contender]
        axes.plot([row.patch_size for row in mine], [getattr(row, what) for row in mine], "o-", label=contender)
    # An error of rounding alone is below the picture.
    axes.set(
        xlabel="patch size", ylabel=label, xscale="log", yscale="log", ylim=(1e-5, None) if what == "mse" else None
    )
    axes.set_xticks(
        sorted({row.patch_size for row in rows}), [str(n) for n in sorted({row.patch_size for row in rows})]
    )
    axes.minorticks_off()
    axes.legend()
