"""The public ops behind one way to call them, and the problem that they are called on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import sparsefast

N, F, K, S = 37, 15, 41, 5


def problem(dtype="float64", batch=(N,), seed=0):
    """Gaussian signals (*batch, F) and unit Gaussian atoms (K, F)."""
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((K, F))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    return rng.standard_normal((*batch, F)).astype(dtype), dictionary.astype(dtype)


def bound(dtype, factor=1000):
    """A few sums of F terms, and the conditioning of S atoms."""
    return factor * np.finfo(dtype).eps


@dataclass(frozen=True)
class Op:
    """A row of the grid, called through its public function with S atoms."""

    row: str
    module: str
    """The name of its kernel's module, and of the function in it."""
    public: str
    call: Callable[..., Any]
    takes_tol: bool = True

    def __str__(self) -> str:
        return self.row


def hide(x):
    """A mask (F,) that hides every fourth feature, of the kind of x."""
    if isinstance(x, torch.Tensor):  # made where x lies: no copy waits for a device
        return torch.arange(F, device=x.device) % 4 != 1
    return np.arange(F) % 4 != 1


OPS = [
    Op("omp", "omp", "omp", lambda x, d, **options: sparsefast.omp(x, d, S, **options)),
    Op("ols", "ols", "omp", lambda x, d, **options: sparsefast.omp(x, d, S, selection="ols", **options)),
    Op("positive", "positive", "omp", lambda x, d, **options: sparsefast.omp(x, d, S, positive=True, **options)),
    Op(
        "omp_masked",
        "masked",
        "omp_masked",
        lambda x, d, **options: sparsefast.omp_masked(x, hide(x), d, S, **options),
    ),
    Op("topk", "topk", "topk", lambda x, d, **options: sparsefast.topk(x, d, S, **options), takes_tol=False),
    Op("iht", "iht", "iht", lambda x, d, **options: sparsefast.iht(x, d, S, n_iterations=20, **options)),
    Op(
        "nearest_code",
        "nearest_code",
        "nearest_code",
        lambda x, d, **options: sparsefast.nearest_code(x, d, **options),
        takes_tol=False,
    ),
]
NAMED = {op.row: op for op in OPS}
# Every cell of the grid whose kernel can run here.
CELLS = [(op, backend) for op in OPS for backend in sparsefast.backends(op.row, device="cpu")]


def parts(result: Any) -> dict[str, np.ndarray]:
    """The arrays of a SparseCode or NearestCode, in NumPy."""
    names = ("indices", "distances") if isinstance(result, tuple) else ("indices", "values", "counts", "status")
    return {name: np.asarray(getattr(result, name)) for name in names}


def assert_same(result: Any, expected: Any, rows: Any = ...) -> None:
    """All arrays equal, NaN too; of `expected` the given rows."""
    for (name, a), b in zip(parts(result).items(), parts(expected).values(), strict=True):
        np.testing.assert_array_equal(a, b[rows], err_msg=name)


def in_torch(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(x) for x in arrays)


def layouts(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same numbers laid out in every way that NumPy has."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    record = np.zeros(x.shape[0], np.dtype([("tag", "i1"), ("x", x.dtype, x.shape[1:])]))
    record["x"] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    yield "Fortran", np.asfortranarray(x)
    yield "every second", wide[..., ::2]
    yield "backwards", x[::-1, ::-1].copy()[::-1, ::-1]
    yield "unaligned", record["x"]
    yield "read-only", read_only
