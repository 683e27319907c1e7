"""Results in words and in JSON, and what they say of the goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sparsefast.bench.machine import Limit
from sparsefast.bench.patches.measure import Result, Row
from sparsefast.bench.report import si

GOALS = {
    "unfold": {"F.unfold": {"p8-s1": 3.0, "p8-s4": 2.0, "p7-s5": 3.0}},
    "unfold_out": {"F.unfold": {"p8-s1": 5.0, "p8-s4": 5.0, "p7-s5": 5.0}},
    "fold": {
        "recipe": {"p8-s1": 10.0, "p8-s4": 10.0, "p7-s5": 10.0},
        "F.fold": {"p8-s1": 3.0, "p8-s4": 3.0, "p7-s5": 3.0},
    },
    "fold_gaussian": {"recipe": {"p8-s1": 10.0, "p8-s4": 10.0, "p7-s5": 10.0}},
}
"""For each variant, in columns: how many times a peer's rate the backend that `auto` takes is meant to have."""
ON_GPU = 3.0
"""There: times F.unfold, a new output each call, and times F.fold."""


def result_lines(result: Result) -> list[str]:
    """One batch: what it is, then a line for each contender."""
    moved = result.bytes * result.n_images
    least = moved / result.limits[0].bandwidth
    head = (
        f"{result.variant.name}, {result.layout}, {result.case.name}: {result.variant.words}; {result.n_images} images "
        f"{result.case.words()}; {si(moved)}B move: at least {_ms(least)}"
    )
    width = max((len(row.contender) for row in result.rows), default=0)
    lines = [_row_line(row, width, result) for row in result.rows]
    if not any(not row.ours for row in result.rows):
        lines.append("  nobody to compare with")
    return [head, *lines]


def _row_line(row: Row, width: int, result: Result) -> str:
    threads = "" if row.threads == 0 else f"  {row.threads} thread{'s' if row.threads > 1 else ' '}"
    start = f"  {row.contender:<{width}}{threads}"
    if row.wrong is not None or row.rate is None:
        return f"{start}  wrong: {row.wrong}"
    median = row.rate["median"]
    spread = (row.rate["q3"] - row.rate["q1"]) / median
    parts = [
        start,
        f"{_ms(result.n_images / median):>8} (IQR {spread:.0%})",
        f"{si(row.bytes_per_second or 0)}B/s",
        f"{_percent(row.fraction_of_limit or 0)} of a copy",
    ]
    if row.graph_rate is not None:
        parts.append(f"{_ms(result.n_images / row.graph_rate['median'])} as a graph")
    elif row.graph_error is not None:
        parts.append(f"no graph: {row.graph_error}")
    if row.memory_bytes is not None:
        parts.append(f"{si(row.memory_bytes)}B allocated")
    if row.ours:
        parts.append(", ".join(f"{ratio:.2f}x {name}" for name, ratio in peers(row).items()))
    if row.scaling:
        s = row.scaling
        parts.append(f"scaling {s['own']:.2f}, copy {s['copy']:.2f}: {s['of_copy']:.2f} of it")
    if row.note:
        parts.append(f"[{row.note}]")
    return "  ".join(part for part in parts if part)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.{0 if fraction >= 0.0995 else 1}f}%"


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} ms"


def peers(row: Row) -> dict[str, float]:
    """How many times the rate of each peer a row has."""
    return {name: t["median"] for name, t in row.times.items() if not name.startswith("sparsefast ")}


def goals(results: Sequence[Result]) -> list[dict[str, Any]]:
    """What was measured of the goals, in columns."""
    found: list[dict[str, Any]] = []
    for result in results:
        if result.layout != "columns":
            continue
        first: dict[int, Row] = {}
        for row in result.rows:
            if row.ours and row.rate is not None:
                first.setdefault(row.threads, row)
        for threads, row in first.items():
            for name, ratio in peers(row).items():
                wanted = _wanted(result, name, threads == 0)
                if wanted is not None:
                    head = {"variant": result.variant.name, "case": result.case.name, "n_images": result.n_images}
                    who = {"threads": threads, "contender": row.contender, "peer": name}
                    found.append({**head, **who, "value": ratio, "wanted": wanted, "met": ratio >= wanted})
    return found


def _wanted(result: Result, peer: str, on_gpu: bool) -> float | None:
    case = result.case.name
    if on_gpu:
        named = {"unfold": "F.unfold", "fold": "F.fold"}
        return ON_GPU if named.get(result.variant.name) == peer and result.case.of_torch else None
    return GOALS.get(result.variant.name, {}).get(peer, {}).get(case)


def goal_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each goal and place where it was measured."""
    lines = []
    for g in found:
        threads = f", {g['threads']} thread{'s' if g['threads'] > 1 else ''}" if g["threads"] else ""
        who = f"{g['variant']} {g['case']}, {g['n_images']} images{threads}, {g['contender']}"
        said = "met   " if g["met"] else "missed"
        lines.append(f"  {said}  {who}: {g['value']:.2f} times {g['peer']}, wanted {g['wanted']:g}")
    return lines


def document(
    machine: dict[str, Any],
    settings: dict[str, Any],
    limits: Sequence[Limit],
    results: Sequence[Result],
    absent: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Everything that was measured, raw timings too, as plain containers; as of `bench omp` where they have the same
    in them."""
    from sparsefast.bench import report
    from sparsefast.bench.gpu import report as on_gpu

    device = "device" in machine
    schema = (on_gpu.SCHEMA, on_gpu.SCHEMA_VERSION) if device else (report.SCHEMA, report.SCHEMA_VERSION)
    return {
        "schema": schema[0],
        "schema_version": schema[1],
        "op": "patches",
        "date": machine["date"],
        "device" if device else "machine": machine,
        "settings": settings,
        **({"limit": asdict(limits[0])} if device else {"limits": [asdict(limit) for limit in limits]}),
        "cases": [result.as_dict() for result in results],
        "absent": [{"contender": name, "reason": reason} for name, reason in absent],
        "goals": goals(results),
    }
