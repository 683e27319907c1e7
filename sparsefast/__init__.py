"""sparsefast: fast sparse coding for PyTorch and NumPy arrays on CPUs.

`omp` (and its variants: `selection="ols"`, `positive=True`), `omp_masked`, `iht` and `topk` code signals sparsely in a
dictionary, `nearest_code` by one atom; `SparseCode.decode` is the way back, and `prepare` makes many calls cheap.
`KSVD` and `OnlineDictionaryLearning` learn dictionaries, by `ksvd_update`, `DictionaryStats` and `online_update`.
`unfold` takes overlapping patches out of images, and `fold` puts them together again; `sparsefast.restore` denoises and
inpaints photographs with all of it.

`import sparsefast` loads NumPy alone; every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from sparsefast._version import __version__

if TYPE_CHECKING:
    from sparsefast.dictionaries import overcomplete_dct
    from sparsefast.dispatch import BackendUnavailable, backends, use_backend
    from sparsefast.environment import info
    from sparsefast.estimators import KSVD as KSVD
    from sparsefast.estimators import OnlineDictionaryLearning as OnlineDictionaryLearning
    from sparsefast.estimators import SparseCoder as SparseCoder
    from sparsefast.kernels.status import Status
    from sparsefast.ops.dictionary_stats import DictionaryStats
    from sparsefast.ops.fold import fold
    from sparsefast.ops.iht import iht
    from sparsefast.ops.ksvd_update import DictionaryUpdate, ksvd_update
    from sparsefast.ops.mod_update import mod_update
    from sparsefast.ops.nearest_code import NearestCode, nearest_code
    from sparsefast.ops.omp import omp
    from sparsefast.ops.omp_masked import omp_masked
    from sparsefast.ops.online_update import online_update
    from sparsefast.ops.patch_places import coverage_map, patch_centers
    from sparsefast.ops.patch_weights import patch_window
    from sparsefast.ops.replace_atoms import replace_atoms
    from sparsefast.ops.topk import topk
    from sparsefast.ops.unfold import unfold
    from sparsefast.outputs import release_memory
    from sparsefast.prepared import PreparedDictionary, prepare
    from sparsefast.sparse_code import SparseCode
    from sparsefast.threads import get_num_threads, set_num_threads

# A public name and the module that defines it. No submodule may carry a public name: importing it would hide the
# function.
_HOME = {
    "BackendUnavailable": "sparsefast.dispatch",
    "DictionaryStats": "sparsefast.ops.dictionary_stats",
    "DictionaryUpdate": "sparsefast.ops.ksvd_update",
    "KSVD": "sparsefast.estimators",
    "NearestCode": "sparsefast.ops.nearest_code",
    "OnlineDictionaryLearning": "sparsefast.estimators",
    "PreparedDictionary": "sparsefast.prepared",
    "SparseCode": "sparsefast.sparse_code",
    "SparseCoder": "sparsefast.estimators",
    "Status": "sparsefast.kernels.status",
    "backends": "sparsefast.dispatch",
    "coverage_map": "sparsefast.ops.patch_places",
    "fold": "sparsefast.ops.fold",
    "get_num_threads": "sparsefast.threads",
    "iht": "sparsefast.ops.iht",
    "info": "sparsefast.environment",
    "ksvd_update": "sparsefast.ops.ksvd_update",
    "mod_update": "sparsefast.ops.mod_update",
    "nearest_code": "sparsefast.ops.nearest_code",
    "omp": "sparsefast.ops.omp",
    "omp_masked": "sparsefast.ops.omp_masked",
    "online_update": "sparsefast.ops.online_update",
    "overcomplete_dct": "sparsefast.dictionaries",
    "patch_centers": "sparsefast.ops.patch_places",
    "patch_window": "sparsefast.ops.patch_weights",
    "prepare": "sparsefast.prepared",
    "release_memory": "sparsefast.outputs",
    "replace_atoms": "sparsefast.ops.replace_atoms",
    "set_num_threads": "sparsefast.threads",
    "topk": "sparsefast.ops.topk",
    "unfold": "sparsefast.ops.unfold",
    "use_backend": "sparsefast.dispatch",
}

# Without the estimators: `from sparsefast import *` would import scikit-learn for them.
__all__ = [
    "BackendUnavailable",
    "DictionaryStats",
    "DictionaryUpdate",
    "NearestCode",
    "PreparedDictionary",
    "SparseCode",
    "Status",
    "__version__",
    "backends",
    "coverage_map",
    "fold",
    "get_num_threads",
    "iht",
    "info",
    "ksvd_update",
    "mod_update",
    "nearest_code",
    "omp",
    "omp_masked",
    "online_update",
    "overcomplete_dct",
    "patch_centers",
    "patch_window",
    "prepare",
    "release_memory",
    "replace_atoms",
    "set_num_threads",
    "topk",
    "unfold",
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
    return sorted({*globals(), *_HOME, *__all__})


if sys.modules.get("torch") is not None:
    # So that a tree with a SparseCode in it, or torch.load, works before the first call into us.
    importlib.import_module("sparsefast.arrays").torch_ready()
