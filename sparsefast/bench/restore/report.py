"""Results in words and in JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sparsefast.bench.report import SCHEMA, SCHEMA_VERSION
from sparsefast.bench.restore.contender import Contender
from sparsefast.bench.restore.crops import SIZE, Crop
from sparsefast.bench.restore.measure import Row


def crop_lines(crops: Iterable[Crop]) -> list[str]:
    """Where the crops are."""
    return [
        f"crop {crop.name}: {SIZE} x {SIZE} {'colours' if crop.colour else 'grey'} of {crop.photo}, from row "
        f"{crop.top}, column {crop.left} on; its noise and mask are drawn by its name"
        for crop in crops
    ]


def contender_lines(contenders: Iterable[Contender]) -> list[str]:
    """With which settings."""
    return [f"{who.name} {who.version}{': ' if who.words else ''}{who.words}" for who in contenders]


def head(op: str, variant: str, number: float, crops: Sequence[Crop]) -> str:
    """The line above a table."""
    what = f"noise of sigma {number:g} of 255, not clipped" if op == "denoise" else f"{number:.0%} of the pixels known"
    return f"{op} {variant}: {what}; PSNR in dB of each crop, then means: {', '.join(crop.name for crop in crops)}"


def row_line(rows: Sequence[Row], crops: Sequence[Crop], width: int) -> str:
    """One contender."""
    values = " ".join(f"{row.psnr:.2f}" for row in rows)
    parts = [f"  {rows[0].contender:<{width}}  {values} "]
    for words, chosen in groups(rows, crops).items():
        quality = f"{mean(row.psnr for row in chosen):.2f} dB, SSIM {mean(row.ssim for row in chosen):.3f}"
        seconds = statistics.median(row.seconds for row in chosen)
        cpu = statistics.median(row.cpu_seconds for row in chosen)
        parts.append(f"{words} {quality}, {seconds:.2f} s ({cpu:.2f} s cpu)")
    return "  ".join(parts)


def groups(rows: Sequence[Row], crops: Sequence[Crop]) -> dict[str, list[Row]]:
    """The rows of coloured crops and those of grey ones, as far as there are any."""
    kind = {crop.name: "colours" if crop.colour else "grey" for crop in crops}
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(kind[row.crop], []).append(row)
    return found


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(list(values))


def case(op: str, variant: str, number: float, crops: Sequence[Crop], rows: Sequence[Row]) -> dict[str, Any]:
    """One table as plain containers."""
    means = []
    for name in dict.fromkeys(row.contender for row in rows):
        for words, chosen in groups([row for row in rows if row.contender == name], crops).items():
            averages = {
                what: mean(getattr(row, what) for row in chosen) for what in ("psnr", "ssim", "seconds", "cpu_seconds")
            }
            means.append({"contender": name, "crops": words, **averages})
    return {"op": op, "variant": variant, "value": number, "means": means, "rows": [asdict(row) for row in rows]}


def document(
    op: str,
    machine: dict[str, Any],
    settings: dict[str, Any],
    crops: Sequence[Crop],
    contenders: Sequence[Contender],
    cases: Sequence[dict[str, Any]],
    absent: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Everything that was measured, as plain containers; as of `bench omp` where they have the same in them."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "op": op,
        "date": machine["date"],
        "machine": machine,
        "settings": settings,
        "crops": [{"name": c.name, "top": c.top, "left": c.left, "shape": c.truth.shape} for c in crops],
        "contenders": [{"name": c.name, "version": c.version, "words": c.words} for c in contenders],
        "cases": list(cases),
        "absent": [{"contender": name, "reason": reason} for name, reason in absent],
    }
