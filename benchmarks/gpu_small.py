"""Every op of signals on small, odd sizes on a GPU, for compute-sanitizer; each answer against the reference.

    compute-sanitizer --tool racecheck python benchmarks/gpu_small.py [backend ...]

Sizes take each path of the kernels: few features, up to 512 atoms, more than that, and more atoms asked for than there
are features. The exit status is 1 where an answer is wrong, and 2 where nothing could run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import sparsefast
from sparsefast import dispatch

# (signals, features, atoms, nonzero)
SIZES = ((70, 3, 16, 4), (33, 16, 63, 5), (37, 64, 250, 8), (9, 64, 513, 6), (5, 192, 1024, 10))
SLACK = 64  # times eps: the sizes above are well conditioned, and their residuals far from zero


def problem(n: int, f: int, k: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(f * k)
    x, d = rng.standard_normal((n, f)), rng.standard_normal((k, f))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    x[n // 2] = 0
    return torch.from_numpy(x).to(dtype), torch.from_numpy(d).to(dtype)


def observed(x: torch.Tensor) -> torch.Tensor:
    """Which features `omp_masked` is shown."""
    return torch.from_numpy(np.random.default_rng(1).random(x.shape) < 0.7)


def residuals(x: torch.Tensor, d: torch.Tensor, code: Any, seen: torch.Tensor) -> torch.Tensor:
    """Relative residual norms in float64, of what is seen. Rounding may decide a support, but not how well it fits."""
    wide, atoms = x.double() * seen, d.double()
    used = torch.arange(code.values.shape[1]) < code.counts.cpu()[:, None]
    values = torch.where(used, code.values.cpu().double(), 0.0)
    fit = torch.bmm(values[:, None, :], atoms[code.indices.cpu().long()])[:, 0]
    return (wide - fit * seen).norm(dim=1) / wide.norm(dim=1).clamp(min=1e-30)


def lengths(x: torch.Tensor, d: torch.Tensor, code: Any) -> torch.Tensor:
    """What is added up for each signal, over its norm: ||x|| and ||γ_k d_k|| of each entry."""
    parts = code.values.cpu().double().abs() * d.double().norm(dim=1)[code.indices.cpu().long()]
    return 1 + parts.sum(dim=1) / x.double().norm(dim=1).clamp(min=1e-30)


def calls(s: int) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """(row of the grid, what is said of it, the call on arrays of some device)."""
    yield "omp", "omp", lambda x, d, **b: sparsefast.omp(x, d, s, **b)
    yield "omp", "omp with tol", lambda x, d, **b: sparsefast.omp(x, d, s, tol=0.5, **b)
    yield "ols", "ols", lambda x, d, **b: sparsefast.omp(x, d, s, selection="ols", **b)
    yield "omp_masked", "masked", lambda x, d, **b: sparsefast.omp_masked(x, observed(x).to(x.device), d, s, **b)
    yield "topk", "topk", lambda x, d, **b: sparsefast.topk(x, d, s, **b)
    yield "nearest_code", "nearest", lambda x, d, **b: sparsefast.nearest_code(x, d, **b)


def compare(x: torch.Tensor, d: torch.Tensor, got: Any, wanted: Any, op: str) -> str | None:
    """What is wrong with an answer, or None."""
    slack = SLACK * torch.finfo(x.dtype).eps * x.shape[1] ** 0.5
    seen = observed(x) if op == "omp_masked" else torch.ones_like(x, dtype=torch.bool)
    if hasattr(got, "distances"):
        off = (got.distances.cpu().double() - wanted.distances.double()).abs().max()
    else:
        off = (residuals(x, d, got, seen) - residuals(x, d, wanted, seen)).abs()
        # Coefficients that cancel each other are rounded each in its own size.
        off = (off / torch.maximum(lengths(x, d, got), lengths(x, d, wanted))).max()
    return None if float(off) <= slack else f"off by {float(off):.1e}, where rounding is {slack:.1e}"


def learned() -> Iterator[tuple[str, str, Callable[..., torch.Tensor]]]:
    """The same for ops that learn a dictionary from codes; each gives one array."""
    update = sparsefast.ksvd_update
    yield "ksvd_update", "approx", lambda x, d, code, **b: update(x, d, code, **b).errors
    yield "ksvd_update", "exact", lambda x, d, code, **b: update(x, d, code, method="exact", **b).errors
    yield "ksvd_update", "parallel", lambda x, d, code, **b: update(x, d, code, parallel=True, **b).errors
    yield "dictionary_stats", "A", lambda x, d, code, **b: stats_of(x, d, code, **b).A
    yield "dictionary_stats", "B", lambda x, d, code, **b: stats_of(x, d, code, **b).B
    yield "online_update", "online", lambda x, d, code, **b: sparsefast.online_update(stats_of(x, d, code, **b), d, **b)


def stats_of(x: torch.Tensor, d: torch.Tensor, code: Any, **backend: Any) -> sparsefast.DictionaryStats:
    return sparsefast.DictionaryStats(*d.shape, like=x).add(x, code, **backend)


def learning(backend: str, device: str, n: int, f: int, k: int, s: int, dtype: torch.dtype) -> Iterator[str | None]:
    """Prints a line for each op that learns; what is wrong with it, or None."""
    x, d = problem(n, f, k, dtype)
    s = min(s, max(1, f // 4))  # so that something is left to learn
    code = sparsefast.omp(x, d, s, backend="reference")
    wide = code.to(torch.float64)
    fields = (t.to(device) for t in (code.indices, code.values, code.counts, code.status))
    there = sparsefast.SparseCode._make(*fields, k)
    for op, name, call in learned():
        label = f"{backend} {name} {n} x {f}, {k} atoms, {s} nonzero, {dtype}"
        why_not = dispatch.why_not(op, backend, device, str(dtype).removeprefix("torch."))
        if why_not is not None:
            print(f"absent  {label}: {why_not}")
            continue
        wanted = call(x.double(), d.double(), wide, backend="reference").double().norm()
        found = call(x.to(device), d.to(device), there, backend=backend).cpu().double().norm()
        # Where each signal has an atom of its own, nothing is left of it.
        off = (found - wanted).abs() / torch.maximum(wanted, x.double().norm())
        # An atom that is rounded otherwise changes what those after it find.
        slack = SLACK * torch.finfo(dtype).eps * f**0.5 * s
        wrong = None if float(off) <= slack else f"off by {float(off):.1e}, where rounding is {slack:.1e}"
        print(f"{'right ' if wrong is None else 'WRONG '}  {label}" + (f": {wrong}" if wrong else ""))
        yield wrong


def main(argv: list[str], device: str = "cuda") -> int:
    if device == "cuda" and not torch.cuda.is_available():
        print("gpu_small: PyTorch sees no CUDA device", file=sys.stderr)
        return 2
    ran, bad = 0, 0
    for backend in argv or ["cuda"]:
        for n, f, k, s in SIZES:
            for dtype in (torch.float32, torch.float64):
                x, d = problem(n, f, k, dtype)
                for op, name, call in calls(s):
                    label = f"{backend} {name} {n} x {f}, {k} atoms, {s} nonzero, {dtype}"
                    why_not = dispatch.why_not(op, backend, device, str(dtype).removeprefix("torch."))
                    if why_not is not None:
                        print(f"absent  {label}: {why_not}")
                        continue
                    # From the definition, in float64, of the numbers that the device was given.
                    wanted = call(x.double(), d.double(), backend="reference")
                    wrong = compare(x, d, call(x.to(device), d.to(device), backend=backend), wanted, op)
                    ran, bad = ran + 1, bad + (wrong is not None)
                    print(f"{'right ' if wrong is None else 'WRONG '}  {label}" + (f": {wrong}" if wrong else ""))
                for wrong in learning(backend, device, n, f, k, s, dtype):
                    ran, bad = ran + 1, bad + (wrong is not None)
    print(f"{ran} calls, {bad} wrong")
    return 2 if ran == 0 else int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
