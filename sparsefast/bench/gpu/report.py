"""Results on a GPU in words and in JSON, and what they say of the goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sparsefast.bench.gpu.measure import Result, Row
from sparsefast.bench.machine import Limit
from sparsefast.bench.report import si

SCHEMA = "sparsefast-bench-gpu"
SCHEMA_VERSION = 1
TIMES_A_PEER = 20.0
OF_BANDWIDTH = 0.5
TIMES_SLOWER = 2.0
TRITON_ATOMS = 256


def device_lines(device: dict[str, Any], limit: Limit) -> list[str]:
    """The device above the table."""
    parts = [str(device["device"])]
    if "capability" in device:
        parts += [f"compute capability {device['capability']}", f"{device['multiprocessors']} multiprocessors"]
        parts += [f"{si(device['memory_bytes'], 'B')}", f"L2 {si(device['l2_bytes'] or 0, 'B')}"]
    if device.get("driver"):
        parts.append(f"driver for CUDA {device['driver']}")
    versions = ", ".join(f"{name} {version}" for name, version in device["versions"].items())
    return [
        ", ".join(parts),
        f"Python {device['python']}, {versions}, {device['date']}",
        f"limit: {si(limit.flops)}FLOP/s (product, {limit.size} x {limit.size}, no TF32), "
        f"{si(limit.bandwidth)}B/s (copy, read and written)",
    ]


def result_lines(result: Result) -> list[str]:
    """One case at one batch size: what it is, then a line for each contender."""
    head = (
        f"{result.variant} {result.case.name}, {result.n_signals} signals: {result.case.words()}; a signal takes "
        f"{si(result.flops)}FLOP and {result.bytes} bytes"
    )
    width = max((len(row.contender) for row in result.rows), default=0)
    return [head, *(_row_line(row, width) for row in result.rows)]


def _row_line(row: Row, width: int) -> str:
    start = f"  {row.contender:<{width}}"
    if row.wrong is not None or row.rate is None:
        return f"{start}  wrong: {row.wrong}"
    median = row.rate["median"]
    spread = (row.rate["q3"] - row.rate["q1"]) / median
    parts = [start, f"{si(median):>5} signals/s (IQR {spread:.0%})"]
    if row.graph_rate is not None:
        parts.append(f"{si(row.graph_rate['median']):>5} as a graph")
    elif row.graph_error is not None:
        parts.append(f"no graph: {row.graph_error}")
    parts.append(f"{row.of_product or 0:.1%} of product, {row.of_bandwidth or 0:.1%} of copy")
    if row.memory_bytes is not None:
        parts.append(f"{si(row.memory_bytes, 'B')} allocated")
    best = best_peer(row)
    if row.ours and best is not None:
        parts.append(f"{best[1]:.2f}x {best[0]}")
    parts.append(f"residual {row.residual:.4f}, {row.atoms:.2f} atoms")
    if row.note:
        parts.append(f"[{row.note}]")
    return "  ".join(parts)


def best_peer(row: Row) -> tuple[str, float] | None:
    """The peer that a row of ours beats by least, and by how much."""
    ratios = {name: t["median"] for name, t in row.times.items() if not name.startswith("sparsefast ")}
    if not ratios:
        return None
    name = min(ratios, key=lambda who: ratios[who])
    return name, ratios[name]


def goals(results: Sequence[Result]) -> list[dict[str, Any]]:
    """What was measured of the goals: 20 times the best peer at each case and batch of `omp`, half of the bandwidth
    for colour pixels, Triton within twice the time of CUDA up to 256 atoms."""
    found: list[dict[str, Any]] = []

    def add(result: Result, row: Row, goal: str, value: float, wanted: float, met: bool) -> None:
        who = {"variant": result.variant, "case": result.case.name, "n_signals": result.n_signals}
        found.append({**who, "contender": row.contender, "goal": goal, "value": value, "wanted": wanted, "met": met})

    for result in results:
        if result.variant != "omp":
            continue
        largest = max(r.n_signals for r in results if r.case.name == result.case.name)
        for row in result.rows:
            if not row.ours or row.rate is None:
                continue
            best = best_peer(row)
            if best is not None and row.contender == "sparsefast cuda":
                add(result, row, f"times {best[0]}", best[1], TIMES_A_PEER, best[1] >= TIMES_A_PEER)
            of_copy = row.of_bandwidth or 0.0
            if result.case.name == "C4" and result.n_signals == largest and row.contender == "sparsefast cuda":
                add(result, row, "of the copy's bandwidth", of_copy, OF_BANDWIDTH, of_copy >= OF_BANDWIDTH)
            ratio = row.times.get("sparsefast cuda", {}).get("median")
            if row.contender == "sparsefast triton" and result.case.n_atoms <= TRITON_ATOMS and ratio:
                add(result, row, "times the time of cuda", 1 / ratio, TIMES_SLOWER, 1 / ratio <= TIMES_SLOWER)
    return found


def goal_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each goal and place where it was measured."""
    lines = []
    for g in found:
        who = f"{g['variant']} {g['case']}, {g['n_signals']} signals, {g['contender']}"
        said = "met   " if g["met"] else "missed"
        lines.append(f"  {said}  {who}: {g['value']:.2f} {g['goal']}, wanted {g['wanted']:g}")
    return lines


def document(
    device: dict[str, Any],
    settings: dict[str, Any],
    limit: Limit,
    results: Sequence[Result],
    absent: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Everything that was measured, raw timings too, as plain containers."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "op": "omp",
        "date": device["date"],
        "device": device,
        "settings": settings,
        "limit": asdict(limit),
        "cases": [result.as_dict() for result in results],
        "absent": [{"contender": name, "reason": reason} for name, reason in absent],
        "goals": goals(results),
    }
