"""`sparsefast bench`: the options of all its ops, the run, and where the results of `omp` go."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from sparsefast.bench.case import Case
    from sparsefast.bench.contender import Contender
    from sparsefast.bench.overheads import Memory, Overhead
    from sparsefast.bench.variant import Variant

# Several OpenMP runtimes share this process, ours and the peers'. A pool that spins while another works costs it up to
# a hundred times its speed, so they are told to sleep; they read this when they are loaded, hence the second process.
QUIET = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
STARTED = "SPARSEFAST_BENCH"  # says that this is the second process
BACKENDS = ["cpu", "numba"]
DEVICES = ["cpu", "cuda"]


# Each with the module that has its own options, its defaults and its run; those of omp are here.
OPS = {
    "omp": None,
    "patches": "sparsefast.bench.patches.run",
    "ksvd": "sparsefast.bench.ksvd.run",
    "denoise": "sparsefast.bench.restore.run",
    "inpaint": "sparsefast.bench.restore.run",
    "train": "sparsefast.bench.training.run",
    "laser": "sparsefast.bench.laser.run",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sparsefast bench` to its parser."""
    option = parser.add_argument
    option("op", nargs="?", default="omp", choices=[*OPS], help="what to measure (default: omp)")
    option(
        "--json", nargs="?", const="-", metavar="FILE", help="write JSON; to stdout, and the table to stderr, for '-'"
    )
    option("--png", metavar="FILE", help="draw a bar chart (needs matplotlib)")
    known = "omp, ...; unfold, ...; approx, ...; sigma25, ...; keep20; vqvae, ...; rate, ..."
    option("--variants", type=_names, metavar="V1,V2", help=known)
    option("--layouts", type=_names, metavar="L1,L2", help="of patches: columns, signals (default: both)")
    option("--cases", type=_names, metavar="C1,C2", help="which cases, photographs, or data sets (default: all)")
    option("--threads", type=_counts, default=[1], metavar="1,2", help="thread counts (default: 1)")
    option("--seconds", type=_seconds, default=1.0, metavar="S", help="time for a contender and case (default: 1)")
    option("--peers", type=_names, metavar="P1,P2", help="which peers, or none (default: all that are installed)")
    option("--device", default="cpu", choices=DEVICES, help="where the arrays are (default: cpu)")
    option(
        "--backends",
        type=_names,
        metavar="B1,B2",
        help="ours, or none (default: cpu,numba; on --device cuda: cuda,triton)",
    )
    option("--batches", type=_batches, metavar="N1,N2", help="signals or images in a call, on --device cuda")
    option("--dtype", default="float32", choices=["float32", "float64"])
    option(
        "--quick",
        action="store_true",
        help="of ksvd: the first case, and short runs of learning; of laser: few candidates",
    )
    option("--isa", type=_names, default=[], metavar="I1,I2", help="the C++ kernels with these instruction sets too")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("a list of names, such as a,b")
    return list(dict.fromkeys(names))


def _counts(text: str, what: str = "thread counts") -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = [0]
    if counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: {what} are integers of at least 1, such as 1,2")
    return counts


def _batches(text: str) -> list[int]:
    return _counts(text, "numbers of signals or images")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < 3600:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: a number of seconds between 0 and 3600")


def run(args: argparse.Namespace) -> int:
    """Measure in a second process, whose OpenMP pools do not spin and whose BLAS know the processor; a GPU in this one.

    Returns the exit status: 0, 1 if a result was wrong, 2 for a bad option.
    """
    from sparsefast.bench import machine

    if args.backends is None:
        args.backends = _default_backends(args.op, args.device)
    problem = _bad_option(args)
    if problem is not None:
        print(f"sparsefast bench: {problem}", file=sys.stderr)
        return 2
    if args.device == "cuda" and args.op == "patches":
        from sparsefast.bench.patches import run as patches

        return patches.on_gpu(args)
    if args.device == "cuda" and args.op == "omp":
        from sparsefast.bench.gpu import run as on_gpu

        return on_gpu.run(args, _chosen(args))
    if args.device == "cuda":
        return measure_here(args)
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
    argv = [args.op, f"--device={args.device}", f"--seconds={args.seconds}", f"--dtype={args.dtype}"]
    for name in ("variants", "layouts", "cases", "threads", "peers", "backends", "batches", "isa"):
        if getattr(args, name):
            argv.append(f"--{name}={','.join(map(str, getattr(args, name)))}")
    if args.quick:
        argv.append("--quick")
    for name in ("json", "png"):
        if getattr(args, name) is not None:
            argv.append(f"--{name}={getattr(args, name)}")
    return argv


def _bad_option(args: argparse.Namespace) -> str | None:
    from sparsefast import dispatch

    family = _family(args.op)
    problem = _bad_option_of_omp(args) if family is None else family.bad_option(args)
    if problem is not None:
        return problem
    if args.quick and args.op not in ("ksvd", "laser"):
        return "--quick goes with bench ksvd and bench laser"
    backends = [*dispatch.backend_names(), "none"]
    for name in args.backends:
        if name not in backends:
            return f"--backends: there is no {name!r}; there are {', '.join(backends)}"
    for option, where in (("isa", "cpu"), ("png", "cpu"), ("batches", "cuda")):
        if getattr(args, option) and args.device != where:
            return f"--{option} goes with --device {where}"
    for option in ("json", "png"):
        path = getattr(args, option)
        if path not in (None, "-") and not Path(path).absolute().parent.is_dir():
            # Better now than after minutes of measuring.
            return f"--{option} {path}: there is no such folder"
    if args.png is not None and importlib.util.find_spec("matplotlib") is None:
        return "--png draws with matplotlib: pip install matplotlib"
    return None


def _family(op: str) -> Any:
    """The module of an op, or None for omp."""
    home = OPS[op]
    return None if home is None else importlib.import_module(home)


def _bad_option_of_omp(args: argparse.Namespace) -> str | None:
    from sparsefast.bench.variants import VARIANTS

    cases = dict.fromkeys(case.name for v in VARIANTS.values() for case in (*v.cases, v.tiny))
    peers = _peer_names(args.device)
    for option, given, known in (
        ("variants", args.variants or [], VARIANTS),
        ("cases", args.cases or [], cases),
        ("peers", args.peers or [], [*peers, "none"]),
    ):
        for name in given:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    if not _chosen(args):
        return f"--cases: {', '.join(args.variants or ['--device cuda'])} has none of {', '.join(args.cases)}"
    return "--layouts goes with bench patches" if args.layouts else None


def _default_backends(op: str, device: str) -> list[str]:
    if (family := _family(op)) is not None:
        return list(family.default_backends(device))
    if device == "cpu":
        return list(BACKENDS)
    from sparsefast.bench.gpu.run import BACKENDS as on_gpu

    return list(on_gpu)


def _peer_names(device: str) -> list[str]:
    from sparsefast.bench.variants import VARIANTS

    if device == "cpu":
        return list(dict.fromkeys(name for v in VARIANTS.values() for name in v.peers))
    from sparsefast.bench.gpu import peers

    return list(peers.NAMES)


def _chosen(args: argparse.Namespace) -> list[tuple[Variant, Case]]:
    """What is to be measured, in the order of the tables."""
    from sparsefast.bench.variants import VARIANTS

    names = args.variants or list(VARIANTS)
    if args.variants is None and args.device == "cuda":
        from sparsefast.bench.gpu.run import VARIANTS as on_gpu

        names = list(on_gpu)
    found = []
    for variant in (VARIANTS[name] for name in names):
        if args.cases is None:
            found += [(variant, case) for case in variant.cases]
        else:
            found += [(variant, case) for name in args.cases if (case := variant.case(name)) is not None]
    return found


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for. Returns the exit status."""
    if (family := _family(args.op)) is not None:
        return int(family.measure_here(args))
    from sparsefast.bench import machine, measure, report

    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    chosen = _chosen(args)
    entrants, absent = _entrants(args, dict.fromkeys(variant.name for variant, _ in chosen))
    described = machine.describe()
    limits = [machine.measure_limit(n, args.dtype) for n in args.threads]
    say(*report.machine_lines(described, limits))
    for name, reason in absent:
        say(f"absent: {name}: {reason}")
    results = []
    for variant, case in chosen:
        results.append(measure.measure(variant, case, entrants[variant.name], limits, args.seconds, dtype=args.dtype))
        say("", *report.case_lines(results[-1]))
    if lines := report.neighbour_lines(results):
        say("", "sizes that suit no tile, beside their neighbours", *lines)
    measured, memories = _overheads(args, chosen, entrants, say)
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    found = report.document(described, settings, limits, results, absent, measured, memories)
    _write(args, found, results, described)
    rows = [(result.variant, row) for result in results for row in result.rows if row.wrong is not None]
    wrong = [f"{row.contender} at {variant} {row.case}" for variant, row in rows if not row.known_fault]
    if wrong:
        print(f"sparsefast bench: wrong results, which have no speed: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _entrants(
    args: argparse.Namespace, variants: Iterable[str]
) -> tuple[dict[str, list[Contender]], list[tuple[str, str]]]:
    """For each variant, us and the peers that are here; and once each, who is absent, with the reason."""
    from sparsefast.bench import contender
    from sparsefast.bench.variants import VARIANTS

    entrants, absent = {}, []
    for name in variants:
        variant = VARIANTS[name]
        us, absent_us = contender.ours(variant, [b for b in args.backends if b != "none"], args.isa)
        them, absent_peers = contender.theirs(variant, args.peers or list(variant.peers))
        entrants[name] = [*us, *them]
        absent += [*absent_us, *absent_peers]
    return entrants, list(dict.fromkeys(absent))


def _overheads(
    args: argparse.Namespace,
    chosen: list[tuple[Variant, Case]],
    entrants: dict[str, list[Contender]],
    say: Callable[..., None],
) -> tuple[list[Overhead], list[Memory]]:
    """What a call of `omp` costs beside its kernel, on the first of its cases, if it is measured."""
    from sparsefast.bench import overheads, report

    first = next((case for variant, case in chosen if variant.name == "omp"), None)
    us = {c.name for c in entrants.get("omp", []) if c.ours}
    present = [name for name in args.backends if f"sparsefast {name}" in us]
    if first is None or not present:
        return [], []
    measured = [overheads.overhead(first, name, kind, args.dtype) for name in present for kind in _kinds()]
    say("", f"call overhead, omp {first.name}", *map(report.overhead_line, measured))
    memories = [overheads.memory(first, name, dtype=args.dtype) for name in present if name != "reference"]
    say("", f"memory, omp {first.name}, one thread", *map(report.memory_line, memories))
    return measured, memories


OPTIONS = ("op", "variants", "cases", "threads", "seconds", "peers", "backends", "dtype", "isa")


def _write(args: argparse.Namespace, found: dict[str, Any], results: Any, described: dict[str, Any]) -> None:
    from sparsefast.bench import report

    if args.json is not None:
        text = report.to_json(found)
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, encoding="utf-8")
    if args.png is not None:
        report.draw(results, f"sparsefast bench omp, {args.dtype}, {described['processor']}", args.png)


def _kinds() -> list[str]:
    return ["numpy", "torch"] if "torch" in sys.modules else ["numpy"]
