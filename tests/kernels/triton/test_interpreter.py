"""The Triton kernels against the definitions, without a GPU: under Triton's interpreter, each file in a process of its
own, since a process has either the interpreter or the compiler. And the compiler, for GPUs that need not be there:
the interpreter accepts code that it refuses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

triton = pytest.importorskip("triton", reason="triton cannot be imported: pip install triton (it is for Linux alone)")

OLD = triton.__version__ < "3.7" and tuple(map(int, np.__version__.split(".")[:2])) >= (2, 4)
with_interpreter = pytest.mark.skipif(
    OLD, reason=f"the interpreter of triton {triton.__version__} fails with NumPy {np.__version__}: triton 3.7 does not"
)
KERNELS = (
    "gram_kernel", "tops_kernel", "pack_kernel", "pursue_tile", "pursue_blocks", "topk_kernel", "nearest_kernel",
    "columns_kernel", "rows_kernel", "fold_kernel", "fold_at_kernel",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[3]


def run(arguments: list[str], **variables: str) -> str:
    """The output of Python with these arguments, from the root of the sources."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TRITON_", "COV_"))}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def interpreted(file: str, expression: str) -> None:
    """A file of tests under the interpreter."""
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", expression]
    said = run(["-m", "pytest", *options, str(Path(__file__).with_name(file))], TRITON_INTERPRET="1")
    assert re.search(r"\d+ passed", said), said
    assert "skipped" not in said, said


@with_interpreter
@pytest.mark.parametrize("file", ["sizes.py", "patches.py", "borrowed.py"])
def test_under_the_interpreter(file: str) -> None:
    interpreted(file, "not slow")


@with_interpreter
@pytest.mark.slow
def test_all_that_is_asked_of_every_backend_under_the_interpreter() -> None:
    interpreted("borrowed.py", "slow")


def compiled(tmp_path: Path, *arguments: str) -> list[str]:
    """The lines of compiled.py, of which none may tell of spills in a loop."""
    said = run(["-m", "tests.kernels.triton.compiled", *arguments], TRITON_CACHE_DIR=str(tmp_path))
    lines = [line for line in said.splitlines() if line.startswith("sm_")]
    for line in lines:
        spilled = re.search(r"(\d+) bytes spilled", line)
        assert spilled, line
        assert int(spilled[1]) <= 64, line  # a few registers of scalars, at most
    return lines


def test_the_compiler_takes_each_kernel(tmp_path: Path) -> None:
    lines = compiled(tmp_path, "90", "quick")
    for kernel in KERNELS:
        assert any(f" {kernel} " in line for line in lines), kernel


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["75", "80", "90"])
def test_the_compiler_takes_every_form(architecture: str, tmp_path: Path) -> None:
    assert len(compiled(tmp_path, architecture)) > 20
