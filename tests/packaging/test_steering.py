"""SPARSEFAST_NATIVE and SPARSEFAST_CUDA: what is built, and the line that says why something is not."""

import os
import shutil
from pathlib import Path

import pytest

from .conftest import build_wheel, install, only, python_says
from .test_wheel import ANSWER, ROUND_TRIP

NATIVE_REASON = "from sparsefast import _native; print(_native.module, _native.why_not)"


@pytest.fixture
def no_compiler(tmp_path: Path) -> str:
    """A PATH with cmake and ninja, but nothing that compiles."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cmake", "ninja"):
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"SPARSEFAST_NATIVE": "0"}, "the native module was switched off by SPARSEFAST_NATIVE=0"),
        ({"CXX": "/nowhere/c++"}, "the C++ compiler CXX=/nowhere/c++ was not found"),
        ({"PATH": "no compiler"}, "no C++ compiler was found"),
    ],
    ids=["switched off", "CXX points nowhere", "no compiler"],
)
def test_without_a_compiler_the_package_is_pure_python_and_says_so(
    tree, tmp_path, fresh_python, no_compiler, settings, reason
):
    if "PATH" in settings:
        settings = {"PATH": no_compiler}
    done = build_wheel(tree, tmp_path, **settings)
    assert done.stdout.count(f"sparsefast: {reason}: installing without the native module, on Numba") == 1
    wheel = only(tmp_path, "*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    install(fresh_python, wheel)
    assert python_says(fresh_python, NATIVE_REASON) == f"None {reason}"
    if settings.get("PATH"):  # the same wheel each time: Numba compiles once
        assert python_says(fresh_python, ROUND_TRIP.format(backend="numba")) == ANSWER


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"SPARSEFAST_NATIVE": "1", "CXX": "/nowhere/c++"},
            "SPARSEFAST_NATIVE=1, but the C++ compiler CXX=/nowhere/c++ was not found: install g++",
        ),
        (
            {"SPARSEFAST_NATIVE": "auto", "SPARSEFAST_CUDA": "1", "CXX": "/nowhere/c++"},
            "SPARSEFAST_CUDA=1, but the C++ compiler CXX=/nowhere/c++ was not found: install g++",
        ),
        (
            {"SPARSEFAST_CUDA": "1", "CUDACXX": "/nowhere/nvcc"},
            "SPARSEFAST_CUDA=1, but CUDACXX=/nowhere/nvcc cannot be run: install the CUDA toolkit",
        ),
        (
            {"SPARSEFAST_NATIVE": "0", "SPARSEFAST_CUDA": "1"},
            "SPARSEFAST_CUDA=1 needs the native module, but SPARSEFAST_NATIVE=0",
        ),
        ({"SPARSEFAST_NATIVE": "yes"}, "SPARSEFAST_NATIVE='yes' is not one of 0, auto, 1"),
        (
            {"SPARSEFAST_NATIVE": "0", "SPARSEFAST_CUDA_EMULATION": "1"},
            "SPARSEFAST_CUDA_EMULATION=1 needs the native module, but SPARSEFAST_NATIVE=0",
        ),
        ({"SPARSEFAST_CUDA": "on"}, "SPARSEFAST_CUDA='on' is not one of 0, auto, 1"),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_what_was_asked_for_and_is_absent_is_an_error(tree, tmp_path, settings, line):
    done = build_wheel(tree, tmp_path, check=False, **settings)
    assert done.returncode != 0
    assert any(text.strip().startswith(f"sparsefast: {line}") for text in done.stdout.splitlines()), done.stdout
    assert not list(tmp_path.glob("*.whl"))


def test_a_source_that_does_not_compile_is_an_error_and_never_a_fallback(tree, tmp_path):
    (tree / "csrc" / "cpu" / "omp.cpp").write_text("#error broken on purpose\n")
    done = build_wheel(tree, tmp_path, check=False)
    assert done.returncode != 0
    assert "broken on purpose" in done.stdout
    assert "sparsefast: the native build failed, see above" in done.stdout
    assert not list(tmp_path.glob("*.whl"))


def test_a_pure_editable_install_drops_the_module_of_an_earlier_build(tree, fresh_python):
    stale = [tree / "sparsefast" / f"{name}.cpython-311-x86_64-linux-gnu.so" for name in ("_C", "_emulated")]
    for path in stale:
        path.write_bytes(b"")
    install(fresh_python, "--editable", tree, SPARSEFAST_NATIVE="0")
    assert not any(path.exists() for path in stale)
    assert python_says(fresh_python, NATIVE_REASON).endswith("switched off by SPARSEFAST_NATIVE=0")


def test_path_of_these_tests_has_a_compiler():
    """Otherwise the tests above would find none for another reason."""
    assert any(shutil.which(name) for name in ("c++", "g++", "clang++")), os.environ["PATH"]
