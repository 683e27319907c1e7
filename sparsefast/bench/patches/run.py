"""`sparsefast bench patches`: its options, the run, and where its results go."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TextIO

from sparsefast.bench.patches import case as cases
from sparsefast.bench.patches import contender, gpu, peers
from sparsefast.bench.patches.case import Case
from sparsefast.bench.patches.variant import LAYOUTS, VARIANTS, Variant

BACKENDS = ("cpu", "numba")
OPTIONS = ("op", "variants", "layouts", "cases", "threads", "seconds", "peers", "backends", "dtype", "isa")


def default_backends(device: str) -> list[str]:
    return list(BACKENDS if device == "cpu" else gpu.BACKENDS)


def bad_option(args: argparse.Namespace) -> str | None:
    """What is wrong with an option whose values are of this op alone, or None."""
    known_cases = [case.name for case in (*cases.CASES, *cases.TINY)]
    known_peers = peers.NAMES if args.device == "cpu" else peers.ON_GPU
    for option, given, known in (
        ("variants", args.variants, list(VARIANTS)),
        ("layouts", args.layouts, list(LAYOUTS)),
        ("cases", args.cases, known_cases),
        ("peers", args.peers, [*known_peers, "none"]),
    ):
        for name in given or []:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    if args.png is not None:
        return "--png goes with bench omp"
    return None


def chosen(args: argparse.Namespace) -> tuple[list[Variant], list[str], list[Case]]:
    """What is to be measured, in the order of the tables."""
    variants = [VARIANTS[name] for name in args.variants or VARIANTS]
    found = cases.CASES if args.cases is None else [case for name in args.cases if (case := cases.named(name))]
    return variants, list(args.layouts or LAYOUTS), list(found)


def on_gpu(args: argparse.Namespace, on: str = "cuda") -> int:
    """Measure on a GPU. Returns the exit status."""
    return gpu.run(args, *chosen(args), on=on)


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for. Returns the exit status."""
    # Before a BLAS is asked for its kernels, and before threads are limited.
    import torch  # noqa: F401

    from sparsefast.bench import machine
    from sparsefast.bench.patches import measure, report
    from sparsefast.bench.patches.given import Given
    from sparsefast.bench.report import machine_lines, to_json

    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    variants, layouts, wanted = chosen(args)
    asked = [name for name in args.backends if name != "none"]
    described = machine.describe()
    limits = [machine.measure_limit(n, args.dtype) for n in args.threads]
    say(*machine_lines(described, limits))
    results: list[measure.Result] = []
    absent: dict[tuple[str, str], None] = {}
    for case in wanted:
        for layout in layouts:
            bench = measure.Bench(Given(case, layout, case.n_images, args.dtype))
            for variant in variants:
                us, missing = contender.ours(variant, asked, args.isa, dtype=args.dtype)
                them, gone = peers.theirs(variant, case, layout, args.peers)
                for who in (*missing, *gone):
                    if who not in absent:
                        say(f"absent: {who[0]}: {who[1]}")
                    absent[who] = None
                if us or them:
                    results.append(measure.measure(bench, variant, [*us, *them], limits, args.seconds))
                    say("", *report.result_lines(results[-1]))
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    found = report.document(described, settings, limits, results, list(absent))
    if found["goals"]:
        say("", "goals", *report.goal_lines(found["goals"]))
    if args.json is not None:
        _write(args.json, to_json(found))
    return gpu.status(results, asked)


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
    else:
        Path(path).write_text(text, encoding="utf-8")
