"""An editable install uses the tree itself, with one copy of every kernel module."""

import re
from pathlib import Path

import pytest

from .conftest import BASELINE, install, pip, python_says
from .test_wheel import ANSWER, ROUND_TRIP

MODULES = """
import sys, pathlib, sparsefast.kernels.reference.omp, sparsefast.kernels.status
files = [str(pathlib.Path(m.__file__).resolve()) for n, m in sorted(sys.modules.items()) if n.startswith("sparsefast")]
assert len(files) == len(set(files)), files
print(sys.modules["sparsefast.kernels.reference.omp"].__file__)
"""


def test_an_editable_install_runs_from_the_tree(tree, fresh_python, index_is_reachable):
    """Its build is isolated where build tools can be fetched, and needs no PyTorch then."""
    settings = dict(SPARSEFAST_NATIVE="1", CMAKE_ARGS=BASELINE)
    if index_is_reachable:
        options = ("--python", fresh_python, "install", "--verbose", "--no-deps")
        done = pip(*options, "--editable", tree, **settings)
        assert "build dependencies" in done.stdout
        assert not re.search(r"Collecting (torch|numpy)", done.stdout)
    else:
        install(fresh_python, "--editable", tree, **settings)
    assert Path(python_says(fresh_python, MODULES)).resolve() == tree / "kernels" / "reference" / "omp.py"
    assert python_says(fresh_python, ROUND_TRIP.format(backend="cpu")) == ANSWER
    assert list((tree / "sparsefast").glob("_C.*.so"))
    assert (tree / "sparsefast" / "_build.json").exists()
    (tree / "kernels" / "added.py").write_text("here = True\n")
    assert python_says(fresh_python, "import sparsefast.kernels.added as a; print(a.here)") == "True"


@pytest.mark.parametrize("link", ["missing", "a text file"])
def test_an_editable_install_does_not_need_the_link(tree, fresh_python, link):
    """A source distribution has none, and git writes a text file where links are not supported."""
    path = tree / "sparsefast" / "kernels"
    assert path.readlink() == Path("../kernels")
    path.unlink()
    if link == "a text file":
        path.write_text("../kernels")
    install(fresh_python, "--editable", tree, SPARSEFAST_NATIVE="0")
    assert Path(python_says(fresh_python, MODULES)).resolve() == tree / "kernels" / "reference" / "omp.py"
