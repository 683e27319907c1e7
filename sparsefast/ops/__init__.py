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

for _op, _family in _FAMILIES.items():
    register_op(_op, _family, dict.fromkeys(("cpu", "numba", "reference"), _SINGLE_AND_DOUBLE))
