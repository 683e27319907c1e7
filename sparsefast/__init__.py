"""sparsefast: fast sparse coding for PyTorch and NumPy arrays on CPUs.

`import sparsefast` loads NumPy alone; every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from sparsefast._version import __version__

if TYPE_CHECKING:
    from sparsefast.arrays import release_memory
    from sparsefast.dictionaries import overcomplete_dct
    from sparsefast.dispatch import BackendUnavailable, backends, use_backend
    from sparsefast.environment import info
    from sparsefast.kernels.status import Status
    from sparsefast.ops.omp import omp
    from sparsefast.prepared import PreparedDictionary, prepare
    from sparsefast.sparse_code import SparseCode
    from sparsefast.threads import get_num_threads, set_num_threads

# A public name and the module that defines it. No submodule may carry a public name: importing it would hide the
# function.
_HOME = {
    "BackendUnavailable": "sparsefast.dispatch",
    "PreparedDictionary": "sparsefast.prepared",
    "SparseCode": "sparsefast.sparse_code",
    "Status": "sparsefast.kernels.status",
    "backends": "sparsefast.dispatch",
    "get_num_threads": "sparsefast.threads",
    "info": "sparsefast.environment",
    "omp": "sparsefast.ops.omp",
    "overcomplete_dct": "sparsefast.dictionaries",
    "prepare": "sparsefast.prepared",
    "release_memory": "sparsefast.arrays",
    "set_num_threads": "sparsefast.threads",
    "use_backend": "sparsefast.dispatch",
}

__all__ = [
    "BackendUnavailable",
    "PreparedDictionary",
    "SparseCode",
    "Status",
    "__version__",
    "backends",
    "get_num_threads",
    "info",
    "omp",
    "overcomplete_dct",
    "prepare",
    "release_memory",
    "set_num_threads",
    "use_backend",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'sparsefast' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if sys.modules.get("torch") is not None:
    # So that a tree with a SparseCode in it, or torch.load, works before the first call into us.
    importlib.import_module("sparsefast.arrays").torch_ready()
