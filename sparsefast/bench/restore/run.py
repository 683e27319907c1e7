"""`sparsefast bench denoise` and `bench inpaint`: their options, the run, and where the results go."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, TextIO

from sparsefast.bench.contender import Absent, thread_limit
from sparsefast.bench.restore import denoisers, inpainters
from sparsefast.bench.restore.contender import Contender
from sparsefast.bench.restore.crops import SEEDS, crops
from sparsefast.bench.restore.measure import DEFAULT, VARIANTS, Row, rows

OPS = tuple(VARIANTS)
OPTIONS = ("op", "variants", "cases", "threads", "peers", "backends")
_ROOMS: dict[str, Any] = {"denoise": denoisers, "inpaint": inpainters}


def default_backends(device: str) -> list[str]:
    """None: the one that `auto` takes."""
    return []


def bad_option(args: argparse.Namespace) -> str | None:
    """What is wrong with an option whose values are of these ops alone, or None."""
    for option, given, known in (
        ("variants", args.variants, list(VARIANTS[args.op])),
        ("cases", args.cases, list(SEEDS["held-out"])),
        ("peers", args.peers, [*_ROOMS[args.op].PEERS, "none"]),
    ):
        for name in given or []:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    if args.device != "cpu":
        return f"--device {args.device}: bench {args.op} runs on the cpu"
    if len(args.threads) > 1:
        return f"--threads {','.join(map(str, args.threads))}: bench {args.op} takes one number"
    for option in ("layouts", "isa", "png"):
        if getattr(args, option):
            return f"--{option} does not go with bench {args.op}"
    return None if crops(args.cases) else "no photograph is installed: pip install scikit-image scikit-learn"


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for. Returns the exit status."""
    from sparsefast.bench import machine
    from sparsefast.bench.report import machine_lines, to_json
    from sparsefast.bench.restore import report

    out: TextIO = sys.stderr if args.json == "-" else sys.stdout

    def say(*lines: str) -> None:
        print(*lines, sep="\n", file=out, flush=True)

    chosen, described = crops(args.cases), machine.describe()
    contenders, absent = entrants(args)
    say(*machine_lines(described, []), *report.crop_lines(chosen), *report.contender_lines(contenders))
    for name, reason in absent:
        say(f"absent: {name}: {reason}")
    width = max(len(who.name) for who in contenders)
    cases = []
    for variant in args.variants or DEFAULT[args.op]:
        _, number = VARIANTS[args.op][variant]
        say("", report.head(args.op, variant, number, chosen))
        measured: list[Row] = []
        for who in contenders:
            with thread_limit(args.threads[0]):
                theirs = list(rows(args.op, number, [who], chosen))
            say(report.row_line(theirs, chosen, width))
            measured += theirs
        cases.append(report.case(args.op, variant, number, chosen, measured))
    settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
    if args.json is not None:
        text = to_json(report.document(args.op, described, settings, chosen, contenders, cases, absent))
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, encoding="utf-8")
    return 0


def entrants(args: argparse.Namespace) -> tuple[list[Contender], list[tuple[str, str]]]:
    """Us and the peers that are here; and who is absent, with the reason."""
    room = _ROOMS[args.op]
    found = room.ours([name for name in args.backends if name != "none"]) if args.backends != ["none"] else []
    absent = []
    for name in args.peers or room.PEERS:
        if name == "none":
            continue
        try:
            found.append(room.PEERS[name]())
        except Absent as error:
            absent.append((name, str(error)))
    return found, absent
