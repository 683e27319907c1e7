"""What a call costs beside its kernel: microseconds on a small batch, and memory beside the outputs on a large one."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsefast.bench.case import Case
from sparsefast.bench.contender import thread_limit
from sparsefast.bench.data import problem
from sparsefast.bench.harness import Entry, summarise, take_turns

SIGNALS = 8
CALLS = 200
ROUNDS = 15


@dataclass(frozen=True)
class Overhead:
    """Microseconds of `omp` on 8 signals with a prepared dictionary, and of its kernel on the same arrays."""

    backend: str
    kind: str
    wall_us: float
    kernel_us: float
    overhead_us: float
    """Median over the turns of the difference."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a call takes beside its outputs, next to those of the K x N correlations that it must not keep."""

    backend: str
    n_signals: int
    workspace_bytes: int | None
    """As the C++ core reports it, for one thread; None for the other backends."""
    resident_bytes: int | None
    """How much the process grew at its peak, less the outputs: workspace, packed dictionary, allocator. Linux only."""
    correlations_bytes: int


def overhead(case: Case, backend: str, kind: str, dtype: str = "float32", calls: int | None = None) -> Overhead:
    """The cost of a call over its kernel for arrays of `kind`, "numpy" or "torch"."""
    import sparsefast

    calls = calls or CALLS
    signals, dictionary = problem(case.patch, case.colour, case.n_atoms, SIGNALS, dtype)
    module = importlib.import_module(f"sparsefast.kernels.{backend}.omp")
    prepared = sparsefast.prepare(dictionary)
    given: Any = signals if kind == "numpy" else importlib.import_module("torch").from_numpy(signals)
    asked = None if sparsefast.backends("omp", device="cpu")[0] == backend else backend
    width = np.int32 if kind == "numpy" else np.int64
    values, indices = np.empty((SIGNALS, case.n_nonzero), dtype), np.empty((SIGNALS, case.n_nonzero), width)
    counts, status = np.empty(SIGNALS, np.int32), np.empty(SIGNALS, np.uint8)
    outputs = (values, indices, counts, status)
    layout = module.prepare(dictionary, None, 1)
    whole = Entry("omp", _loop(lambda: sparsefast.omp(given, prepared, case.n_nonzero, backend=asked), calls), calls)
    bare = Entry("kernel", _loop(lambda: module.omp(signals, layout, case.n_nonzero, None, *outputs, 1), calls), calls)
    with thread_limit(1):
        whole.call(), bare.call()
        take_turns([whole, bare], ROUNDS)
    a, b = ([1e6 * s / calls for s in entry.seconds] for entry in (whole, bare))
    differences = [x - y for x, y in zip(a, b, strict=True)]
    return Overhead(backend, kind, summarise(a).median, summarise(b).median, summarise(differences).median)


def _loop(call: Callable[[], Any], times: int) -> Callable[[], None]:
    def loop() -> None:
        for _ in range(times):
            call()

    return loop


def memory(case: Case, backend: str, n_signals: int = 1 << 16, dtype: str = "float32") -> Memory:
    """Peak memory of one call beside its outputs, from an array dictionary, on one thread."""
    import sparsefast

    signals, dictionary = problem(case.patch, case.colour, case.n_atoms, n_signals, dtype)
    with thread_limit(1):
        sparsefast.omp(signals[:64], dictionary, case.n_nonzero, backend=backend)  # imports and compiles
        before = _reset_peak()
        code = sparsefast.omp(signals, dictionary, case.n_nonzero, backend=backend)
        peak = _status("VmHWM")
    outputs = sum(np.asarray(part).nbytes for part in (code.indices, code.values, code.counts, code.status))
    grown = None if before is None or peak is None else max(0, peak - before - outputs)
    workspace = None
    if backend == "cpu":
        native: Any = importlib.import_module("sparsefast._native").module
        layout = importlib.import_module("sparsefast.kernels.cpu.omp").prepare(dictionary, None, 1)
        workspace = int(native.omp_workspace_bytes(layout, n_signals, case.n_nonzero, 1))
    return Memory(backend, n_signals, workspace, grown, n_signals * case.n_atoms * signals.itemsize)


def _reset_peak() -> int | None:
    """Hand free memory back, start the high-water mark of the resident set anew, and return it, where Linux allows."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError, TypeError):
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None
