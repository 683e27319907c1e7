"""What `import sparsefast` costs: it loads NumPy at most, and everything else when it is first needed."""

import os
import subprocess
import sys

import pytest

import sparsefast

HEAVY = ("torch", "numba", "scipy", "sklearn", "skimage", "PIL", "matplotlib", "cupy", "triton", "tqdm", "safetensors")


def loaded_after(source):
    source += f"\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run(
        [sys.executable, "-c", source], env=environment, text=True, capture_output=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "source",
    [
        "import sparsefast",
        "from sparsefast import *",
        "import sparsefast.cli, sparsefast.images.photos; dir(sparsefast)",
        "import sparsefast; sparsefast.overcomplete_dct(8, 16); sparsefast.get_num_threads()",
    ],
)
def test_importing_loads_nothing_heavy(source):
    assert loaded_after("import sparsefast\n" + source) == "[]"


def test_calls_on_numpy_arrays_never_import_torch():
    source = """
import pickle, numpy as np, sparsefast
d, x = np.eye(3), np.ones((2, 3))
for backend in sparsefast.backends("omp"):
    code = sparsefast.omp(x, sparsefast.prepare(d), 2, backend=backend)
    sparsefast.omp(x, d, 2, tol=np.ones(2), check_finite=True)
code.decode(d), code.to_dense(), code.to_scipy(), code[0], repr(code), pickle.loads(pickle.dumps(code)).equals(code)
sparsefast.info()
"""
    assert "torch" not in loaded_after(source)


@pytest.mark.parametrize(
    "first", ["import torch, sparsefast", "import sparsefast, torch\nsparsefast.omp(torch.ones(2, 3), torch.eye(3), 1)"]
)
def test_torch_knows_sparse_codes_whichever_was_imported_first(first):
    source = f"""
{first}
from torch.utils import _pytree
assert sparsefast.SparseCode in _pytree.SUPPORTED_NODES
assert sparsefast.SparseCode in torch.serialization.get_safe_globals()
"""
    assert "torch" in loaded_after(source)


def test_every_public_name_is_listed_and_can_be_had():
    assert set(sparsefast.__all__) <= set(dir(sparsefast))
    for name in sparsefast.__all__:
        assert getattr(sparsefast, name) is not None
        assert name == "__version__" or getattr(sparsefast, name).__doc__
    with pytest.raises(AttributeError, match="module 'sparsefast' has no attribute 'opm'"):
        sparsefast.opm  # noqa: B018


def test_no_submodule_hides_a_public_function():
    import pkgutil

    modules = {module.name for module in pkgutil.iter_modules(sparsefast.__path__)}
    assert not modules & set(sparsefast.__all__)
