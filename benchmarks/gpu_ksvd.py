"""Dictionary learning on a GPU beside the CPU's kernels: times, bytes, and the goal of 20 times the CPU's speed.

    python benchmarks/gpu_ksvd.py [--json FILE] [--signals 1000000] [--seconds 2]
    python benchmarks/gpu_ksvd.py --scaling 10000,50000,200000,1000000 [--only approx]
    ncu --set full -k regex:sweep_kernel -c 1 python benchmarks/gpu_ksvd.py --scaling 1000000 --only exact

One sweep of K-SVD over signals of 64 features, 256 atoms and 8 nonzeros, approximate and exact; the statistics and the
atoms of online learning. Signals are sparse in a hidden dictionary with noise, and coded by `omp` in another. The CPU's
kernels run on all cores. A result whose error is not that of the CPU's has no speed. The exit status is 1 where one is
wrong, and 2 where there is no device.

With --scaling nothing is compared: the times at several numbers of signals, which tell what an atom costs from what a
signal costs, and those of the kernels of one call. Kernels: sweep_kernel, residual_kernel, place_kernel, count_kernel,
stats_kernel, squares_kernel, online_kernel.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

import sparsefast
from sparsefast import DictionaryStats, SparseCode, ksvd_update, online_update
from sparsefast.bench.gpu import device as devices

F, K, S = 64, 256, 8
WANTED = 20.0
# Of the error that is left: float32 sums of some 30 000 rows an atom, in other orders.
CLOSE = 1e-3


class Given(NamedTuple):
    signals: torch.Tensor
    dictionary: torch.Tensor
    code: SparseCode

    def to(self, device: str) -> Given:
        return Given(self.signals.to(device), self.dictionary.to(device), self.code.to(device))


def given(n: int, sizes: tuple[int, int, int], device: str) -> Given:
    """Signals and codes, made on the device."""
    n_features, n_atoms, n_nonzero = sizes
    random = torch.Generator(device).manual_seed(0)
    hidden, start = (
        torch.nn.functional.normalize(torch.randn(n_atoms, n_features, generator=random, device=device))
        for _ in range(2)
    )
    signals = torch.randn(n, n_features, generator=random, device=device).mul_(0.05)
    for _ in range(n_nonzero):
        atoms = torch.randint(n_atoms, (n,), generator=random, device=device)
        signals += torch.randn(n, 1, generator=random, device=device) * hidden[atoms]
    start = torch.nn.functional.normalize(0.7 * hidden + 0.3 * start)
    return Given(signals, start, sparsefast.omp(signals, start, n_nonzero))


def bytes_of(name: str, n: int, sizes: tuple[int, int, int]) -> int:
    """What must be moved at least, with the residual in memory: a row is read twice an entry, once where it is still in
    the second-level cache, and written once."""
    n_features, n_atoms, n_nonzero = sizes
    row, entries = 4 * n_features, n * n_nonzero
    if name in ("approx", "exact"):
        return 2 * entries * row + 3 * n * row + 24 * entries
    return entries * (row + 12) + 2 * n * row if name == "stats" else 8 * n_atoms * (n_atoms + 2 * n_features)


def calls(g: Given) -> dict[str, Callable[[], Any]]:
    """Each op on the arrays of `g`, and what it gives as one number to compare."""
    n_atoms, n_features = g.dictionary.shape
    stats = DictionaryStats(n_atoms, n_features, like=g.signals).add(g.signals, g.code)
    return {
        "approx": lambda: ksvd_update(g.signals, g.dictionary, g.code).errors,
        "exact": lambda: ksvd_update(g.signals, g.dictionary, g.code, method="exact").errors,
        "stats": lambda: DictionaryStats(n_atoms, n_features, like=g.signals).add(g.signals, g.code).B,
        "online": lambda: online_update(stats, g.dictionary),
    }


def on_cpu(call: Callable[[], Any]) -> tuple[float, Any]:
    """The best of two calls, after which everything is loaded, and its result."""
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return best, result


def measure(n: int, sizes: tuple[int, int, int], seconds: float, device: str) -> list[dict[str, Any]]:
    """A row for each op."""
    watch = devices.Stopwatch(device)
    there = given(n, sizes, device)
    here, ours = calls(there.to("cpu")), calls(there)
    rows = []
    for name, call in ours.items():
        cpu, wanted = on_cpu(here[name])
        found = call()
        a, b = (float(x.double().norm()) for x in (found, wanted))
        row: dict[str, Any] = {"op": name, "n_signals": n, "sizes": sizes, "norm": a, "norm_of_cpu": b}
        rows.append(row)
        if not abs(a - b) <= CLOSE * abs(b):
            row["wrong"] = f"{a:.6g} where the CPU has {b:.6g}"
            continue
        times, end = [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            times.append(watch.seconds(call))
        median = statistics.median(times)
        quartiles = statistics.quantiles(times, n=4)
        row |= {"seconds": median, "q1": quartiles[0], "q3": quartiles[2], "cpu_seconds": cpu, "ratio": cpu / median}
        row["bytes_per_second"] = bytes_of(name, n, sizes) / median
        row["memory_bytes"] = watch.memory(call)
    return rows


def kernels(call: Callable[[], Any], most: int = 6) -> list[tuple[str, float]]:
    """The kernels of one call that take longest on a GPU, and their seconds."""
    profiler = torch.profiler
    call()
    torch.cuda.synchronize()
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize()
    events: Any = profile.key_averages()
    found = sorted(((e.device_time_total / 1e6, e.key) for e in events), reverse=True)
    return [(name, seconds) for seconds, name in found[:most]]


def scale(
    signals: list[int], names: list[str], sizes: tuple[int, int, int], seconds: float, device: str
) -> list[dict[str, Any]]:
    """A row for each op and number of signals, printed as they come."""
    watch, rows = devices.Stopwatch(device), []
    for n in signals:
        ours = calls(given(n, sizes, device))
        for name in names:
            times, end = [], time.perf_counter() + seconds
            ours[name]()
            while len(times) < 3 or time.perf_counter() < end:
                times.append(watch.seconds(ours[name]))
            row = {"op": name, "n_signals": n, "sizes": sizes, "seconds": statistics.median(times)}
            rows.append(row)
            of_atom = row["seconds"] / sizes[1] * 1e6
            print(f"{name:<8} {n:>9} signals {row['seconds'] * 1e3:10.3f} ms {of_atom:8.2f} us an atom", flush=True)
            if device == "cuda":
                row["kernels"] = kernels(ours[name])
                for kernel, taken in row["kernels"]:
                    print(f"    {taken * 1e6:10.1f} us  {kernel[:100]}", flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    head = f"{row['op']:<8} {row['n_signals']} signals"
    if "wrong" in row:
        return f"{head}  wrong: {row['wrong']}"
    return (
        f"{head}  {row['seconds'] * 1e3:9.3f} ms ({row['q1'] * 1e3:.3f} to {row['q3'] * 1e3:.3f})  "
        f"{row['bytes_per_second'] / 1e9:.0f} GB/s  "
        f"{row['ratio']:.1f} times the CPU's {row['cpu_seconds'] * 1e3:.0f} ms"
    )


def main(argv: list[str] | None = None, device: str = "cuda", sizes: tuple[int, int, int] = (F, K, S)) -> int:
    parser = argparse.ArgumentParser(description="Dictionary learning on a GPU beside the CPU's kernels.")
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--signals", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--scaling", metavar="N,N,...", help="times alone, at these numbers of signals")
    parser.add_argument("--only", choices=("approx", "exact", "stats", "online"), help="with --scaling")
    args = parser.parse_args(argv)
    if device == "cuda" and (reason := devices.why_not()) is not None:
        print(f"gpu_ksvd: {reason}", file=sys.stderr)
        return 2
    described = devices.describe(devices.Stopwatch(device))
    print(described["device"], described["host"], sep="\n")
    if args.scaling:
        names = [args.only] if args.only else ["approx", "exact", "stats", "online"]
        scale([int(n) for n in args.scaling.split(",")], names, sizes, args.seconds, device)
        return 0
    rows = measure(args.signals, sizes, args.seconds, device)
    print(*map(line, rows), sep="\n")
    goals = [
        {
            "op": row["op"],
            "goal": "times the CPU",
            "value": row["ratio"],
            "wanted": WANTED,
            "met": row["ratio"] >= WANTED,
        }
        for row in rows
        if row["op"] in ("approx", "exact") and "ratio" in row
    ]
    if args.json:
        found = {"schema": "sparsefast-bench-gpu-ksvd", "schema_version": 1, "device": described, "rows": rows}
        args.json.write_text(json.dumps({**found, "goals": goals}, indent=1) + "\n", encoding="utf-8")
    return int(any("wrong" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
