"""The sizes that are measured, and what every contender starts from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench import data

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One size: signals are patches of `patch` pixels in gray or colour, with the code of `omp`."""

    name: str
    patch: tuple[int, int]
    colour: bool
    n_signals: int
    n_atoms: int
    n_nonzero: int

    @property
    def n_features(self) -> int:
        return self.patch[0] * self.patch[1] * (3 if self.colour else 1)

    def words(self) -> str:
        """The sizes, for a table."""
        return f"{self.n_signals} signals, {self.n_features} features, {self.n_atoms} atoms, {self.n_nonzero} nonzero"


CASES = (
    Case("K1", (8, 8), False, 50_000, 256, 8),
    Case("K2", (8, 8), True, 20_000, 512, 10),
    Case("K3", (7, 7), False, 20_000, 250, 6),
)
TINY = Case("tiny", (3, 4), False, 301, 17, 3)
"""For tests: it says nothing about speed."""


def named(name: str) -> Case | None:
    """The case of that name, if there is one."""
    return next((case for case in (*CASES, TINY) if case.name == name), None)


class Given:
    """The arrays of a case, the same every time. Nobody may write to them; copies for whoever works in place are his
    own."""

    def __init__(self, case: Case, dtype: str = "float32") -> None:
        import sparsefast

        self.case, self.dtype = case, dtype
        self.signals, self.dictionary = data.problem(
            case.patch, case.colour, case.n_atoms, case.n_signals, dtype, unit=True
        )
        """(N, F) and (K, F), unit norm."""
        self.code: Any = sparsefast.omp(self.signals, self.dictionary, case.n_nonzero)
        """A SparseCode of N signals."""

    @functools.cached_property
    def used(self) -> Array:
        """(N, S) bool: which entries of the code are in use."""
        return np.arange(self.code.n_nonzero) < self.code.counts[:, None]

    @functools.cached_property
    def n_entries(self) -> int:
        """How many coefficients there are."""
        return int(self.used.sum())

    @functools.cached_property
    def by_atom(self) -> list[tuple[Array, Array]]:
        """For each atom the signals that use it, in increasing order, and the places of its entries in their rows."""
        rows, slots = np.nonzero(self.used)
        atoms = self.code.indices[rows, slots]
        order = np.argsort(atoms, kind="stable")
        ends = np.cumsum(np.bincount(atoms, minlength=self.case.n_atoms))[:-1]
        return list(zip(np.split(rows[order], ends), np.split(slots[order], ends), strict=True))

    @functools.cached_property
    def sparse(self) -> Any:
        """The code as a SciPy CSR matrix (N, K)."""
        from scipy.sparse import csr_matrix

        starts = np.concatenate([[0], np.cumsum(self.code.counts)])
        parts = self.code.values[self.used], self.code.indices[self.used], starts
        return csr_matrix(parts, shape=(self.case.n_signals, self.case.n_atoms))

    @functools.cached_property
    def dense(self) -> Array:
        """The code as a matrix (N, K)."""
        return np.asarray(self.sparse.toarray())

    def coefficients(self, dense: Array) -> tuple[Array, int]:
        """Of a matrix (N, K) the entries of the code, (N, S), and how many others are not zero."""
        rows, slots = np.nonzero(self.used)
        out = np.zeros(self.used.shape, dense.dtype)
        out[rows, slots] = dense[rows, self.code.indices[rows, slots]]
        return out, int(np.count_nonzero(dense) - np.count_nonzero(out))

    @functools.cached_property
    def stats(self) -> Any:
        """A and B of the code as a DictionaryStats, summed by SciPy in float64."""
        import sparsefast

        gamma, x = self.sparse.astype(np.float64), self.signals.astype(np.float64)
        sums = sparsefast.DictionaryStats(self.case.n_atoms, self.case.n_features)
        sums.A[...], sums.B[...] = (gamma.T @ gamma).toarray(), gamma.T @ x
        sums.usage[...], sums.totals[...] = [len(rows) for rows, _ in self.by_atom], (len(x), np.square(x).sum())
        return sums
