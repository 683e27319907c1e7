"""Results in words and in JSON, and what they say of the goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sparsefast.bench.ksvd.measure import Result, Row
from sparsefast.bench.ksvd.whole import Run, Whole
from sparsefast.bench.machine import Limit
from sparsefast.bench.report import SCHEMA, SCHEMA_VERSION, si


def result_lines(result: Result) -> list[str]:
    """A variant on a case: what it is, then a line for each contender."""
    least, which = result.limits[0].seconds(result.flops, result.bytes)
    head = (
        f"{result.variant.name} {result.case.name}: {result.variant.words}; {result.case.words()}; "
        f"{si(result.flops)}FLOP, {si(result.bytes)}B move: at least {_ms(least)} ({which})"
    )
    if result.variant.goal is not None:
        head += f"; goal {result.variant.goal:g}x the best peer on one thread"
    width = max((len(row.contender) for row in result.rows), default=0)
    lines = [_row_line(row, width) for row in result.rows]
    if all(row.ours for row in result.rows):
        lines.append("  nobody to compare with")
    return [head, *lines]


def _row_line(row: Row, width: int) -> str:
    start = f"  {row.contender:<{width}}  {_threads(row.threads):<9}"
    if row.wrong is not None or row.time is None:
        known = f"  [known: {row.known_fault}]" if row.known_fault else ""
        return f"{start}  wrong: {row.wrong}{known}"
    median = row.time["median"]
    parts = [
        start,
        f"{_ms(median):>8} (IQR {(row.time['q3'] - row.time['q1']) / median:.0%})",
        f"{si(row.flops_per_second or 0)}FLOP/s, {si(row.bytes_per_second or 0)}B/s",
        f"{100 * (row.fraction_of_limit or 0):.3g}% of limit ({row.limit})",
    ]
    if row.ours and (best := best_peer(row)) is not None:
        parts.append(f"{row.times[best]['median']:.2f}x {best}")
    if row.figures:
        parts.append(f"error {row.figures['before']:.4f} -> {row.figures['after']:.4f}")
    if row.scaling is not None:
        parts.append(f"scaling {row.scaling:.2f}")
    if row.note:
        parts.append(f"[{row.note}]")
    return "  ".join(parts)


def best_peer(row: Row) -> str | None:
    """The peer that this row beats by least."""
    return min(row.times, key=lambda name: row.times[name]["median"], default=None)


def whole_lines(whole: Whole) -> list[str]:
    """Dictionary learning as a whole: a line for each run."""
    head = (
        f"whole: a dictionary from the same random patches; {whole.case.words()}; one thread; the error is that of "
        f"omp in the dictionary at the end, {whole.start:.4f} at the start; of us, how fast each gets to a peer's error"
    )
    width = max((len(run.learner) for run in whole.runs), default=0)
    lines = [_run_line(whole, run, width) for run in whole.runs]
    return [head, *lines]


def _run_line(whole: Whole, run: Run, width: int) -> str:
    start = f"  {run.learner:<{width}}  {run.steps:>4g} {run.unit:<10}"
    if run.wrong is not None:
        return f"{start}  wrong: {run.wrong}"
    parts = [start, f"{run.median:7.2f} s", f"error {run.error:.4f}"]
    if not run.ours:
        for name in whole.our_names:
            found = whole.ratio(run, name)
            said = "not reached" if found is None else f"{found:.1f}x as fast"
            parts.append(f"{name.removeprefix('sparsefast ')} {said}")
    if run.note:
        parts.append(f"[{run.note}]")
    return "  ".join(parts)


def goals(results: Sequence[Result], whole: Whole | None) -> list[dict[str, Any]]:
    """What was measured of the goals: of the backend that `auto` takes, on one thread."""
    found: list[dict[str, Any]] = []
    for result in results:
        row = next((r for r in result.rows if r.ours and r.threads == 1 and r.time is not None), None)
        if row is None or result.variant.goal is None or (best := best_peer(row)) is None:
            continue
        head = {"what": f"{result.variant.name} {result.case.name}", "contender": row.contender, "peer": best}
        found.append(_goal(head, row.times[best]["median"], result.variant.goal))
        peer = next(r for r in result.rows if r.contender == best and r.threads == 1)
        # Half of the last digit that is printed.
        same = row.figures["after"] - peer.figures["after"] <= 5e-5
        found[-1].update(error=row.figures["after"], error_of_peer=peer.figures["after"], equal=same)
    return found if whole is None else found + _goals_of_whole(whole)


def _goals_of_whole(whole: Whole) -> list[dict[str, Any]]:
    """At the best run of each peer, for each way of ours to learn."""
    found = []
    for peer, wanted in GOALS_OF_WHOLE.items():
        if (best := whole.best(peer)) is None:
            continue
        for name in whole.our_names:
            head = {"what": f"whole, {best.steps:g} {best.unit}", "contender": name, "peer": peer}
            found.append(_goal(head, whole.ratio(best, name), wanted) | {"error_of_peer": best.error})
    return found


GOALS_OF_WHOLE = {"dictlearn AK-SVD": 15.0, "SPAMS trainDL": 3.0}
"""How many times as fast as these we are meant to reach the lowest error of their runs, or a lower one."""


def _goal(head: dict[str, Any], value: float | None, wanted: float) -> dict[str, Any]:
    return {**head, "value": value, "wanted": wanted, "met": value is not None and value >= wanted}


def goal_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each goal and place where it was measured."""
    lines = []
    for g in found:
        said = "met   " if g["met"] and g.get("equal", True) else "missed"
        value = "never reaches the error of" if g["value"] is None else f"{g['value']:.2f} times"
        line = f"  {said}  {g['what']}, {g['contender']}: {value} {g['peer']}, wanted {g['wanted']:g}"
        if "error" in g:
            line += f"; error {g['error']:.4f}, theirs {g['error_of_peer']:.4f}"
        lines.append(line)
    return lines


def document(
    machine: dict[str, Any],
    settings: dict[str, Any],
    limits: Sequence[Limit],
    results: Sequence[Result],
    whole: Whole | None,
    absent: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Everything that was measured, raw timings too, as plain containers; as of `bench omp` where they have the same
    in them."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "op": "ksvd",
        "date": machine["date"],
        "machine": machine,
        "settings": settings,
        "limits": [asdict(limit) for limit in limits],
        "cases": [result.as_dict() for result in results],
        "whole": None if whole is None else whole.as_dict(),
        "absent": [{"contender": name, "reason": reason} for name, reason in absent],
        "goals": goals(results, whole),
    }


def _threads(n: int) -> str:
    return f"{n} thread" if n == 1 else f"{n} threads"


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:.0f} ms" if value >= 99.95 else f"{value:.3g} ms"
