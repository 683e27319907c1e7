"""CMake by itself: the build from a checkout, CUDA with and without a working nvcc, one object per instruction set."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import BASELINE, ROOT, run

BUILD_INFO = "import json, sparsefast._C as c; print(json.dumps([c.build_info(), c.cuda_status(), c.isas()]))"


def configure(source: Path, folder: Path, *options: str, **settings: str | None):
    return run("cmake", "-S", source, "-B", folder, *options, **settings)


def nvcc() -> str | None:
    return shutil.which("nvcc")


def test_a_plain_cmake_build_makes_the_checkout_importable(tree):
    """Without CUDA kernels, which took as long to compile when the build that these tests run in was made."""
    options = (f"-DPython_EXECUTABLE={sys.executable}", BASELINE, "-DSPARSEFAST_CUDA=OFF")
    run("cmake", "-B", "build", *options, cwd=str(tree))
    run("cmake", "--build", "build", "--parallel", "2", cwd=str(tree))
    built, cuda, isas = json.loads(run(sys.executable, "-c", BUILD_INFO, PYTHONPATH=str(tree), cwd=str(tree)).stdout)
    assert built["version"] in (tree / "sparsefast" / "_version.py").read_text()
    assert built["isas_compiled"] == isas and len(isas) == 1
    assert built["cuda"] is None
    assert not cuda["available"] and "this build holds no CUDA code" in cuda["reason"]
    record = json.loads((tree / "sparsefast" / "_build.json").read_text())
    assert record["native"] is True
    assert record["cuda"] is False
    kernels_keep_to_themselves(tree / "build")


def test_this_build_says_which_cuda_code_it_holds_and_why_it_does_not_run():
    """The module imports whether or not there is a driver."""
    from sparsefast import _native

    built, cuda = _native.module.build_info()["cuda"], _native.module.cuda_status()
    if built is None:
        assert "this build holds no CUDA code" in cuda["reason"]
        return
    assert set(built["architectures"]) >= {"90"}
    if not Path("/proc/driver/nvidia/version").exists():
        assert not cuda["available"]
        assert (cuda["devices"], cuda["driver"]) == ([], None)
        assert cuda["reason"] == "no NVIDIA driver was found"


def kernels_keep_to_themselves(folder: Path) -> None:
    """No object of an instruction set defines a symbol that another could define too: the linker keeps one of several
    inline copies for all callers, and a machine without AVX-512 would run the wrong one."""
    objects = list(folder.glob("CMakeFiles/sparsefast_kernels_*.dir/**/*.o"))
    assert objects
    for path in objects:
        isa = re.search(r"sparsefast_kernels_(\w+)\.dir", str(path)).group(1)
        listing = subprocess.run(
            ["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True
        ).stdout
        exported = [line.split(maxsplit=2) for line in listing.splitlines() if re.match(r"\S+ [A-Zuvw] ", line)]
        assert exported
        assert [name for _, _, name in exported if not re.search(rf"(_|::){isa}\b", name)] == [], path


@pytest.mark.parametrize("value", ["AUTO", "ON"])
def test_an_nvcc_that_cannot_compile(tmp_path, value):
    broken = tmp_path / "nvcc"
    broken.write_text("#!/bin/sh\necho 'nvcc fatal   : unsupported host compiler' >&2\nexit 1\n")
    broken.chmod(0o755)
    options = (f"-DSPARSEFAST_CUDA={value}", "-DSPARSEFAST_PYTHON=OFF")
    done = configure(ROOT, tmp_path / "build", *options, check=value == "AUTO", CUDACXX=str(broken))
    reason = f"{broken} was found but cannot compile a test file: nvcc fatal : unsupported host compiler"
    text = " ".join(done.stdout.split())
    if value == "AUTO":
        assert f"CUDA: none ({reason})" in text
    else:
        assert done.returncode != 0
        assert f"SPARSEFAST_CUDA=ON: {reason}" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.0", "80-real"),
        ("8.0;9.0+PTX", "80-real;90-real;90-virtual"),
        ("7.5 8.6  12.0a", "75-real;86-real;120a-real"),
        ("9.0 9.0+PTX", "90-real;90-virtual"),
    ],
)
def test_torch_cuda_arch_list_is_translated(tmp_path, text, expected):
    assert translate(tmp_path, text).stdout.strip() == f"-- {expected}"


@pytest.mark.parametrize("text", ["Hopper", "90", "8.0;9.x"])
def test_an_architecture_that_is_no_number_is_named(tmp_path, text):
    done = translate(tmp_path, text, check=False)
    assert done.returncode != 0
    assert f"TORCH_CUDA_ARCH_LIST: '{text.split(';')[-1]}' is not a number" in done.stdout


def translate(folder: Path, text: str, check: bool = True):
    script = folder / "translate.cmake"
    script.write_text(
        f'include("{ROOT}/cmake/CudaArchitectures.cmake")\n'
        f'sparsefast_translate_torch_archs("{text}" result)\nmessage(STATUS "${{result}}")\n'
    )
    return run("cmake", "-P", script, check=check)


@pytest.mark.skipif(nvcc() is None, reason="nvcc is not installed")
def test_architectures_come_from_the_environment(tmp_path):
    done = configure(ROOT, tmp_path / "known", "-DSPARSEFAST_PYTHON=OFF", TORCH_CUDA_ARCH_LIST="8.0;9.0+PTX")
    assert re.search(r"CUDA: [\d.]+ for 80;90;90-virtual\n", done.stdout)
    done = configure(ROOT, tmp_path / "unknown", "-DSPARSEFAST_PYTHON=OFF", TORCH_CUDA_ARCH_LIST="2.0")
    assert re.search(r"CUDA: none \(TORCH_CUDA_ARCH_LIST asks for 20-real, which .* cannot compile\)", done.stdout)
