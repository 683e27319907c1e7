"""What `import sparsefast` loads."""

import sys

from .conftest import ROOT, run


def test_importing_the_package_loads_none_of_the_large_dependencies():
    code = "import sys, sparsefast; print({'torch', 'numba', 'scipy', 'sklearn', 'PIL', 'cupy'} & set(sys.modules))"
    assert run(sys.executable, "-c", code, PYTHONPATH=str(ROOT)).stdout.strip() == "set()"


def test_numpy_calls_never_import_torch():
    code = (
        "import sys, numpy as np, sparsefast; sparsefast.omp(np.eye(3), np.eye(3), 1);"
        "print({'torch', 'sklearn'} & set(sys.modules))"
    )
    assert run(sys.executable, "-c", code, PYTHONPATH=str(ROOT)).stdout.strip() == "set()"
