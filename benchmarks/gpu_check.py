"""Everything that only a machine with a GPU can answer, in one command: `make gpu-check`.

    python3 benchmarks/gpu_check.py [--dry-run] [--limit SECONDS] [--results FOLDER] [stage ...]

Stages, in this order: machine (what it is), build (offline, into build/gpu, by the Python that runs this), test (the
suite on the device), sanitize (compute-sanitizer on a small part), bench (`omp` beside its peers), family (its
relatives), patches (`unfold` and `fold` beside their peers). Nothing is installed or fetched: that Python must have
PyTorch and what the package needs. Each stage has its limit of time. What is known is written after each step to
gpu-check-<device>.json, beside the stages of earlier runs, so that a run that is cut short leaves what it had. The exit
status is 0, 1 if a stage failed, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_stages import BUILD, ROOT, STAGES, Step, stages

SCHEMA, SCHEMA_VERSION = "sparsefast-gpu-check", 1
LIMIT = 560.0
GRACE = 15.0  # seconds from an interrupt to the end
PROBE = """
import json, torch
if torch.cuda.is_available():
    p = torch.cuda.get_device_properties(0)
    print(json.dumps({"name": p.name, "capability": f"{p.major}{p.minor}", "memory_bytes": p.total_memory}))
"""


def run(step: Step, limit: float) -> dict[str, Any]:
    """Run a command, print what it prints, and say how it went. It is stopped, children and all, at the limit,
    and interrupted shortly before."""
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": python_path, **step.environment}
    tail: collections.deque[str] = collections.deque(maxlen=60)
    record: dict[str, Any] = {"name": step.name, "command": step.command}
    if step.leaves is not None:
        step.leaves.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        process = subprocess.Popen(
            step.command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        print(f"gpu_check: {error}", flush=True)
        return {**record, "status": "failed", "tail": [str(error)], "seconds": 0.0}
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def interrupt() -> None:
        # As Ctrl-C does: pytest then says what it has found so far.
        stopped.set()
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)

    limit = max(limit, 0.0)
    timers = [threading.Timer(limit - min(GRACE, limit / 4), interrupt), threading.Timer(limit, stop)]
    for timer in timers:
        timer.start()
    try:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            tail.append(line.rstrip("\n")[:400])
        code = process.wait()
    except BaseException:
        stop()
        raise
    finally:
        for timer in timers:
            timer.cancel()
    status = "timed out" if stopped.is_set() else "passed" if code == 0 else "failed"
    seconds = round(time.monotonic() - start, 2)
    return {**record, "status": status, "returncode": code, "seconds": seconds, "tail": list(tail), **step.read()}


class Record:
    """The JSON of a device, written after each step; stages that are not run now stay as they were."""

    def __init__(self, path: Path, device: dict[str, Any]) -> None:
        self.path = path
        earlier: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            earlier = json.loads(path.read_text(encoding="utf-8"))
        kept = earlier.get("stages", {}) if earlier.get("schema") == SCHEMA else {}
        head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "device": device}
        self.found: dict[str, Any] = {**head, "stages": kept}

    def put(self, stage: str, status: str, steps: list[dict[str, Any]]) -> None:
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        seconds = round(sum(step["seconds"] for step in steps), 2)
        entry = {"status": status, "date": date, "commit": commit(), "seconds": seconds, "steps": steps}
        self.found["stages"][stage] = entry
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.found, indent=1).replace(str(ROOT), ".")
        if sys.prefix != sys.base_prefix:
            text = text.replace(sys.prefix, "<venv>")
        self.path.write_text(text + "\n", encoding="utf-8")


def commit() -> str | None:
    """The commit of the tree, with a + where it has changes; None without git."""
    done = None
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def run_stage(name: str, steps: Sequence[Step], limit: float, record: Record) -> str:
    """Run the steps of a stage within its limit of time. One that fails does not keep the next from running, but for
    those of a build."""
    start, done, status = time.monotonic(), list[dict[str, Any]](), "passed"
    for number, step in enumerate(steps, 1):
        left = limit - (time.monotonic() - start)
        print(f"== {name} {number}/{len(steps)}: {step.name} ({left:.0f} s left)", flush=True)
        print(f"   {shown(step)}", flush=True)
        record.put(name, "interrupted", done)
        done.append(run(step, left))
        if done[-1]["status"] != "passed":
            status = done[-1]["status"]
            if name == "build" or status == "timed out":
                break
    record.put(name, status, done)
    print(f"== {name}: {status}, {time.monotonic() - start:.0f} s", flush=True)
    return status


def shown(step: Step) -> str:
    """The command as one would type it."""
    words = [f"{key}={value}" for key, value in step.environment.items()]
    words += [" ".join(word.split()) for word in step.command]
    quoted = (f"'{word}'" if re.search(r"[^\w@%+=:,./-]", word) else word for word in words)
    return " ".join(word if len(word) < 120 else word[:100] + "...'" for word in quoted)


def find_device() -> dict[str, Any] | None:
    """The device as PyTorch sees it, asked in another process; None without one."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build, test, sanitize and measure on a machine with a GPU.")
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"{', '.join(STAGES)} (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds for a stage (default: {LIMIT:g})")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    args = parser.parse_args(argv)
    for name in args.stages:
        if name not in STAGES:
            print(f"gpu_check: there is no stage {name!r}; there are {', '.join(STAGES)}", file=sys.stderr)
            return 2
    # CMake and Ninja may have been installed beside this Python, whose folder need not be on PATH.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    device = find_device()
    if device is None and not args.dry_run:
        print("gpu_check: PyTorch sees no NVIDIA GPU here; --dry-run shows what would be run", file=sys.stderr)
        return 2
    BUILD.mkdir(parents=True, exist_ok=True)
    chosen = {name: steps for name, steps in stages(device or {}).items() if not args.stages or name in args.stages}
    if args.dry_run:
        for name, steps in chosen.items():
            print(f"{name} (at most {args.limit:g} s)", *(f"  {shown(step)}" for step in steps), sep="\n")
        return 0
    assert device is not None
    slug = re.sub(r"[^a-z0-9]+", "-", device["name"].lower()).strip("-")
    record = Record(args.results / f"gpu-check-{slug}.json", device)
    statuses = {name: run_stage(name, steps, args.limit, record) for name, steps in chosen.items()}
    print(f"{device['name']}: " + ", ".join(f"{name} {status}" for name, status in statuses.items()))
    print(f"written to {record.path}")
    return int(any(status != "passed" for status in statuses.values()))


if __name__ == "__main__":
    sys.exit(main())
