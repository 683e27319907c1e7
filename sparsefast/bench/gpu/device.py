"""The device a benchmark runs on: what it is, how fast it multiplies and copies, and its clock."""

from __future__ import annotations

import datetime
import functools
import importlib
import platform
import time
from collections.abc import Callable
from typing import Any

from sparsefast.bench import machine
from sparsefast.bench.contender import version_of
from sparsefast.bench.machine import Limit

REPEATS = 7
SIZES = (4096, 8192)
COPY_BYTES = 1 << 30  # far past any L2
DISTRIBUTIONS = ("numpy", "torch", "triton", "cupy-cuda13x", "cupy-cuda12x")


def why_not() -> str | None:
    """Why nothing can be measured on a GPU here, or None."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as error:
        return f"PyTorch cannot be imported ({error})"
    if torch.cuda.is_available():
        return None
    return "PyTorch sees no CUDA device" + ("" if torch.version.cuda else " (this build of it has no CUDA)")


class Stopwatch:
    """Times a call on a device, from the moment it is made on an idle device until its last kernel has finished.

    On a GPU by CUDA events. Before each call as many bytes are written as the L2 cache has four times over, so that
    inputs come from memory. Launching is part of the time, as it is for whoever calls; `graphed` leaves it out.
    """

    def __init__(self, device: str) -> None:
        torch: Any = importlib.import_module("torch")
        self.torch, self.device = torch, torch.device(device)
        self.on_gpu = self.device.type == "cuda"
        if self.on_gpu:
            size = getattr(torch.cuda.get_device_properties(self.device), "L2_cache_size", 64 << 20)
            self._flush = torch.empty(4 * size, dtype=torch.uint8, device=self.device)
            self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def seconds(self, call: Callable[[], Any]) -> float:
        """How long one call takes. Its result is kept until the clock has stopped."""
        if not self.on_gpu:
            start = time.perf_counter()
            result = call()
            return max(time.perf_counter() - start, 1e-9)
        self._flush.zero_()
        self.torch.cuda.synchronize(self.device)
        self._start.record()
        result = call()
        self._end.record()
        self._end.synchronize()
        del result
        return max(float(self._start.elapsed_time(self._end)) / 1000, 1e-9)

    def graphed(self, call: Callable[[], Any]) -> Callable[[], Any] | None:
        """The same work as one launch of a CUDA graph; None off a GPU."""
        if not self.on_gpu:
            return None
        stream = self.torch.cuda.Stream(self.device)
        stream.wait_stream(self.torch.cuda.current_stream(self.device))
        with self.torch.cuda.stream(stream):
            call()
        self.torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            result = call()

        def replay() -> Any:
            graph.replay()
            return result  # whose memory the graph writes

        return replay

    def memory(self, call: Callable[[], Any]) -> int | None:
        """Bytes that a call allocates at its peak, outputs too; None off a GPU."""
        if not self.on_gpu:
            return None
        cuda = self.torch.cuda
        cuda.synchronize(self.device)
        before = cuda.memory_allocated(self.device)
        cuda.reset_peak_memory_stats(self.device)
        call()
        cuda.synchronize(self.device)
        return int(cuda.max_memory_allocated(self.device)) - int(before)

    def empty_cache(self) -> None:
        """Hand the allocator's free blocks back, so that one contender's do not take the next one's room."""
        if self.on_gpu:
            self.torch.cuda.empty_cache()


def describe(watch: Stopwatch) -> dict[str, Any]:
    """Device, driver, versions and date, as they are printed above a table."""
    found: dict[str, Any] = {
        "device": str(watch.device),
        "host": machine.describe(),
        "versions": {name: v for name in DISTRIBUTIONS if (v := version_of(name))},
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if watch.on_gpu:
        properties = watch.torch.cuda.get_device_properties(watch.device)
        found |= {
            "device": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "l2_bytes": getattr(properties, "L2_cache_size", None),
            "torch_cuda": watch.torch.version.cuda,
        }
    from sparsefast import _native

    if _native.module is not None:
        found["build"] = _native.module.build_info().get("cuda")
        found["driver"] = _native.module.cuda_status().get("driver")
    return found


def measure_limit(watch: Stopwatch, dtype: str) -> Limit:
    """Rate of the best square product (in full precision, not TF32) and of a large copy, read plus written."""
    torch = watch.torch
    torch.set_float32_matmul_precision("highest")
    best = (0.0, 0)
    for size in SIZES:
        # Not zeros, on which a GPU draws less power and runs faster.
        a, b = (torch.randn(size, size, dtype=getattr(torch, dtype), device=watch.device) for _ in range(2))
        out = torch.empty_like(a)
        product = functools.partial(torch.mm, a, b, out=out)
        product()
        seconds = min(watch.seconds(product) for _ in range(REPEATS))
        best = max(best, (2 * size**3 / seconds, size))
    source = torch.randint(256, (COPY_BYTES,), dtype=torch.uint8, device=watch.device)
    target = torch.empty_like(source)
    target.copy_(source)
    bandwidth = 2 * COPY_BYTES / min(watch.seconds(lambda: target.copy_(source)) for _ in range(REPEATS))
    return Limit(0, best[0], "torch", best[1], bandwidth)
