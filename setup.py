"""Builds the package: setuptools calls CMake, which alone knows sources and flags (pyproject.toml holds the metadata).

Three environment variables steer it: SPARSEFAST_NATIVE (the C++ module), SPARSEFAST_CUDA (its CUDA kernels) and
SPARSEFAST_CUDA_EMULATION (these kernels on the host, for their tests), each `0` (off), `auto` (use what is there; the
default) or `1` (its absence is an error). The emulation is for editable installs: `auto` leaves it out, and a wheel
never has it.
"""

import importlib.util
import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# Where CMake looks for a C++ compiler when CXX does not name one.
COMPILERS = ("c++", "g++", "clang++", "icpx")


def say(line: str) -> None:
    print(f"sparsefast: {line}", file=sys.stderr, flush=True)


def setting(name: str) -> str:
    value = os.environ.get(name, "auto")
    if value not in ("0", "auto", "1"):
        sys.exit(f"sparsefast: {name}={value!r} is not one of 0, auto, 1")
    return value


def compiler_missing() -> str | None:
    if wanted := shlex.split(os.environ.get("CXX", "")):
        return None if shutil.which(wanted[0]) else f"the C++ compiler CXX={wanted[0]} was not found"
    return None if any(map(shutil.which, COMPILERS)) else "no C++ compiler was found"


def what_is_missing() -> tuple[str, str] | None:
    """What a native build lacks on this machine, and what to do about it."""
    if not sys.platform.startswith("linux"):
        return "the native module is built on Linux only", "unset it"
    if reason := compiler_missing():
        return reason, "install g++ 10 or newer, or name one by CXX"
    if not shutil.which("cmake"):
        return "cmake was not found", "pip install cmake"
    if importlib.util.find_spec("pybind11") is None:
        return "pybind11 was not found", "pip install pybind11"
    return None


def why_not_native(native: str, **parts: str) -> str | None:
    """None to build the native module, else the reason for a pure-Python package; exits where that is an error."""
    if native == "0":
        for name, value in parts.items():
            if value == "1":
                sys.exit(f"sparsefast: {name}=1 needs the native module, but SPARSEFAST_NATIVE=0; set only one")
        return "the native module was switched off by SPARSEFAST_NATIVE=0"
    if missing := what_is_missing():
        for name, value in {"SPARSEFAST_NATIVE": native, **parts}.items():
            if value == "1":
                sys.exit(f"sparsefast: {name}=1, but {missing[0]}: {missing[1]}, or set {name}=auto")
        return missing[0]
    return None


def packages() -> list[str]:
    """Every package, from the tree, so that none can be forgotten; kernels/ is sparsefast.kernels."""
    found = []
    for top, name in (("sparsefast", "sparsefast"), ("kernels", "sparsefast.kernels")):
        for folder, below, files in os.walk(ROOT / top):  # does not follow the link sparsefast/kernels
            below[:] = sorted(set(below) - {"__pycache__"})
            if not any(file.endswith(".py") for file in files):
                continue
            relative = Path(folder).relative_to(ROOT)
            if "__init__.py" not in files:
                sys.exit(f"sparsefast: {relative} holds Python files but no __init__.py, so it would not be installed")
            found.append(".".join((name, *relative.parts[1:])))
    return found


def remove_modules(folder: Path, *names: str) -> None:
    """Those of an earlier build, which would be imported still."""
    for name in names:
        for stale in folder.glob(f"{name}.*.so"):
            stale.unlink()


class BuildPython(build_py):
    """Starts from an empty build folder, and leaves a record beside a package that has no native module."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # files deleted since the last build must not be packed
        super().run()
        if WHY_NOT is not None:
            target = ROOT / "sparsefast" if self.editable_mode else Path(self.build_lib, "sparsefast")
            remove_modules(target, "_C", "_emulated")
            target.mkdir(parents=True, exist_ok=True)
            reason = {"version": VERSION, "native": False, "reason": WHY_NOT, "cuda": False, "cuda_reason": WHY_NOT}
            (target / "_build.json").write_text(json.dumps(reason) + "\n", encoding="utf-8")
            say(f"{WHY_NOT}: installing without the native module, on Numba")


class CMakeBuild(build_ext):
    """Calls CMake. Whatever fails here is an error: a compiler is there, so our sources must compile."""

    def run(self) -> None:
        import pybind11

        output = ROOT / "sparsefast" if self.inplace else Path(self.build_lib, "sparsefast").resolve()
        emulation = EMULATION == "1" and self.inplace
        if EMULATION == "1" and not emulation:
            say("SPARSEFAST_CUDA_EMULATION=1 is for editable installs; this one goes without the emulation")
        if not emulation:
            remove_modules(output, "_emulated")
        cmake, ninja = shutil.which("cmake") or "cmake", shutil.which("ninja")
        options = {
            "CMAKE_BUILD_TYPE": "Debug" if self.debug else os.environ.get("CMAKE_BUILD_TYPE", "Release"),
            "SPARSEFAST_OUTPUT_DIR": output.as_posix(),
            "SPARSEFAST_CUDA": {"0": "OFF", "auto": "AUTO", "1": "ON"}[CUDA],
            "SPARSEFAST_CUDA_EMULATION": "ON" if emulation else "OFF",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
        }
        configure = [cmake, "-S", str(ROOT), *(f"-D{key}={value}" for key, value in options.items())]
        if ninja:
            configure += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        configure += shlex.split(os.environ.get("CMAKE_ARGS", ""))

        folder = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}{'-inplace' if self.inplace else ''}"
        start_afresh_if_changed(folder, configure)
        self.call([*configure, "-B", str(folder)])
        self.call([cmake, "--build", str(folder), "--parallel", str(self.parallel or os.cpu_count() or 1)])

    def call(self, command: list[str]) -> None:
        output = ""
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            for line in process.stdout or ():
                output += line
                print(line, end="", file=sys.stderr, flush=True)
        if process.returncode == 0:
            return
        if CUDA == "1" and (why := after(output, "SPARSEFAST_CUDA=ON: ")):
            what_to_do = "install the CUDA toolkit, point CUDACXX at a working nvcc, or set SPARSEFAST_CUDA=auto"
            sys.exit(f"sparsefast: SPARSEFAST_CUDA=1, but {why}: {what_to_do}")
        sys.exit("sparsefast: the native build failed, see above (SPARSEFAST_NATIVE=0 installs without it)")


def after(text: str, marker: str) -> str:
    """The rest of CMake's message after a marker, which may be wrapped, as one line."""
    return " ".join(text.partition(marker)[2].partition("Call Stack")[0].partition("\n\n")[0].split())


def start_afresh_if_changed(folder: Path, configure: list[str]) -> None:
    """Empties a build folder that other tools or options made: CMake's cache would keep the old ones (pip's isolated
    builds have a new ninja and pybind11 each time)."""
    steering = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAHOSTCXX", "CUDAARCHS", "CUDAFLAGS")
    steering += ("TORCH_CUDA_ARCH_LIST",)
    key = json.dumps([configure, os.environ["PATH"], {name: os.environ.get(name) for name in steering}])
    stamp = folder / "sparsefast-options.json"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(key, encoding="utf-8")


if tuple(int(part) for part in setuptools.__version__.split(".")[:1]) < (77,):
    sys.exit(f"sparsefast: setuptools {setuptools.__version__} is too old: pip install 'setuptools>=77'")
VERSION = runpy.run_path(str(ROOT / "sparsefast" / "_version.py"))["__version__"]
CUDA = setting("SPARSEFAST_CUDA")
EMULATION = setting("SPARSEFAST_CUDA_EMULATION")
WHY_NOT = why_not_native(setting("SPARSEFAST_NATIVE"), SPARSEFAST_CUDA=CUDA, SPARSEFAST_CUDA_EMULATION=EMULATION)

setup(
    packages=packages(),
    package_dir={"sparsefast.kernels": "kernels"},
    ext_modules=[] if WHY_NOT is not None else [Extension("sparsefast._C", sources=[])],
    cmdclass={"build_py": BuildPython, "build_ext": CMakeBuild},
)
