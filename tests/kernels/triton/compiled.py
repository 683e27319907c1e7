"""Compiles the Triton kernels for GPUs that need not be there, and prints a line for each: registers, spills, shared
memory. The interpreter accepts code that the compiler refuses.

    python -m tests.kernels.triton.compiled [architecture ...] [quick | what the name of a case begins with]

The launchers themselves are called, with arrays on the CPU, and what they would launch is compiled instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import compiler as nvidia
from triton.compiler import ASTSource

from sparsefast.kernels.triton import (
    fold,
    layout,
    masked,
    nearest_code,
    ols,
    omp,
    pursuit_blocks,
    pursuit_tile,
    topk,
    unfold,
)
from tests.kernels.triton import compiled_patches

KERNELS = {
    layout: ("tops_kernel", "pack_kernel", "gram_kernel"),
    pursuit_tile: ("pursue_tile",),
    pursuit_blocks: ("pursue_blocks",),
    topk: ("topk_kernel",),
    nearest_code: ("nearest_kernel",),
    unfold: ("columns_kernel", "rows_kernel"),
    fold: ("fold_kernel", "fold_at_kernel"),
}


QUICK = ("omp 64/256/8 tol", "ols 64/256/8", "masked 64/256/8", "topk 64/256/8", "nearest 48/256")
QUICK += compiled_patches.QUICK
"""Cases that launch each kernel once; the others, its other forms."""


class Usage(NamedTuple):
    registers: int
    spilled: int
    stack: int
    shared: int


class Launch:
    """Stands in for a kernel: compiles what it is called with."""

    def __init__(self, kernel: Any, compiled: Callable[[Any, dict[str, Any], dict[str, Any]], None]) -> None:
        self.kernel, self.compiled = kernel, compiled

    def __getitem__(self, grid: object) -> Callable[..., None]:
        return self.call

    def call(self, *args: Any, **options: Any) -> None:
        named = dict(zip(self.kernel.arg_names, args, strict=False))
        named |= {name: options.pop(name) for name in self.kernel.arg_names if name in options}
        self.compiled(self.kernel, named, options)


def source(kernel: Any, named: dict[str, Any]) -> ASTSource:
    """What the compiler is given for these arguments: specialised as a launch would."""
    signature, constants, attributes = {}, {}, {}
    for at, parameter in enumerate(kernel.params):
        value = named[parameter.name]
        fixed = parameter.is_constexpr or value is None
        if isinstance(value, torch.Tensor):
            short = {torch.float32: "fp32", torch.float64: "fp64", torch.int32: "i32", torch.int64: "i64"}
            short |= {torch.uint8: "u8", torch.int8: "i8", torch.bool: "u1", torch.int16: "i16", torch.float16: "fp16"}
            signature[parameter.name] = "*" + short[value.dtype]
            divisible = True  # as what PyTorch allocates
        elif fixed or (value == 1 and not parameter.do_not_specialize):
            signature[parameter.name] = "constexpr"
            constants[(at,)] = value
            continue
        else:
            signature[parameter.name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            divisible = value % 16 == 0 and not parameter.do_not_specialize
        if divisible:
            attributes[(at,)] = [["tt.divisibility", 16]]
    return ASTSource(kernel, signature, constants, attributes)


def usage(ptx: str, shared: int, architecture: int) -> Usage:
    """What ptxas says of it."""
    suffix = "a" if architecture >= 90 else ""
    ptxas = nvidia.get_ptxas(architecture).path
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [ptxas, "-v", f"-arch=sm_{architecture}{suffix}", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = [re.search(pattern, said) for pattern in (r"Used (\d+) reg", r"(\d+) bytes spill st", r"(\d+) bytes stack")]
    registers, spilled, stack = (int(match[1]) if match else 0 for match in found)
    return Usage(registers, spilled, stack, shared)


def cases() -> dict[str, Callable[[], None]]:
    """Calls that between them launch each kernel in each of its forms."""

    def coder(module: Any, dtype: torch.dtype, size: tuple[int, int, int], tol: float | None = None) -> None:
        n_features, n_atoms, n_nonzero = size
        signals = torch.zeros((64, n_features), dtype=dtype)
        made = module.prepare(torch.zeros((n_atoms, n_features), dtype=dtype), None, 1)
        indices = torch.zeros((64, n_nonzero), dtype=torch.int32)
        ends = (torch.zeros((64, n_nonzero), dtype=dtype), indices, indices[:, 0].contiguous())
        name = module.__name__.rpartition(".")[2]
        before: tuple[Any, ...] = (signals, made, n_nonzero, tol)
        if name == "masked":
            before = (signals, torch.ones((64, n_features), dtype=torch.bool), made, n_nonzero, tol)
        elif name == "topk":
            before = (signals, made, n_nonzero, tol is not None)
        getattr(module, name)(*before, *ends, torch.zeros(64, dtype=torch.uint8), 1)

    def nearest(dtype: torch.dtype) -> None:
        signals, codebook = torch.zeros((64, 48), dtype=dtype), torch.zeros((256, 48), dtype=dtype)
        made = nearest_code.prepare(codebook, None, 1)
        nearest_code.nearest_code(signals, made, torch.zeros(64, dtype=torch.int32), torch.zeros(64, dtype=dtype), 1)

    single, double = torch.float32, torch.float64
    return {
        "omp 3/16/4": lambda: coder(omp, single, (3, 16, 4)),
        "omp 64/256/8": lambda: coder(omp, single, (64, 256, 8)),
        "omp 64/256/8 tol": lambda: coder(omp, single, (64, 256, 8), 1.0),
        "omp 64/512/8": lambda: coder(omp, single, (64, 512, 8)),
        "omp 64/1024/16": lambda: coder(omp, single, (64, 1024, 16)),
        "omp 64/256/8 float64": lambda: coder(omp, double, (64, 256, 8), 1.0),
        "omp 64/2048/16": lambda: coder(omp, single, (64, 2048, 16), 1.0),
        "ols 64/256/8": lambda: coder(ols, single, (64, 256, 8), 1.0),
        "ols 64/256/8 float64": lambda: coder(ols, double, (64, 256, 8), 1.0),
        "ols 64/2048/16": lambda: coder(ols, single, (64, 2048, 16)),
        "masked 64/256/8": lambda: coder(masked, single, (64, 256, 8)),
        "masked 64/256/8 float64": lambda: coder(masked, double, (64, 256, 8), 1.0),
        "topk 64/256/8": lambda: coder(topk, single, (64, 256, 8)),
        "topk 64/256/200 float64": lambda: coder(topk, double, (64, 256, 200), 1.0),
        "nearest 48/256": lambda: nearest(single),
        "nearest 48/256 float64": lambda: nearest(double),
        **compiled_patches.cases(),
    }


def compile_all(architecture: int, report: Callable[[str, str, Usage], None], wanted: str = "") -> None:
    """Compile every case for an architecture, and report the case, the kernel and what it uses; each form once."""
    seen = set()
    for case, call in cases().items():
        if case not in QUICK if wanted == "quick" else not case.startswith(wanted):
            continue

        def compiled(kernel: Any, named: dict[str, Any], options: dict[str, Any], case: str = case) -> None:
            what = source(kernel, named)
            key = (what.hash(), repr(options))
            if key in seen:
                return
            seen.add(key)
            made = triton.compile(what, target=GPUTarget("cuda", architecture, 32), options=options)
            report(case, kernel.__name__, usage(made.asm["ptx"], made.metadata.shared, architecture))

        originals = {(module, name): getattr(module, name) for module, names in KERNELS.items() for name in names}
        for (module, name), kernel in originals.items():
            setattr(module, name, Launch(kernel, compiled))
        try:
            call()
        finally:
            for (module, name), kernel in originals.items():
                setattr(module, name, kernel)


def main() -> None:
    def report(case: str, kernel: str, used: Usage) -> None:
        what = f"{used.registers:3} registers  {used.spilled:4} bytes spilled  {used.stack:4} stack"
        print(f"sm_{architecture}  {case:24}  {kernel:14}  {what}  {used.shared:6} shared", flush=True)

    wanted = next((a for a in sys.argv[1:] if not a.isdigit()), "")
    for architecture in [int(a) for a in sys.argv[1:] if a.isdigit()] or [80, 90]:
        compile_all(architecture, report, wanted)


if __name__ == "__main__":
    main()
