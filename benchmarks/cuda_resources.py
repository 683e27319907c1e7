"""What every CUDA kernel takes of a multiprocessor: registers, shared memory, stack and spills, as ptxas reports them.

    python benchmarks/cuda_resources.py [--archs 80,90] [--jobs 2] [source.cu ...]

Compiles each source with the flags that CMakeLists.txt gives it, for each architecture that it lists, and prints one
table. Needs nvcc and CMake, no GPU. The exit status is 1 where a kernel spills registers to memory (all count as hot,
but for those in MAY_SPILL), and 2 where something does not compile. PTX is compiled too; what it takes is decided by
the driver that translates it. Shared memory is the static part: a launch may ask for more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "cuda-report"
MAY_SPILL: dict[str, str] = {}
"""A regular expression for the whole name of a kernel, as the table has it, and why its spills do not matter."""


@dataclass
class Use:
    """What one function takes on one architecture."""

    name: str
    arch: str
    kernel: bool = False
    """False for a function that was not inlined: it has no registers of its own."""
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0

    @property
    def spills(self) -> int:
        return self.spill_stores + self.spill_loads


class Failed(Exception):
    """A compilation or a configuration that failed, with what it printed."""


def parse(log: str, arch: str) -> list[Use]:
    """The functions in what `ptxas -v` printed, with mangled names."""
    found: dict[str, Use] = {}
    kernels: set[str] = set()
    current: Use | None = None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '([^']+)' for '(\w+)'", line):
            kernels.add(match[1])
        elif match := re.search(r"Function properties for (\S+)", line):
            current = found.setdefault(match[1], Use(match[1], arch))
        elif current is None:
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            current.stack, current.spill_stores, current.spill_loads = map(int, match.groups())
        elif match := re.search(r"Used (\d+) registers", line):
            current.registers = int(match[1])
            if shared := re.search(r"(\d+)(?:\+(\d+))? bytes smem", line):
                current.shared = sum(int(part) for part in shared.groups() if part)
            if cumulative := re.search(r"(\d+) bytes cumulative stack size", line):
                current.stack = max(current.stack, int(cumulative[1]))
    for use in found.values():
        use.kernel = use.name in kernels
    return list(found.values())


def demangled(names: Sequence[str]) -> list[str]:
    """Names as they are written, without parameters, return types and our namespace; as they are without c++filt."""
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if tool is None or not names:
        return list(names)
    # nvcc calls the namespace of a file _INTERNAL_<hash>, and the anonymous one _GLOBAL__N__<hash>.
    done = subprocess.run([tool, "-p"], input="\n".join(names), capture_output=True, text=True, check=True)
    noise = r"_INTERNAL_\w+::|\(anonymous namespace\)::|_GLOBAL__N_\w*::|sparsefast::|^void "
    return [re.sub(noise, "", line) for line in done.stdout.splitlines()]


def architectures(command: Sequence[str]) -> list[str]:
    """The architectures of a compile command: "90" is machine code, "90-virtual" PTX."""
    found = []
    for word in command:
        if match := re.fullmatch(r"--generate-code=arch=compute_\w+,code=\[(.*)\]", word):
            for code in match[1].split(","):
                kind, _, number = code.partition("_")
                found.append(f"{number}-virtual" if kind == "compute" else number)
    return found


def for_architecture(command: Sequence[str], arch: str, source: str, output: str) -> list[str]:
    """The same command for one architecture: to machine code with a report, or to PTX."""
    kept, skip = [], False
    for word in command:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT"):
            skip = True
        elif word not in ("-c", "-MD") and not word.startswith("--generate-code=") and not word.endswith(".cu"):
            kept.append(word)
    number = arch.removesuffix("-virtual")
    if arch != number:
        return [*kept, "-ptx", f"-arch=compute_{number}", source, "-o", output]
    target = f"--generate-code=arch=compute_{number},code=[sm_{number}]"
    return [*kept, target, "-Xptxas=-v", "-cubin", source, "-o", output]


def compile_commands(folder: Path) -> dict[str, list[str]]:
    """How CMake compiles each CUDA source."""
    options = ["-DSPARSEFAST_PYTHON=OFF", "-DSPARSEFAST_CUDA=ON", "-DSPARSEFAST_CPU_ISAS="]
    generator = ["-G", "Ninja"] if shutil.which("ninja") and not (folder / "CMakeCache.txt").exists() else []
    done = subprocess.run(
        ["cmake", "-S", ROOT, "-B", folder, *generator, *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(done.stdout + done.stderr)
    entries = json.loads((folder / "compile_commands.json").read_text(encoding="utf-8"))
    commands = {entry["file"]: shlex.split(entry["command"]) for entry in entries if entry["file"].endswith(".cu")}
    return {source: command for source, command in commands.items() if architectures(command)}


def measure(source: str, command: Sequence[str], arch: str) -> list[Use]:
    """Compile one source for one architecture."""
    with tempfile.TemporaryDirectory() as folder:
        words = for_architecture(command, arch, source, str(Path(folder) / "out"))
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    log = done.stdout + done.stderr
    if done.returncode:
        raise Failed(f"{source} for {arch}:\n{log}")
    return parse(log, arch)


def table(uses: Iterable[Use]) -> list[str]:
    """Lines with a column each for name, architecture, registers, shared memory, stack and spills, sorted."""
    heads = ("kernel", "arch", "registers", "shared", "stack", "spill stores", "spill loads")
    rows = [heads]
    for use in sorted(uses, key=lambda use: (use.name, use.arch)):
        name, registers = (use.name, use.registers) if use.kernel else (f"{use.name} (called)", "")
        numbers = (registers, use.shared, use.stack, use.spill_stores, use.spill_loads)
        rows.append((name, use.arch, *map(str, numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *right]))
    return lines


def verdict(uses: Iterable[Use], may_spill: dict[str, str]) -> tuple[list[str], list[str]]:
    """Lines about spills that matter, and about those that may be."""
    bad, fine = [], []
    for use in uses:
        if not use.spills:
            continue
        why = next((why for pattern, why in may_spill.items() if re.fullmatch(pattern, use.name)), None)
        line = f"{use.name} spills on {use.arch}: {use.spill_stores} bytes stored, {use.spill_loads} loaded"
        if why is None:
            bad.append(line)
        else:
            fine.append(f"{line} (allowed: {why})")
    return bad, fine


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Registers, shared memory, stack and spills of every CUDA kernel.")
    parser.add_argument("sources", nargs="*", help="CUDA sources (default: those of CMakeLists.txt)")
    parser.add_argument("--archs", help="such as 80,90 or 90-virtual (default: those of the build)")
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--build-folder", type=Path, default=BUILD, help="where CMake is run")
    args = parser.parse_args(argv)
    missing = [tool for tool in (os.environ.get("CUDACXX", "nvcc"), "cmake") if shutil.which(tool) is None]
    if missing:
        print(f"cuda_resources: {' and '.join(missing)} not found", file=sys.stderr)
        return 2
    try:
        commands = compile_commands(args.build_folder)
        any_command = next(iter(commands.values()))
        sources = {str(Path(s).resolve()): any_command for s in args.sources} or commands
        archs = args.archs.split(",") if args.archs else architectures(any_command)
        pairs = [(source, words, arch) for source, words in sources.items() for arch in archs]
        with ThreadPoolExecutor(max(1, args.jobs)) as pool:
            uses = [use for found in pool.map(lambda pair: measure(*pair), pairs) for use in found]
    except Failed as failure:
        print(f"cuda_resources: {failure}", file=sys.stderr)
        return 2
    for use, name in zip(uses, demangled([use.name for use in uses]), strict=True):
        use.name = name
    print(*table(uses), sep="\n")
    ptx = [arch for arch in archs if arch.endswith("-virtual")]
    kernels = len({use.name for use in uses if use.kernel})
    print(f"\n{kernels} kernels of {len(sources)} sources, for {', '.join(archs)}" + (" (compiled)" if ptx else ""))
    bad, fine = verdict(uses, MAY_SPILL)
    print(*fine, sep="\n", end="\n" if fine else "")
    if bad:
        print(*(f"cuda_resources: {line}" for line in bad), sep="\n", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
