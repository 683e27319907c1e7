"""Results in words, in JSON and as a picture."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sparsefast.bench.machine import Limit
from sparsefast.bench.measure import Result, Row
from sparsefast.bench.overheads import Memory, Overhead

SCHEMA = "sparsefast-bench"
SCHEMA_VERSION = 2


def si(value: float, unit: str = "") -> str:
    """Three digits and a prefix: 846k, 1.75M, 23.4k."""
    if not math.isfinite(value):
        return f"{value}{unit}"
    prefix = ""
    for larger in ("k", "M", "G", "T"):
        if abs(value) < 999.5:
            break
        value, prefix = value / 1000, larger
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f}{prefix}{unit}"


def machine_lines(machine: dict[str, Any], limits: Iterable[Limit]) -> list[str]:
    """The machine above the table."""
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    load = machine["load_before"]
    lines = [
        f"{machine['processor']}, {machine['cpus']} cpus"
        + (f" ({caches})" if caches else "")
        + (f", {si(machine['memory_bytes'], 'B')}" if machine["memory_bytes"] else ""),
        f"{machine['system']}, Python {machine['python']}, {machine['date']}"
        + (f", load {load:.2f} before" if load is not None else ""),
        ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        f"C++ kernels: {machine['isa'] or 'none'}; BLAS: {', '.join(machine['blas']) or 'unknown'}; "
        + " ".join(f"{name}={value}" for name, value in machine["environment"].items()),
    ]
    for limit in limits:
        product = f"{si(limit.flops)}FLOP/s (product, {limit.blas}, {limit.size} x {limit.size})"
        copy = f"{si(limit.bandwidth)}B/s (copy, read and written)"
        lines.append(f"limit, {_threads(limit.threads)}: {product}, {copy}")
    return lines


def _threads(n: int) -> str:
    return f"{n} thread" if n == 1 else f"{n} threads"


def case_lines(result: Result) -> list[str]:
    """One case: what it is, then a line for each contender."""
    case = result.case
    least, which = result.limits[0].seconds(result.flops, result.bytes)
    head = (
        f"{result.variant} {case.name}: {case.words()}; a signal takes "
        f"{si(result.flops)}FLOP and {result.bytes} bytes: at most {si(1 / least)} signals/s ({which})"
    )
    if case.goal is not None:
        head += f"; goal {case.goal:g}x SPAMS on one thread"
    if case.neighbour:
        head += f"; neighbour {case.neighbour}"
    width = max((len(row.contender) for row in result.rows), default=0)
    return [head, *(_row_line(row, width) for row in result.rows)]


def _row_line(row: Row, width: int) -> str:
    start = f"  {row.contender:<{width}}  {_threads(row.threads):<9}"
    if row.wrong is not None or row.rate is None:
        known = f"  [known: {row.known_fault}]" if row.known_fault else ""
        return f"{start}  wrong: {row.wrong}{known}"
    median, spread = row.rate["median"], row.rate["q3"] - row.rate["q1"]
    parts = [
        start,
        f"{si(median):>5} signals/s (IQR {spread / median:.0%})",
        f"{_percent(row.fraction_of_limit or 0):>5} of limit ({row.limit})",
    ]
    if row.ours:
        parts.append(_ratios(row))
    parts.append(f"residual {row.residual:.4f}, {row.atoms:.2f} atoms")
    if row.scaling:
        s = row.scaling
        parts.append(f"scaling {s['own']:.2f}, product {s['sgemm']:.2f}: {s['of_sgemm']:.2f} of it")
    if row.note:
        parts.append(f"[{row.note}]")
    return "  ".join(part for part in parts if part)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.{0 if fraction >= 0.0995 else 1 if fraction >= 0.00995 else 2}f}%"


def _ratios(row: Row) -> str:
    """Times SPAMS, and times the best peer where that is another."""
    if not row.times:
        return ""
    # The best peer is the one that we beat by least.
    best = min(row.times, key=lambda name: row.times[name]["median"])
    named = [f"{row.times['SPAMS']['median']:.2f}x SPAMS"] if "SPAMS" in row.times else []
    if best != "SPAMS":
        named.append(f"{row.times[best]['median']:.2f}x {best}")
    return ", ".join(named)


def neighbour_lines(results: Sequence[Result]) -> list[str]:
    """Sizes that suit no tile beside those that do: rate and FLOP/s relative to the neighbour."""
    by_name = {(result.variant, result.case.name): result for result in results}
    lines = []
    for result in results:
        other = by_name.get((result.variant, result.case.neighbour))
        if other is None:
            continue
        rates = {(r.contender, r.threads): r.rate["median"] for r in other.rows if r.rate}
        for row in result.rows:
            if row.ours and row.rate and (row.contender, row.threads) in rates:
                ratio = row.rate["median"] / rates[row.contender, row.threads]
                lines.append(
                    f"  {result.variant} {result.case.name} over {other.case.name}: "
                    f"{row.contender}, {_threads(row.threads)}: {ratio:.2f} in signals/s, "
                    f"{ratio * result.flops / other.flops:.2f} in FLOP/s"
                )
    return lines


def overhead_line(o: Overhead) -> str:
    return (
        f"  {o.backend}, {o.kind}: 8 signals, prepared: {o.wall_us:.1f} us, its kernel {o.kernel_us:.1f} us: "
        f"{o.overhead_us:.1f} us for the call"
    )


def memory_line(m: Memory) -> str:
    workspace = "" if m.workspace_bytes is None else f"workspace {si(m.workspace_bytes)}B, "
    grown = "" if m.resident_bytes is None else f"the process grew by {si(m.resident_bytes)}B beside the outputs, "
    correlations = f"K x N would be {si(m.correlations_bytes)}B"
    return f"  {m.backend}: {m.n_signals} signals: {workspace}{grown}{correlations}"


def document(
    machine: dict[str, Any],
    settings: dict[str, Any],
    limits: Sequence[Limit],
    results: Sequence[Result],
    absent: Sequence[tuple[str, str]],
    overheads: Sequence[Overhead],
    memories: Sequence[Memory],
) -> dict[str, Any]:
    """Everything that was measured, raw timings too, as plain containers."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "op": "omp",
        "date": machine["date"],
        "machine": machine,
        "settings": settings,
        "limits": [asdict(limit) for limit in limits],
        "cases": [result.as_dict() for result in results],
        "absent": [{"contender": name, "reason": reason} for name, reason in absent],
        "call_overhead": [asdict(o) for o in overheads],
        "memory": [asdict(m) for m in memories],
    }


def to_json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def draw(results: Sequence[Result], title: str, path: str) -> None:
    """A bar chart of signals/s, a group a case, logarithmic; quartiles as whiskers. Needs matplotlib."""
    try:
        importlib.import_module("matplotlib").use("Agg")
        plt = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        raise ModuleNotFoundError("--png draws with matplotlib: pip install matplotlib") from None
    names = list(dict.fromkeys((row.contender, row.threads) for result in results for row in result.rows))
    # A colour for each contender, paler with each further number of threads.
    colours = {who: f"C{i}" for i, who in enumerate(dict.fromkeys(name for name, _ in names))}
    shades = {threads: 0.65**i for i, threads in enumerate(dict.fromkeys(threads for _, threads in names))}
    figure, axes = plt.subplots(figsize=(max(6.0, 1.7 * len(results)), 4.5), layout="constrained")
    most = max((sum(row.rate is not None for row in result.rows) for result in results), default=1)
    width = 0.85 / max(1, most)
    bars: dict[tuple[str, int], list[tuple[float, dict[str, float]]]] = {name: [] for name in names}
    for group, result in enumerate(results):
        right = [row for row in result.rows if row.rate is not None]
        for k, row in enumerate(right):
            place = group + (k - (len(right) - 1) / 2) * width
            bars[row.contender, row.threads].append((place, row.rate or {}))
    for (name, threads), found in bars.items():
        if found:
            places, rates = zip(*found, strict=True)
            errors = [[r["median"] - r["q1"] for r in rates], [r["q3"] - r["median"] for r in rates]]
            label = f"{name}, {_threads(threads)}"
            whiskers = {"yerr": errors, "error_kw": {"lw": 0.8}}
            colour = {"color": colours[name], "alpha": shades[threads]}
            axes.bar(places, [r["median"] for r in rates], width, label=label, **colour, **whiskers)
    axes.set_yscale("log")
    axes.set_ylabel("signals/s")
    labels = [(r.variant, r.case.name, f"{r.case.n_features}/{r.case.n_atoms}/{r.case.n_nonzero}") for r in results]
    axes.set_xticks(range(len(labels)), ["\n".join(label) for label in labels])
    axes.set_title(title, fontsize=9)
    figure.legend(loc="outside right upper", fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)
