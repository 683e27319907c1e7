"""`sparsefast bench laser`: its options, the run, and where the results go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

VARIANTS = ("rate", "colour", "pixels", "speed", "train")
DRAWN = ("rate", "colour", "pixels")
ON_GPU = ("train",)
# Of `rate` and `colour`; the same as in the library, and known here without opening it.
CASES = ("china", "camera", "coffee", "gravel", "rocket")
OPTIONS = ("op", "device", "variants", "cases", "batches", "threads", "seconds", "quick")


def default_backends(device: str) -> list[str]:
    """None: the one that `auto` takes."""
    return []


def bad_option(args: argparse.Namespace) -> str | None:
    """What is wrong with an option whose values are of this op alone, or None."""
    from sparsefast.images.photos import photos

    for option, given, known in (("variants", args.variants, VARIANTS), ("cases", args.cases, CASES)):
        for name in given or []:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    chosen = args.variants or (VARIANTS if args.device == "cpu" else ON_GPU)
    if args.device != "cpu" and not set(chosen) <= set(ON_GPU):
        return f"--device {args.device}: of bench laser only --variants {','.join(ON_GPU)} runs there"
    if len(args.threads) > 1:
        return f"--threads {','.join(map(str, args.threads))}: bench laser takes one number"
    for option in ("layouts", "isa", "peers"):
        if getattr(args, option):
            return f"--{option} does not go with bench laser"
    if args.png is not None and not set(DRAWN) & set(chosen):
        return f"--png draws --variants {', '.join(DRAWN)}"
    needed = bool(set(DRAWN) & set(chosen))
    return "no photograph is installed: pip install scikit-image scikit-learn" if needed and not photos() else None


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for. Returns the exit status."""
    from sparsefast.bench import machine
    from sparsefast.bench.contender import thread_limit
    from sparsefast.bench.report import SCHEMA, SCHEMA_VERSION, machine_lines, to_json

    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    import torch  # noqa: F401  before the limit on threads, which it then has too

    from sparsefast.bench.gpu import device

    if args.device != "cpu" and (reason := device.why_not()) is not None:
        print(f"sparsefast bench: --device {args.device}: {reason}", file=sys.stderr)
        return 2
    described = machine.describe()
    say(*machine_lines(described, []))
    if args.device != "cpu":
        described["gpu"] = device.describe(device.Stopwatch(args.device))
        say(f"{described['gpu']['device']}, torch {described['gpu']['versions'].get('torch')}")
    found: dict[str, Any] = {}
    parts: dict[str, Callable[..., Any]] = {
        "rate": _rate,
        "colour": _colour,
        "pixels": _pixels,
        "speed": _speed,
        "train": _train,
    }
    with thread_limit(args.threads[0]):
        for variant in args.variants or (VARIANTS if args.device == "cpu" else ON_GPU):
            found[variant] = parts[variant](args, say)
    if args.png is not None:
        from sparsefast.bench.laser import report

        studies = {_TITLES[name]: found[name] for name in _TITLES if name in found}
        report.draw(args.png, studies, found.get("pixels", []))
    if args.json is not None:
        settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
        document = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "op": "laser", "machine": described}
        text = to_json({**document, "settings": settings, **_plain(found)})
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, encoding="utf-8")
    return 0


_TITLES = {"rate": "luma of held-out photographs", "colour": "RGB of held-out photographs"}


def _rate(args: argparse.Namespace, say: Callable[..., None]) -> list[Any]:
    from sparsefast.bench.laser import study

    return _study(args, say, "rate", "luma", candidates=study.CANDIDATES)


def _colour(args: argparse.Namespace, say: Callable[..., None]) -> list[Any]:
    from sparsefast.bench.laser import study

    return _study(args, say, "colour", "rgb", candidates=study.COLOURS, rows=study.COLOUR_ROWS)


def _study(args: argparse.Namespace, say: Callable[..., None], variant: str, space: str, **whole: Any) -> list[Any]:
    from sparsefast.bench.laser import report, study

    say("", f"{variant}: {_TITLES[variant]}, PSNR at bits per pixel by the entropy of all symbols")
    small = {"candidates": study.QUICK, "steps": study.QUICK_STEPS, "rows": study.QUICK_ROWS}
    results = []
    for found in study.study(names=args.cases, space=space, **(small if args.quick else whole)):
        results.append(found)
        say(report.found_line(found))
    say(*report.gain_lines(results))
    return results


def _plain(found: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Results as JSON has them."""
    rows = {name: [asdict(row) for row in results] for name, results in found.items()}
    for name in _TITLES:
        for row, result in zip(rows.get(name, []), found.get(name, []), strict=True):
            row["mean"] = result.mean
    return dict(_without_nan(rows))


def _without_nan(x: Any) -> Any:
    """What is not known, NaN, as JSON has it: null."""
    if isinstance(x, dict):
        return {key: _without_nan(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_without_nan(value) for value in x]
    return None if isinstance(x, float) and x != x else x


def _pixels(args: argparse.Namespace, say: Callable[..., None]) -> list[Any]:
    from sparsefast.bench.laser import pixels, report

    say(
        "",
        f"pixels: {pixels.N_CODES} codes by k-means from photographs of the train split, held-out crops, rgb in [0, 1]",
        "  not at equal rate: see the last column. OMP of three and more atoms reaches every colour of 1x1",
    )
    rows = []
    for size in pixels.PATCHES:
        for row in pixels.measure(size):
            rows.append(row)
            say(report.pixel_line(row))
    return rows


def _speed(args: argparse.Namespace, say: Callable[..., None]) -> list[Any]:
    from sparsefast.bench.laser import report, speed

    say("", "speed: C / K / s of a layer in training mode, float32; milliseconds of the processor, medians in turns")
    rows = []
    for size in speed.SIZES:
        for batch in speed.BATCHES:
            for row in speed.measure(size, batch, args.seconds):
                rows.append(row)
                say(report.speed_line(row, size.goal))
    return rows


def _train(args: argparse.Namespace, say: Callable[..., None]) -> list[Any]:
    from sparsefast.bench.laser import report, steps

    say("", f"train: steps of model=dlvae on pictures of {steps.SIDE} x {steps.SIDE}, float32; medians in turns")
    rows = []
    for setting in steps.SETTINGS:
        for batch in args.batches or steps.BATCHES[args.device]:
            for row in steps.measure(setting, batch, args.device, args.seconds):
                rows.append(row)
                say(report.step_line(row))
    for setting in steps.SETTINGS if args.device == "cuda" else ():
        for batch in args.batches or steps.BATCHES["cuda"]:
            row = steps.measure_graphed_peer(setting, batch, args.seconds)
            rows.append(row)
            say(report.step_line(row))
    return rows
