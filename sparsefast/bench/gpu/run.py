"""`sparsefast bench omp --device cuda`: the run, and where its results go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from sparsefast.bench.case import Case
from sparsefast.bench.gpu import device, measure, peers, report
from sparsefast.bench.report import to_json
from sparsefast.bench.variant import Variant

BACKENDS = ("cuda", "triton")
VARIANTS = ("omp", "ols", "omp_masked", "topk", "nearest_code")
OPTIONS = ("op", "device", "variants", "cases", "batches", "seconds", "peers", "backends", "dtype")


def run(args: argparse.Namespace, chosen: Sequence[tuple[Variant, Case]], on: str = "cuda") -> int:
    """Measure on the device, print, and write what was asked for.

    Returns the exit status: 0, 1 if a result was wrong or none of ours could run, 2 where there is no device.
    """
    if on == "cuda" and (reason := device.why_not()) is not None:
        print(f"sparsefast bench: --device cuda: {reason}", file=sys.stderr)
        return 2
    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    watch = device.Stopwatch(on)
    described = device.describe(watch)
    limit = device.measure_limit(watch, args.dtype)
    say(*report.device_lines(described, limit))
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    results: list[measure.Result] = []
    absent: dict[tuple[str, str], None] = {}
    for variant, case in chosen:
        us, missing = measure.ours(variant, [b for b in args.backends if b != "none"], args.dtype, watch.device.type)
        for name, reason in missing:
            if (name, reason) not in absent:
                say(f"absent: {name}: {reason}")
            absent[name, reason] = None
        them = peers.theirs(variant.name, args.peers or list(peers.NAMES), watch)
        if not us and not them:
            continue
        bench = measure.Bench(variant, case, watch, args.dtype)
        for n in args.batches or [*(b for b in measure.BATCHES if b < case.most), case.most]:
            results.append(bench.measure(n, [*us, *them], limit, args.seconds))
            say("", *report.result_lines(results[-1]))
            # As it goes: a run that is cut short leaves what it had.
            _write(args.json, report.document(described, settings, limit, results, list(absent)), last=False)
    found = report.document(described, settings, limit, results, list(absent))
    if found["goals"]:
        say("", "goals", *report.goal_lines(found["goals"]))
    _write(args.json, found, last=True)
    wrong = [
        f"{row.contender} at {result.variant} {result.case.name}, {result.n_signals} signals"
        for result in results
        for row in result.rows
        if row.wrong is not None
    ]
    if wrong:
        print(f"sparsefast bench: wrong results, which have no speed: {'; '.join(wrong)}", file=sys.stderr)
    asked = [name for name in args.backends if name != "none"]
    alone = bool(asked) and not any(row.ours for result in results for row in result.rows)
    if alone:
        print(f"sparsefast bench: none of ours ran: {', '.join(asked)} are absent, see above", file=sys.stderr)
    return 1 if wrong or alone else 0


def _write(path: str | None, found: dict[str, Any], last: bool) -> None:
    if path == "-":
        if last:
            sys.stdout.write(to_json(found))
    elif path is not None:
        Path(path).write_text(to_json(found), encoding="utf-8")
