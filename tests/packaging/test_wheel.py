"""The wheel holds what it must, each file once, and works where the sources are not."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT, build_wheel, install, only, python_says, run

ROUND_TRIP = """
import numpy as np, sparsefast
from sparsefast import _native
D = np.eye(7, dtype=np.float32)[[3, 1, 5]]
code = sparsefast.omp(np.array([[0, 2, 0, -3, 0, 0, 0]], np.float32), D, 2, backend={backend!r})
print(np.asarray(code.indices).tolist(), np.asarray(code.values).tolist())
"""
ANSWER = "[[0, 1]] [[-3.0, 2.0]]"


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        names = [entry.filename for entry in archive.infolist()]
        assert len(names) == len(set(names))
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def python_files(folder: str, package: str) -> set[str]:
    return {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for path in (ROOT / folder).rglob("*.py")
        if "kernels" not in path.relative_to(ROOT).parts[1:]
    }


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
    names = set(contents(wheel))
    package = {name for name in names if ".dist-info/" not in name}
    expected = python_files("sparsefast", "sparsefast") | python_files("kernels", "sparsefast/kernels")
    expected |= {
        "sparsefast/py.typed",
        "sparsefast/_build.json",
        f"sparsefast/_C{sysconfig.get_config_var('EXT_SUFFIX')}",
    }
    data = {name for name in package if not name.endswith((".py", ".so", ".json", "py.typed"))}
    configurations = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sparsefast" / "conf").rglob("*.yaml")}
    assert configurations and {name for name in data if name.endswith(".yaml")} == configurations
    assert package - data == expected
    assert {Path(name).suffix for name in data} <= {".pyi", ".yaml", ".safetensors"}


def test_no_file_is_in_the_wheel_twice(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    large = {name: crc for name, crc in contents(wheel).items() if sizes[name] > 200}  # short __init__.py may agree
    assert len(set(large.values())) == len(large), large


def test_the_wheel_is_of_this_platform_and_version(wheel):
    version = re.search(r'__version__ = "(.*)"', (ROOT / "sparsefast" / "_version.py").read_text()).group(1)
    assert wheel.name.startswith(f"sparsefast-{version}-cp{sys.version_info[0]}{sys.version_info[1]}-")
    assert "linux" in wheel.name


def test_the_module_needs_only_system_libraries(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        module = archive.extract(next(name for name in archive.namelist() if name.endswith(".so")), tmp_path)
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    dynamic = subprocess.run(["readelf", "-d", module], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\.so", dynamic))
    assert needed <= {
        "libstdc++",
        "libgcc_s",
        "libgomp",
        "libm",
        "libc",
        "libpthread",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)


def test_an_installed_wheel_runs_away_from_the_sources(wheel, fresh_python):
    install(fresh_python, wheel)
    where = python_says(fresh_python, "import sparsefast.kernels as k; print(k.__file__)")
    assert Path(where).is_relative_to(fresh_python.parents[1])
    assert python_says(fresh_python, ROUND_TRIP.format(backend="cpu")) == ANSWER
    assert python_says(fresh_python, "from sparsefast import _native; print(_native.why_not)") == "None"
    assert "sparsefast" in run(fresh_python.parent / "sparsefast", "--version").stdout
    planned = run(fresh_python.parent / "sparsefast", "train", "model=dlvae", "train=quick", "--dry-run").stdout
    assert "name: dlvae" in planned and "100, 256 an epoch" in planned
    forced = "from sparsefast import _native; print(_native.module.isa())"
    every = python_says(fresh_python, "from sparsefast import _native; print(*_native.module.isas())").split()
    assert [python_says(fresh_python, forced, SPARSEFAST_CPU_ISA=isa) for isa in every] == every
    refused = run(fresh_python, "-c", forced, SPARSEFAST_CPU_ISA="mmx", check=False)
    assert refused.returncode != 0
    assert f"SPARSEFAST_CPU_ISA='mmx' is not an instruction set of this machine: {', '.join(every)}" in refused.stdout


def test_the_source_distribution_builds_the_same_wheel(tree, source_distribution, tmp_path):
    """Its native module is tested above, for `wheel` is built from it."""
    with tarfile.open(source_distribution) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert len(names) == len(set(names))
    assert {"CMakeLists.txt", "csrc/common/isa.cpp", "kernels/__init__.py", "tests/packaging/test_wheel.py"} <= set(
        names
    )
    assert not [name for name in names if name.startswith("sparsefast/kernels") or name.endswith(".so")]
    build_wheel(tree, tmp_path / "tree-wheel", SPARSEFAST_NATIVE="0")
    build_wheel(source_distribution, tmp_path / "sdist-wheel", SPARSEFAST_NATIVE="0")
    assert contents(only(tmp_path / "tree-wheel", "*.whl")) == contents(only(tmp_path / "sdist-wheel", "*.whl"))


def test_a_file_deleted_since_the_last_build_is_not_packed(tree, tmp_path):
    extra = tree / "sparsefast" / "images" / "gone.py"
    extra.write_text("")
    build_wheel(tree, tmp_path / "first", SPARSEFAST_NATIVE="0")
    extra.unlink()
    build_wheel(tree, tmp_path / "second", SPARSEFAST_NATIVE="0")
    assert "sparsefast/images/gone.py" in contents(only(tmp_path / "first", "*.whl"))
    assert "sparsefast/images/gone.py" not in contents(only(tmp_path / "second", "*.whl"))


def test_a_package_without_init_is_an_error(tree, tmp_path):
    (tree / "kernels" / "forgotten").mkdir()
    (tree / "kernels" / "forgotten" / "omp.py").write_text("")
    done = build_wheel(tree, tmp_path, check=False, SPARSEFAST_NATIVE="0")
    assert done.returncode != 0
    assert "sparsefast: kernels/forgotten holds Python files but no __init__.py" in done.stdout
