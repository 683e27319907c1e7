"""The stages of `make gpu-check`: which commands each runs, and what is read from what they leave behind."""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "gpu"
STAGES = ("machine", "build", "test", "sanitize", "bench", "family", "patches", "ksvd")
CASES = "C1,C2,C3,C4,C5"
SUITE = ("tests/kernels", "tests/ops", "tests/properties")
# Kernels for CUDA also run emulated on the host, there with their threads in one of three orders.
# What Triton's interpreter and its compiler say needs no device.
ON_CUDA = "cuda and not emulated and not forward and not reversed and not shuffled"
ON_TRITON = "triton and not interpreter and not compiler"
PACKAGES = (
    *("torch", "triton", "numpy", "scipy", "numba", "scikit-learn", "cupy-cuda13x", "cupy-cuda12x"),
    *("pytest", "pytest-xdist", "hypothesis", "pybind11", "cmake", "ninja"),
)


@dataclass
class Step:
    """One command of a stage."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    read: Callable[[], dict[str, Any]] = dict
    """What else there is to know when it has ended, however it ended."""
    leaves: Path | None = None
    """The file that is read then; one of an earlier run is removed first."""


def stages(device: dict[str, Any], python: str = sys.executable) -> dict[str, list[Step]]:
    """The commands of every stage, in the order of STAGES, on a device as gpu_check.find_device describes it."""
    bench, patches = ([python, "-m", "sparsefast.bench", op, "--device=cuda"] for op in ("omp", "patches"))
    return {
        "machine": machine_steps(python),
        "build": build_steps(device, python),
        "test": [
            pytest_step("marked", python, ["-m", "gpu and not slow", "tests"]),
            pytest_step("cuda", python, ["-m", "not gpu and not slow", "-k", ON_CUDA, *SUITE]),
            pytest_step("triton", python, ["-m", "not gpu and not slow", "-k", ON_TRITON, *SUITE]),
        ],
        "sanitize": [sanitizer_step(tool, python) for tool in ("memcheck", "racecheck")],
        "bench": [bench_step("omp", [*bench, "--variants=omp", f"--cases={CASES}"])],
        "family": [
            bench_step("family", [*bench, "--variants=ols,omp_masked,topk,nearest_code", "--seconds=0.5"]),
        ],
        "patches": [bench_step("patches", [*patches, "--seconds=0.3"])],
        "ksvd": [bench_step("ksvd", [python, str(ROOT / "benchmarks" / "gpu_ksvd.py")])],
    }


def machine_steps(python: str) -> list[Step]:
    """What the machine is, in the words of its own tools."""
    versions = (
        "import importlib.metadata as m\n"
        f"for name in {PACKAGES}:\n"
        "    try:\n        print(name, m.version(name))\n"
        "    except m.PackageNotFoundError:\n        print(name, 'is absent')\n"
    )
    query = "--query-gpu=name,compute_cap,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"
    found = [Step("python", [python, "-c", versions]), Step("nvcc", [tool("nvcc") or "nvcc", "--version"])]
    if shutil.which("nvidia-smi"):
        found.append(Step("nvidia-smi", ["nvidia-smi", query, "--format=csv"]))
    return found


def build_steps(device: dict[str, Any], python: str) -> list[Step]:
    """CMake with CUDA for this device alone; the module lands in sparsefast/, where the tests import it."""
    options = [
        *("-DSPARSEFAST_CUDA=ON", f"-DPython_EXECUTABLE={python}", "-DCMAKE_BUILD_TYPE=Release"),
        *([f"-DCMAKE_CUDA_ARCHITECTURES={device['capability']}-real"] if device.get("capability") else []),
        *([f"-DCMAKE_CUDA_COMPILER={nvcc}"] if (nvcc := tool("nvcc")) else []),
    ]
    if importlib.util.find_spec("pybind11") is None and (headers := torch_pybind11()) is not None:
        options.append(f"-Dpybind11_DIR={pybind11_from(headers)}")
    if shutil.which("ninja"):
        options = ["-G", "Ninja", *options]
    jobs = str(os.cpu_count() or 1)
    info = "import sys; from sparsefast.cli import main; sys.exit(main(['info']))"
    return [
        # A folder that another generator or another tree has configured cannot be configured again.
        Step("configure", ["cmake", "--fresh", "-S", str(ROOT), "-B", str(BUILD), *options]),
        Step("compile", ["cmake", "--build", str(BUILD), "--parallel", jobs]),
        Step("info", [python, "-c", info]),
    ]


def torch_pybind11() -> Path | None:
    """The headers of pybind11 that PyTorch carries."""
    torch = importlib.util.find_spec("torch")
    folder = Path(torch.origin).parent / "include" if torch is not None and torch.origin else None
    return folder if folder is not None and (folder / "pybind11" / "pybind11.h").exists() else None


def pybind11_from(headers: Path) -> Path:
    """A folder from which CMake's find_package(pybind11) takes these headers."""
    folder = BUILD / "pybind11"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pybind11ConfigVersion.cmake").write_text("set(PACKAGE_VERSION_COMPATIBLE TRUE)\n", encoding="utf-8")
    (folder / "pybind11Config.cmake").write_text(
        "function(pybind11_add_module name kind)\n"
        '  list(REMOVE_ITEM ARGN NO_EXTRAS "")\n'
        "  Python_add_library(${name} ${kind} WITH_SOABI ${ARGN})\n"
        f'  target_include_directories(${{name}} SYSTEM PRIVATE "{headers}")\n'
        "  set_target_properties(${name} PROPERTIES CXX_VISIBILITY_PRESET hidden)\n"
        "endfunction()\n",
        encoding="utf-8",
    )
    return folder


def pytest_step(name: str, python: str, arguments: list[str]) -> Step:
    """A run of pytest that copes with plugins that are absent, and whose failures are read from its report."""
    report = BUILD / f"{name}.xml"
    # The options of pyproject.toml ask for pytest-benchmark.
    options = ["-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider", "-q", "--tb=short"]
    options += ["--continue-on-collection-errors", f"--junitxml={report}"]
    if importlib.util.find_spec("pytest_benchmark"):
        options.append("--benchmark-disable")
    if importlib.util.find_spec("xdist"):
        # Processes share the one device; what takes time is compiling for it.
        options += ["-n", str(min(8, os.cpu_count() or 1)), "--dist", "worksteal"]
    return Step(
        name, [python, "-m", "pytest", *options, *arguments], read=lambda: {"tests": read_junit(report)}, leaves=report
    )


def read_junit(path: Path) -> dict[str, Any]:
    """Numbers of tests, and the first line of each failure; empty if the run left no report."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return {}
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in root.iter("testsuite"):
        for key in counts:
            counts[key] += int(suite.get(key, 0))
    failed, reasons = [], collections.Counter()
    for case in root.iter("testcase"):
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                message = " ".join((found.get("message") or "").split())[:300]
                failed.append(f"{case.get('classname')}::{case.get('name')}: {message}")
        if (found := case.find("skipped")) is not None:
            reasons[" ".join((found.get("message") or "").split())[:200]] += 1
    return {**counts, "failed": failed[:100], "skipped_because": dict(reasons.most_common(20))}


def sanitizer_step(check: str, python: str) -> Step:
    """A tool of compute-sanitizer over every op on small sizes."""
    sanitizer = tool("compute-sanitizer") or "compute-sanitizer"
    options = ["--tool", check, "--error-exitcode", "99", "--print-limit", "20", *only_our_kernels(sanitizer)]
    # An allocation each, so that a write past its end leaves it.
    return Step(
        check,
        [sanitizer, *options, python, str(ROOT / "benchmarks" / "gpu_small.py"), "cuda"],
        {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
    )


def only_our_kernels(sanitizer: str) -> list[str]:
    """The option that leaves out kernels that are not ours, where this version of compute-sanitizer has it."""
    try:
        done = subprocess.run([sanitizer, "--help"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    option = "--kernel-name" if "--kernel-name" in done.stdout else "--kernel-regex"
    return [option, "kernel_substring=sparsefast"] if "kernel_substring" in done.stdout else []


def bench_step(name: str, command: list[str]) -> Step:
    path = BUILD / f"bench-{name}.json"

    def read() -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            return {"bench": json.loads(path.read_text(encoding="utf-8"))}
        return {}

    return Step(name, [*command, f"--json={path}"], read=read, leaves=path)


def tool(name: str) -> str | None:
    """A tool of the CUDA toolkit, on PATH or where it is usually installed."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    places = [os.environ.get("PATH", ""), *(str(Path(home) / "bin") for home in homes if home)]
    return shutil.which(name, path=os.pathsep.join(places))
