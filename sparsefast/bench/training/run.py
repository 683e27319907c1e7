"""`sparsefast bench train`: its options, the run, and where the results go."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from sparsefast.bench.training.measure import Row, measure

MODELS = ("vqvae", "dlvae", "laser", "hybridvae", "denoiser")
# Those that need no files.
DATA = ("photos", "synthetic")
OPTIONS = ("op", "variants", "cases", "threads", "seconds")


def default_backends(device: str) -> list[str]:
    """None: the one that `auto` takes."""
    return []


def bad_option(args: argparse.Namespace) -> str | None:
    """What is wrong with an option whose values are of this op alone, or None."""
    for option, given, known in (("variants", args.variants, MODELS), ("cases", args.cases, DATA)):
        for name in given or []:
            if name not in known:
                return f"--{option}: there is no {name!r}; there are {', '.join(known)}"
    if args.device != "cpu":
        return f"--device {args.device}: bench train runs on the cpu; sparsefast train prints its own rates"
    if len(args.threads) > 1:
        return f"--threads {','.join(map(str, args.threads))}: bench train takes one number"
    for option in ("layouts", "isa", "png", "peers"):
        if getattr(args, option):
            return f"--{option} does not go with bench train"
    return None


def measure_here(args: argparse.Namespace) -> int:
    """Measure in this process, print, and write what was asked for. Returns the exit status."""
    import torch

    from sparsefast.bench import machine
    from sparsefast.bench.report import SCHEMA, SCHEMA_VERSION, machine_lines, to_json
    from sparsefast.commands.common import require_packages

    require_packages()
    out: TextIO = sys.stderr if args.json == "-" else sys.stdout
    torch.set_num_threads(args.threads[0])
    described = machine.describe()
    print(*machine_lines(described, []), sep="\n", file=out, flush=True)
    print("images/s: the loader alone, with a worker, steps alone, a run; and its wait for data", file=out, flush=True)
    rows: list[Row] = []
    for data in args.cases or DATA:
        for model in args.variants or MODELS:
            row = measure(model, data, args.seconds)
            rows.append(row)
            print(line(row), file=out, flush=True)
    if args.json is not None:
        settings = {name: value for name, value in vars(args).items() if name in OPTIONS}
        text = to_json(
            {
                "schema": SCHEMA,
                "schema_version": SCHEMA_VERSION,
                "op": "train",
                "machine": described,
                "settings": settings,
                "rows": [asdict(row) for row in rows],
            }
        )
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, encoding="utf-8")
    return 0


def line(row: Row) -> str:
    """One row of the table."""
    return (
        f"  {row.model:<9} {row.data:<10} {row.batch_size} x {row.size}²  loader {row.loader:>8,.0f}"
        f"  worker {row.loader_worker:>8,.0f}  step {row.step:>7,.0f}  run {row.run:>7,.0f}"
        f"  waiting {row.waiting:.1%}"
    )
