"""The public ops, a file for each family, and the grid: which backend has a kernel for which op, and for which
dtypes."""

from sparsefast.dispatch import register_op

_SINGLE_AND_DOUBLE = ("float32", "float64")

register_op(
    "omp",
    family="omp",
    backends={"cpu": _SINGLE_AND_DOUBLE, "numba": _SINGLE_AND_DOUBLE, "reference": _SINGLE_AND_DOUBLE},
)
