"""`sparsefast bench ksvd`: its options, the run, and where its results go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sparsefast.bench.ksvd import case as cases
from sparsefast.bench.ksvd import contender, learners, peers
from sparsefast.bench.ksvd.case import Case, Given
from sparsefast.bench.ksvd.variant import NAMES, VARIANTS, WHOLE, Variant

if TYPE_CHECKING:
    from sparsefast.bench.ksvd.measure import Result
    from sparsefast.bench.ksvd.whole import Whole

BACKENDS = ("cpu", "numba")
OPTIONS = ("op", "variants", "cases", "threads", "seconds", "peers", "backends", "dtype", "isa", "quick")


def default_backends(device: str) -> list[str]:
    return list(BACKENDS)


def bad_option(args: argparse.Namespace) -> str | None:
    """What is wrong with an option whose values are of this op alone, or None."""
    if args.device != "cpu":
        return "bench ksvd measures on --device cpu"
    known_peers = dict.fromkeys([*(name for found in peers.PEERS.values() for name in found), *learners.PEERS, "none"])
    for option, given, known in (
        ("variants", args.variants, list(NAMES)),
        ("cases", args.cases, [case.name for case in (*cases.CASES, cases.TINY)]),
        ("peers", args.peers, list(known_peers)),
    ):
        for name in given or []:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    if args.png is not None:
        return "--png goes with bench omp"
    return "--layouts goes with bench patches" if args.layouts else None


def chosen(args: argparse.Namespace) -> list[tuple[Case, Variant]]:
    """What is to be measured, in the order of the tables; with --quick the first case alone."""
    found = cases.CASES[: 1 if args.quick else None]
    if args.cases is not None:
        found = tuple(case for name in args.cases if (case := cases.named(name)))
    names = [name for name in args.variants or NAMES if name != WHOLE]
    return [(case, VARIANTS[name]) for case in found for name in names]


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for. Returns the exit status."""
    # Before a BLAS is asked for its kernels, and before threads are limited.
    import scipy.linalg  # noqa: F401
    import torch  # noqa: F401

    from sparsefast.bench import machine
    from sparsefast.bench.ksvd import measure, report, whole
    from sparsefast.bench.report import machine_lines, to_json

    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    asked = [name for name in args.backends if name != "none"]
    described = machine.describe()
    limits = [machine.measure_limit(n, args.dtype) for n in args.threads]
    say(*machine_lines(described, limits))
    results: list[measure.Result] = []
    absent: dict[tuple[str, str], None] = {}

    def note_absent(missing: Sequence[tuple[str, str]]) -> None:
        for name, reason in missing:
            if (name, reason) not in absent:
                say(f"absent: {name}: {reason}")
            absent[name, reason] = None

    given: Given | None = None
    for case, variant in chosen(args):
        if given is None or given.case is not case:
            given = Given(case, args.dtype)
        us, missing = contender.ours(variant, asked, args.isa, args.dtype)
        them, gone = peers.theirs(variant, args.peers)
        note_absent([*missing, *gone])
        if us or them:
            results.append(measure.measure(given, variant, [*us, *them], limits, args.seconds))
            say("", *report.result_lines(results[-1]))
    learned = None
    if WHOLE in (args.variants or NAMES):
        size = whole.TINY if args.cases == [cases.TINY.name] else whole.QUICK if args.quick else whole.CASE
        them_all, gone = learners.theirs(args.peers, args.quick)
        note_absent(gone)
        us_all = learners.ours(args.quick) if asked else []
        if us_all or them_all:
            learned = whole.measure(whole.Judge(size, args.dtype), [*us_all, *them_all])
            say("", *report.whole_lines(learned))
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    found = report.document(described, settings, limits, results, learned, list(absent))
    if found["goals"]:
        say("", "goals", *report.goal_lines(found["goals"]))
    if args.json == "-":
        sys.stdout.write(to_json(found))
    elif args.json is not None:
        Path(args.json).write_text(to_json(found), encoding="utf-8")
    return _status(results, learned, asked)


def _status(results: Sequence[Result], learned: Whole | None, asked: Sequence[str]) -> int:
    """0, or 1 if a result was wrong that was not known to be, or none of ours could run."""
    wrong = [
        f"{row.contender} at {result.variant.name} {result.case.name}"
        for result in results
        for row in result.rows
        if row.wrong is not None and not row.known_fault
    ]
    runs = [] if learned is None else learned.runs
    wrong += [f"{run.learner} at {run.steps:g} {run.unit}" for run in runs if run.wrong is not None]
    if wrong:
        print(f"sparsefast bench: wrong results, which have no speed: {'; '.join(wrong)}", file=sys.stderr)
    ran = any(row.ours for result in results for row in result.rows) or any(run.ours for run in runs)
    if asked and not ran:
        print(f"sparsefast bench: none of ours ran: {', '.join(asked)} are absent, see above", file=sys.stderr)
    return 1 if wrong or (asked and not ran) else 0
