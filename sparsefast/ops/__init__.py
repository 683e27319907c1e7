"""The public ops, a file for each, and the grid: which backend has a kernel for which op, and for which dtypes.

A row names the function of the kernel's module too, but for "omp_masked", whose kernel is `masked`.
"""

from sparsefast.dispatch import register_op

_SINGLE_AND_DOUBLE = ("float32", "float64")
_FAMILIES = {
    "omp": "omp",
    "ols": "ols",
    "positive": "positive",
    "omp_masked": "masked",
    "topk": "topk",
    "iht": "iht",
    "nearest_code": "nearest_code",
}

_ON_CPU = ("cpu", "numba", "reference")
_ON_GPU = ("cuda", "triton", "cuda-emulated")
_NOT_ON_GPU = ("positive", "iht")

for _op, _family in _FAMILIES.items():
    _columns = _ON_CPU if _op in _NOT_ON_GPU else _ON_CPU + _ON_GPU
    register_op(_op, _family, dict.fromkeys(_columns, _SINGLE_AND_DOUBLE))

_OF_PATCHES = ("uint8", "float16", "bfloat16", "float32", "float64")
for _op in ("unfold", "fold"):
    register_op(_op, _op, dict.fromkeys(_ON_CPU + _ON_GPU, _OF_PATCHES))

for _op in ("ksvd_update", "dictionary_stats", "online_update"):
    # A sweep is a chain of atoms that all blocks of a device wait for together, which Triton has no word for.
    register_op(_op, "ksvd", dict.fromkeys((*_ON_CPU, "cuda", "cuda-emulated"), _SINGLE_AND_DOUBLE))
