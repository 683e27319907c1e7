"""`sparsefast bench patches --device cuda`: the same variants and checks, timed by the device, on small and large
batches."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from sparsefast.bench.gpu import device
from sparsefast.bench.gpu.device import Stopwatch
from sparsefast.bench.gpu.report import device_lines
from sparsefast.bench.harness import summarise
from sparsefast.bench.machine import Limit
from sparsefast.bench.patches import contender, peers, report
from sparsefast.bench.patches.case import Case
from sparsefast.bench.patches.contender import Contender
from sparsefast.bench.patches.given import Given
from sparsefast.bench.patches.measure import Bench, Result, Runner, check_again, rounds
from sparsefast.bench.patches.variant import Variant
from sparsefast.bench.report import si, to_json

BACKENDS = ("cuda", "triton")
BATCHES = (16, 256)
OPTIONS = ("op", "device", "variants", "layouts", "cases", "batches", "seconds", "peers", "backends", "dtype")
WARM_UP = 2
ARRAYS = 4
"""As large as all patches: those that are folded or written, the output of a call, and what peers keep beside it."""


def run(
    args: argparse.Namespace, variants: Sequence[Variant], layouts: Sequence[str], cases: Sequence[Case], on: str
) -> int:
    """Measure on a device, print, and write what was asked for.

    Returns the exit status: 0, 1 if a result was wrong or none of ours could run, 2 where there is no device.
    """
    if on == "cuda" and (reason := device.why_not()) is not None:
        print(f"sparsefast bench: --device cuda: {reason}", file=sys.stderr)
        return 2
    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    watch = Stopwatch(on)
    described = device.describe(watch)
    limit = device.measure_limit(watch, args.dtype)
    say(*device_lines(described, limit))
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    asked = [name for name in args.backends if name != "none"]
    results: list[Result] = []
    absent: dict[tuple[str, str], None] = {}

    def write(last: bool) -> dict[str, Any]:
        # As it goes: a run that is cut short leaves what it had.
        found = report.document(described, settings, [limit], results, list(absent))
        if args.json not in (None, "-"):
            Path(args.json).write_text(to_json(found), encoding="utf-8")
        elif args.json == "-" and last:
            sys.stdout.write(to_json(found))
        return found

    for case in cases:
        for n_images in args.batches or BATCHES:
            needed = ARRAYS * n_images * case.bytes(np.dtype(args.dtype).itemsize)
            if (free := _free(watch)) is not None and needed > free:
                say("", f"{case.name}, {n_images} images: left out, {si(needed)}B of {si(free)}B that are free")
                continue
            for layout in layouts:
                bench = Bench(Given(case, layout, n_images, args.dtype, str(watch.device)))
                for variant in variants:
                    us, missing = contender.ours(variant, asked, device=watch.device.type, dtype=args.dtype)
                    them, gone = peers.theirs(variant, case, layout, args.peers, device="cuda")
                    for who in (*missing, *gone):
                        if who not in absent:
                            say(f"absent: {who[0]}: {who[1]}")
                        absent[who] = None
                    if us or them:
                        results.append(measure(bench, variant, [*us, *them], limit, watch, args.seconds))
                        say("", *report.result_lines(results[-1]))
                        write(last=False)
                del bench
                watch.empty_cache()
    found = write(last=True)
    if found["goals"]:
        say("", "goals", *report.goal_lines(found["goals"]))
    return status(results, asked)


def status(results: Sequence[Result], asked: Sequence[str]) -> int:
    """0, or 1 where a result was wrong or none of ours could run, which is said on stderr."""
    wrong = [
        f"{row.contender} at {result.variant.name}, {result.layout}, {result.case.name}, {row.n_images} images"
        for result in results
        for row in result.rows
        if row.wrong is not None
    ]
    if wrong:
        print(f"sparsefast bench: wrong results, which have no speed: {'; '.join(wrong)}", file=sys.stderr)
    alone = bool(asked) and not any(row.ours for result in results for row in result.rows)
    if alone:
        print(f"sparsefast bench: none of ours ran: {', '.join(asked)} are absent, see above", file=sys.stderr)
    return 1 if wrong or alone else 0


def measure(
    bench: Bench, variant: Variant, contenders: Sequence[Contender], limit: Limit, watch: Stopwatch, seconds: float
) -> Result:
    """Check every contender, then time those that are right, for about `seconds` each."""
    runners = []
    for who in contenders:
        watch.empty_cache()
        runners.append(bench.prepare(variant, who, 0, contextlib.nullcontext))
    entries = [runner.entry for runner in runners if runner.entry is not None]
    once = []
    for entry in entries:
        for _ in range(WARM_UP):
            last = watch.seconds(entry.call)
        once.append(last)
    for _ in range(rounds(once, seconds)):
        for entry in entries:
            entry.seconds.append(watch.seconds(entry.call))
    check_again(runners)
    result = bench.result(variant, runners, [limit])
    for runner in runners:
        # After everything else: a capture that fails may spoil the rest.
        if runner.row.wrong is None:
            _beside_the_turns(runner, watch)
    watch.empty_cache()
    return result


def _beside_the_turns(runner: Runner, watch: Stopwatch) -> None:
    """Memory, and for ours the time as a graph."""
    row, entry = runner.row, runner.entry
    assert entry is not None
    row.memory_bytes = watch.memory(entry.call)
    if not row.ours:
        return
    try:
        replay = watch.graphed(entry.call)
        if replay is not None:
            watch.seconds(replay)
            row.graph_seconds = [watch.seconds(replay) for _ in entry.seconds]
            row.graph_rate = asdict(summarise([entry.amount / s for s in row.graph_seconds]))
    except Exception as error:
        row.graph_error = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _free(watch: Stopwatch) -> int | None:
    """Bytes that are free on the device; None off a GPU."""
    return int(watch.torch.cuda.mem_get_info(watch.device)[0]) if watch.on_gpu else None
