"""`sparsefast bench omp`: the options, the run, and where its results go."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

# Several OpenMP runtimes share this process, ours and the peers'. A pool that spins while another works costs it up to
# a hundred times its speed, so they are told to sleep; they read this when they are loaded, hence the second process.
QUIET = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
STARTED = "SPARSEFAST_BENCH"  # says that this is the second process
BACKENDS = ["cpu", "numba"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sparsefast bench` to its parser."""
    option = parser.add_argument
    option("op", nargs="?", default="omp", choices=["omp"], help="what to measure")
    option(
        "--json", nargs="?", const="-", metavar="FILE", help="write JSON; to stdout, and the table to stderr, for '-'"
    )
    option("--png", metavar="FILE", help="draw a bar chart (needs matplotlib)")
    option("--cases", type=_names, metavar="C1,C2", help="which cases (default: all)")
    option("--threads", type=_counts, default=[1], metavar="1,2", help="thread counts (default: 1)")
    option("--seconds", type=_seconds, default=1.0, metavar="S", help="time for a contender and case (default: 1)")
    option("--peers", type=_names, metavar="P1,P2", help="which peers, or none (default: all that are installed)")
    option("--backends", type=_names, default=BACKENDS, metavar="B1,B2", help="ours, or none (default: cpu,numba)")
    option("--dtype", default="float32", choices=["float32", "float64"])
    option("--isa", type=_names, default=[], metavar="I1,I2", help="the C++ kernels with these instruction sets too")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("a list of names, such as a,b")
    return list(dict.fromkeys(names))


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = [0]
    if counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: thread counts are integers of at least 1, such as 1,2")
    return counts


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < 3600:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: a number of seconds between 0 and 3600")


def run(args: argparse.Namespace) -> int:
    """Measure in a second process, whose OpenMP pools do not spin and whose BLAS know the processor.

    Returns the exit status: 0, 1 if a result was wrong, 2 for a bad option.
    """
    from sparsefast.bench import machine

    problem = _bad_option(args)
    if problem is not None:
        print(f"sparsefast bench: {problem}", file=sys.stderr)
        return 2
    if all(os.environ.get(name) == value for name, value in QUIET.items()) and STARTED in os.environ:
        return measure_here(args)
    environment = {**os.environ, **QUIET, STARTED: "1"}
    core = machine.openblas_core()
    if core is not None:
        environment.setdefault("OPENBLAS_CORETYPE", core)
    # Ours are called from the defaults; the backend is chosen by --backends.
    environment.pop("SPARSEFAST_BACKEND", None)
    command = [sys.executable, "-m", "sparsefast.bench", *to_argv(args)]
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 130


def to_argv(args: argparse.Namespace) -> list[str]:
    """The command line that gives these arguments."""
    argv = [args.op, f"--seconds={args.seconds}", f"--dtype={args.dtype}"]
    for name in ("cases", "threads", "peers", "backends", "isa"):
        if getattr(args, name):
            argv.append(f"--{name}={','.join(map(str, getattr(args, name)))}")
    for name in ("json", "png"):
        if getattr(args, name) is not None:
            argv.append(f"--{name}={getattr(args, name)}")
    return argv


def _bad_option(args: argparse.Namespace) -> str | None:
    from sparsefast import dispatch
    from sparsefast.bench.omp import CASES
    from sparsefast.bench.peers import PEERS

    for option, given, known in (
        ("cases", args.cases or [], [*CASES, "tiny"]),
        ("peers", args.peers or [], [*PEERS, "none"]),
        ("backends", args.backends, [*dispatch.backend_names(), "none"]),
    ):
        for name in given:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    for option in ("json", "png"):
        path = getattr(args, option)
        if path not in (None, "-") and not Path(path).absolute().parent.is_dir():
            # Better now than after minutes of measuring.
            return f"--{option} {path}: there is no such folder"
    if args.png is not None and importlib.util.find_spec("matplotlib") is None:
        return "--png draws with matplotlib: pip install matplotlib"
    return None


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for."""
    from sparsefast.bench import contender, machine, measure, omp, overheads, peers, report

    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    backends = [name for name in args.backends if name != "none"]
    them, absent_peers = peers.find([name for name in args.peers or peers.PEERS if name != "none"])
    us, absent_us = contender.ours(backends, args.isa)
    absent = [*absent_us, *absent_peers]
    described = machine.describe()
    limits = [machine.measure_limit(n, args.dtype) for n in args.threads]
    say(*report.machine_lines(described, limits))
    for name, reason in absent:
        say(f"absent: {name}: {reason}")
    cases = [omp.TINY if name == "tiny" else omp.CASES[name] for name in args.cases or omp.CASES]
    results = []
    for case in cases:
        results.append(measure.measure(case, [*us, *them], limits, args.seconds, dtype=args.dtype))
        say("", *report.case_lines(results[-1]))
    if lines := report.neighbour_lines(results):
        say("", "sizes that suit no tile, beside their neighbours", *lines)
    measured, memories = [], []
    if us:
        present = [name for name in backends if any(c.name == f"sparsefast {name}" for c in us)]
        first = cases[0]
        measured = [overheads.overhead(first, name, kind, args.dtype) for name in present for kind in _kinds()]
        say("", f"call overhead, {first.name}", *map(report.overhead_line, measured))
        memories = [overheads.memory(first, name, dtype=args.dtype) for name in present if name != "reference"]
        say("", f"memory, {first.name}, one thread", *map(report.memory_line, memories))
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    found = report.document(described, settings, limits, results, absent, measured, memories)
    _write(args, found, results, described)
    wrong = [f"{row.contender} at {row.case}" for result in results for row in result.rows if row.wrong is not None]
    if wrong:
        print(f"sparsefast bench: wrong results, which have no speed: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


OPTIONS = ("op", "cases", "threads", "seconds", "peers", "backends", "dtype", "isa")


def _write(args: argparse.Namespace, found: dict[str, Any], results: Any, described: dict[str, Any]) -> None:
    from sparsefast.bench import report

    if args.json is not None:
        text = report.to_json(found)
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, encoding="utf-8")
    if args.png is not None:
        report.draw(results, f"omp, {args.dtype}, {described['processor']}", args.png)


def _kinds() -> list[str]:
    return ["numpy", "torch"] if "torch" in sys.modules else ["numpy"]
