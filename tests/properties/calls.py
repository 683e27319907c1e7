"""Every row of the grid called through its public function with the arguments of a case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import sparsefast
from sparsefast import NearestCode, SparseCode, dispatch
from tests.kernels.helper import Code
from tests.properties.strategies import Case

Result = SparseCode | NearestCode

_CALLS: dict[str, Callable[..., Result]] = {
    "omp": lambda c, **more: sparsefast.omp(c.signals, c.dictionary, c.n_nonzero, tol=c.tol, **more),
    "ols": lambda c, **more: sparsefast.omp(c.signals, c.dictionary, c.n_nonzero, selection="ols", tol=c.tol, **more),
    "positive": lambda c, **more: sparsefast.omp(
        c.signals, c.dictionary, c.n_nonzero, positive=True, tol=c.tol, **more
    ),
    "omp_masked": lambda c, **more: sparsefast.omp_masked(
        c.signals, c.mask, c.dictionary, c.n_nonzero, tol=c.tol, **more
    ),
    "topk": lambda c, **more: sparsefast.topk(c.signals, c.dictionary, c.n_nonzero, positive=c.positive, **more),
    "iht": lambda c, **more: sparsefast.iht(
        c.signals, c.dictionary, c.n_nonzero, n_iterations=c.n_iterations, step=c.step, tol=c.tol, **more
    ),
    "nearest_code": lambda c, **more: sparsefast.nearest_code(c.signals, c.dictionary, **more),
}
OPS = tuple(_CALLS)
TAKES_GRAM = ("omp", "ols", "positive", "iht")
EMULATED = "cuda-emulated"
CELLS = [(op, backend) for op in OPS for backend in sparsefast.backends(op, device="cpu")]
CELLS += [(op, EMULATED) for op in OPS if dispatch.why_not(op, EMULATED) is None]


def call(op: str, case: Case, backend: str, **more: Any) -> Result:
    """The result of an op on one backend."""
    return _CALLS[op](case, backend=backend, **more)


def parts(result: Result) -> dict[str, Any]:
    """The arrays of a result, as they are."""
    names = ("indices", "distances") if isinstance(result, NearestCode) else ("indices", "values", "counts", "status")
    return {name: getattr(result, name) for name in names}


def numpy_parts(result: Result) -> dict[str, np.ndarray]:
    """The arrays of a result in NumPy; bfloat16 as float32."""

    def converted(x: Any) -> np.ndarray:
        if not isinstance(x, torch.Tensor):
            return x
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()

    return {name: converted(x) for name, x in parts(result).items()}


def as_code(code: SparseCode) -> Code:
    """For the checks of kernels."""
    return Code(code.values, code.indices, code.counts, code.status)


def assert_same_bits(result: Result, expected: Result, rows: Any = ...) -> None:
    """All arrays equal bit for bit, of `expected` the given rows; signs of zeros and NaN too."""
    for (name, a), b in zip(numpy_parts(result).items(), numpy_parts(expected).values(), strict=True):
        assert a.dtype == b.dtype, f"{name} is {a.dtype}, and {b.dtype} otherwise"
        np.testing.assert_array_equal(a, b[rows], err_msg=name)
        assert a.tobytes() == b[rows].tobytes(), f"{name} differs in the sign of a zero"
