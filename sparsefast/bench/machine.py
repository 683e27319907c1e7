"""The machine a benchmark ran on: what it is, and how fast it multiplies and copies, measured in the same run."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsefast.bench.contender import thread_limit, version_of
from sparsefast.bench.harness import timed

SIZES = (384, 768, 1536)
COPY_BYTES = 128 << 20  # well past the caches, and quick
DISTRIBUTIONS = (
    "sparsefast",
    "numpy",
    "scipy",
    "torch",
    "numba",
    "scikit-learn",
    "spams-bin",
    "dictlearn",
    "faiss-cpu",
)
VARIABLES = (
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "OMP_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "SPARSEFAST_CPU_ISA",
    "SPARSEFAST_BACKEND",
)


@dataclass(frozen=True)
class Limit:
    """The two ceilings of a machine at some number of threads."""

    threads: int
    flops: float
    """Floating-point operations a second of the best matrix product found."""
    blas: str
    """Whose product that was: "numpy" or "torch"."""
    size: int
    bandwidth: float
    """Bytes a second that a large copy reads and writes; a read for ownership is not counted."""

    def seconds(self, flops: float, bytes_moved: float) -> tuple[float, str]:
        """The least time for that much work, and which ceiling it is: "compute" or "bandwidth"."""
        compute, memory = flops / self.flops, bytes_moved / self.bandwidth
        return (compute, "compute") if compute >= memory else (memory, "bandwidth")


def describe() -> dict[str, Any]:
    """Processor, caches, memory, versions, settings and date, as they are printed above a table."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cpus": affinity,
        "caches": _caches(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": load,
        "python": platform.python_version(),
        "versions": {name: v for name in DISTRIBUTIONS if (v := _version(name))},
        "isa": _isa(),
        "blas": _blas(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def openblas_core() -> str | None:
    """The OpenBLAS kernels that suit this x86 processor, for OPENBLAS_CORETYPE; None where that is not known.

    A peer may carry an OpenBLAS older than the processor, which takes what it does not know for a Barcelona (SSE2):
    SPAMS 2.6.14 is then 2.4 times slower than it has to be.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                flags = set(line.split())
                if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
                    return "SkylakeX"
                return "Haswell" if {"avx2", "fma"} <= flags else None
    return None


def _blas() -> list[str]:
    """Every BLAS that is loaded, its version and the kernels that it chose."""
    try:
        info = importlib.import_module("threadpoolctl").threadpool_info()
    except ImportError:
        return []
    found = (i for i in info if i["user_api"] == "blas")
    return sorted(f"{i['prefix']} {i['version']} {i.get('architecture', '')}".strip() for i in found)


def _version(name: str) -> str:
    if name == "sparsefast":
        return str(importlib.import_module("sparsefast").__version__)
    return version_of(name)


def _isa() -> str | None:
    from sparsefast import _native

    return None if _native.module is None else str(_native.module.isa())


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        with contextlib.suppress(OSError):
            level, kind, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
            if kind != "Instruction":
                found[f"L{level}"] = size
    return found


def _memory() -> int | None:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def products(dtype: str, size: int) -> dict[str, Callable[[], Any]]:
    """A square matrix product by each BLAS at hand."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    found: dict[str, Callable[[], Any]] = {"numpy": lambda: np.matmul(a, b, out=out)}
    torch: Any = sys.modules.get("torch")
    if torch:
        ta, tb, tout = (torch.from_numpy(m) for m in (a, b, np.empty_like(a)))
        found["torch"] = lambda: torch.mm(ta, tb, out=tout)
    return found


def peak_product(threads: int, dtype: str, repeats: int = 7) -> tuple[float, str, int]:
    """FLOP/s of the best product at that number of threads, and which BLAS and size it was."""
    best = (0.0, "", 0)
    with thread_limit(threads):
        for size in SIZES:
            for name, call in products(dtype, size).items():
                call()
                seconds = min(timed(call)[0] for _ in range(repeats))
                best = max(best, (2 * size**3 / seconds, name, size))
    return best


def copy_bandwidth(threads: int, repeats: int = 7) -> float:
    """Bytes a second, read plus written, of the best copy of a large array at that number of threads."""
    source, target = np.ones(COPY_BYTES // 8), np.zeros(COPY_BYTES // 8)
    calls: list[Callable[[], Any]] = [lambda: np.copyto(target, source)]
    torch: Any = sys.modules.get("torch")
    if torch:
        ts, tt = torch.from_numpy(source), torch.from_numpy(target)
        calls.append(lambda: tt.copy_(ts))
    with thread_limit(threads):
        return max(2 * COPY_BYTES / min(timed(call)[0] for _ in range(repeats)) for call in calls)


def measure_limit(threads: int, dtype: str) -> Limit:
    """Both ceilings at that number of threads."""
    flops, by, size = peak_product(threads, dtype)
    return Limit(threads, flops, by, size, copy_bandwidth(threads))
