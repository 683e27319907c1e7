"""Compiled code on disk: read again by the next process, compiled anew after any change of source, done without where
nothing can be written."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sparsefast
from sparsefast.kernels.numba import common_serial, compiler

# The outermost functions, and where they stand.
RANGES = {
    "omp_range": "omp_serial",
    "ols_range": "ols_serial",
    "positive_range": "positive_serial",
    "masked_range": "masked_serial",
    "topk_range": "topk_serial",
    "iht_range": "iht_serial",
    "nearest_code_range": "nearest_code_serial",
    "gram_rows": "common_serial",
    "unfold_range": "unfold_serial",
    "unfold_at_range": "unfold_serial",
    "fold_range": "fold_serial",
    "fold_at_range": "fold_serial",
    "sort_range": "ksvd_serial",
    "residual_range": "ksvd_serial",
    "norms_range": "ksvd_serial",
    "sweep_range": "ksvd_serial",
    "squares_range": "ksvd_serial",
    "stats_range": "ksvd_serial",
    "online_range": "ksvd_serial",
}
# Those call into no other file.
ALONE = ("unfold_serial", "fold_serial", "ksvd_serial")

# A kernel as small as can be, which compiles in a moment, built as the real ones are: an outermost function that calls
# into another file and knows a constant of a third.
HELPER = """
from sparsefast.kernels.numba.compiler import compiled

@compiled
def seven():
    return 7.0
"""
KERNEL = """
from sparsefast.kernels.numba.compiler import compiled
from sparsefast.kernels.numba.helper_serial import seven
from sparsefast.kernels.status import Status

ORTHOGONAL = int(Status.ORTHOGONAL)

@compiled
def probe_range(out):
    out[0] = seven()
    out[1] = ORTHOGONAL
"""
CODE = """
import json
import numpy as np
from sparsefast.kernels.numba import compiler, probe_serial
kernel = compiler.compile_range(probe_serial.probe_range.py_func, [compiler.WIDE[::1]])
out = np.zeros(2)
kernel(out)
hits = sum(kernel.stats.cache_hits.values())
print(json.dumps({"out": out.tolist(), "hits": hits, "path": kernel.stats.cache_path}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of what compiles and caches, with that kernel; the folder of its kernels."""
    source = Path(sparsefast.__file__).parent / "kernels"
    kernels = tmp_path / "sparsefast" / "kernels"
    (kernels / "numba").mkdir(parents=True)
    (tmp_path / "sparsefast" / "__init__.py").write_text("")
    for name in ("__init__.py", "status.py", "numba/__init__.py", "numba/compiler.py"):
        shutil.copy(source / name, kernels / name)
    (kernels / "numba" / "helper_serial.py").write_text(HELPER)
    (kernels / "numba" / "probe_serial.py").write_text(KERNEL)
    return kernels


def run_in(package: Path, **environment: str) -> dict[str, Any]:
    """What a new process finds with that copy."""
    variables = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment
    for name in ("NUMBA_CACHE_DIR", "PYTHONPATH"):
        variables.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=package.parent.parent, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_code_is_compiled_once_and_anew_when_any_of_its_sources_changes(package: Path) -> None:
    found = run_in(package)
    assert (found["out"], found["hits"]) == ([7.0, 3.0], 0)
    found = run_in(package)
    assert (found["out"], found["hits"]) == ([7.0, 3.0], 1)

    # A function in a file that the kernel's own imports.
    replace(package / "numba" / "helper_serial.py", "return 7.0", "return 8.0")
    found = run_in(package)
    assert (found["out"], found["hits"]) == ([8.0, 3.0], 0)

    # A constant in a file without compiled code.
    replace(package / "status.py", "ORTHOGONAL = (\n        3,", "ORTHOGONAL = (\n        9,")
    found = run_in(package)
    assert (found["out"], found["hits"]) == ([8.0, 9.0], 0)


@pytest.mark.parametrize("name", RANGES)
def test_all_that_is_compiled_stands_in_a_file_that_the_cache_knows(name: str) -> None:
    outermost = getattr(importlib.import_module(f"sparsefast.kernels.numba.{RANGES[name]}"), name)
    files = {Path(function.__code__.co_filename).resolve() for function in reached(outermost, set())}
    assert (Path(common_serial.__file__).resolve() in files) == (RANGES[name] not in ALONE)
    assert files <= {path.resolve() for path in compiler.sources()}


def reached(function: Callable[..., Any], seen: set[Any]) -> Iterator[Callable[..., Any]]:
    """A function and all compiled ones that it calls, directly or not."""
    seen.add(function)
    yield function
    for name in function.__code__.co_names:
        called = getattr(function.__globals__.get(name), "py_func", None)
        if called is not None and called not in seen:
            yield from reached(called, seen)


def test_every_kernel_is_among_those_that_were_looked_at() -> None:
    files = {path.stem for path in compiler.sources() if path.stem.endswith("_serial")}
    assert files - set(RANGES.values()) == {"largest_serial"}  # which has parts for topk and iht only


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as on POSIX")
def test_an_install_that_cannot_be_written_to_compiles_all_the_same(package: Path, tmp_path: Path) -> None:
    """Numba keeps compiled code beside the source, else in the user's cache, else we do without."""
    # Root writes where nobody may: a file where the directory would be stops it too.
    (package / "numba" / "__pycache__").write_text("")
    nowhere = tmp_path / "nowhere"
    nowhere.write_text("")
    for home, cached in ((tmp_path / "home", True), (nowhere, False)):
        found = run_in(package, HOME=str(home), XDG_CACHE_HOME=str(home))
        assert found["out"] == [7.0, 3.0]
        assert (found["path"] is not None and found["path"].startswith(str(home))) == cached
