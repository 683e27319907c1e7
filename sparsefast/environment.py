"""What this installation and this machine offer: the body of `sparsefast.info()` and of the `sparsefast info`
command."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

from sparsefast import _native, dispatch, threads
from sparsefast._version import __version__

_PACKAGES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "numba": "Numba",
    "scipy": "SciPy",
    "scikit-learn": "scikit-learn",
    "cupy": "CuPy",
    "triton": "Triton",
    "lightning": "Lightning",
    "hydra-core": "Hydra",
    "torchmetrics": "TorchMetrics",
    "torchvision": "torchvision",
}
# CuPy's wheels are named after the CUDA that they were built for.
_ALSO_KNOWN_AS = {"cupy": ("cupy-cuda13x", "cupy-cuda12x")}


class Info(dict[str, Any]):
    """The answers as a dict that `json` can write; `print` shows them as text."""

    def __str__(self) -> str:
        return _as_text(self)


def info() -> Info:
    """What this installation and this machine offer.

    Returns
    -------
    dict
        versions : package to version, None where it is not installed
        native : whether the C++ kernels are there, the reason if not, the compiler, OpenMP
        cuda : the toolkit and architectures that this build was compiled with, the driver and devices of this machine
        cpu : the instruction set in use and those available, best first; the processor's name
        threads : how many a call would use, and where the number comes from
        openmp : the OpenMP runtimes loaded in this process, None without threadpoolctl
        ops : op to backend to "available" or the reason why not
    """
    native = _native.module
    build: dict[str, Any] = dict(native.build_info()) if native is not None else {}
    # Numba and the kernels are loaded by the grid; that comes first, so that the OpenMP runtimes are those of a real
    # run.
    grid = {
        op: {name: dispatch.why_not(op, name) or "available" for name in dispatch.backend_names()}
        for op in dispatch.op_names()
    }
    toolkit = build.get("cuda") or {}
    driver: dict[str, Any] = dict(native.cuda_status()) if native is not None else {}
    return Info(
        versions={"sparsefast": __version__, "Python": platform.python_version()}
        | {words: _version(name) for name, words in _PACKAGES.items()},
        native={
            "available": native is not None,
            "reason": None if native is not None else _native.why_not,
            "compiler": build.get("compiler"),
            "openmp": build.get("openmp"),
        },
        cuda={
            "toolkit": toolkit.get("version"),
            "architectures": list(toolkit.get("architectures", ())),
            "available": bool(driver.get("available", False)),
            "reason": driver.get("reason") or None if native is not None else _native.why_not,
            "driver": driver.get("driver"),
            "devices": list(driver.get("devices", ())),
        },
        cpu={
            "processor": _processor(),
            "isa": native.isa() if native is not None else None,
            "isas": list(native.isas()) if native is not None else [],
        },
        threads={"count": threads.get_num_threads(), "from": threads.source()},
        openmp=_openmp_runtimes(),
        ops=grid,
    )


def _version(name: str) -> str | None:
    for candidate in (name, *_ALSO_KNOWN_AS.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _openmp_runtimes() -> list[dict[str, Any]] | None:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    return [
        {"runtime": found["prefix"], "threads": found["num_threads"], "file": found["filepath"]}
        for found in threadpool_info()
        if found["user_api"] == "openmp"
    ]


def _as_text(found: Info) -> str:
    versions, native, cuda, cpu = found["versions"], found["native"], found["cuda"], found["cpu"]
    installed = [f"{name} {version}" for name, version in versions.items() if version]
    absent = [name for name, version in versions.items() if not version]
    rows = [("versions", ", ".join(installed)), ("not installed", ", ".join(absent))]
    if native["available"]:
        rows.append(("build", f"{native['compiler']}, {'with' if native['openmp'] else 'without'} OpenMP"))
    else:
        rows.append(("build", f"pure Python: {native['reason']}"))
    if cuda["toolkit"]:
        rows.append(("CUDA build", f"{cuda['toolkit']}, architectures {', '.join(cuda['architectures'])}"))
    else:
        rows.append(("CUDA build", "none"))
    devices = ", ".join(cuda["devices"])
    rows.append(("CUDA here", f"driver {cuda['driver']}, {devices}" if cuda["available"] else str(cuda["reason"])))
    rows.append(("processor", cpu["processor"]))
    if cpu["isa"]:
        rows.append(("instruction set", f"{cpu['isa']} (available: {', '.join(cpu['isas'])})"))
    rows.append(("threads", f"{found['threads']['count']} (from {found['threads']['from']})"))
    if found["openmp"] is None:
        rows.append(("OpenMP", "unknown: threadpoolctl is not installed"))
    else:
        loaded = [f"{r['runtime']} ({Path(r['file']).name}, {r['threads']} threads)" for r in found["openmp"]]
        rows.append(("OpenMP", ", ".join(loaded) or "no runtime loaded"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows if value]
    for op, cells in found["ops"].items():
        lines += ["", op]
        lines += [f"  {backend:<{width - 2}}  {state}" for backend, state in cells.items()]
    return "\n".join(lines)


def add_arguments(parser: Any) -> None:
    """The arguments of `sparsefast info`."""
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: Any) -> int:
    """`sparsefast info`."""
    found = info()
    sys.stdout.write((json.dumps(found, indent=2) if args.json else str(found)) + "\n")
    return 0
