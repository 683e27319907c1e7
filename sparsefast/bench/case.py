"""The sizes that are measured, and the arrays of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsefast.bench import data

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One size of the problem: signals are patches of `patch` pixels in gray or colour."""

    name: str
    patch: tuple[int, int]
    colour: bool
    n_atoms: int
    n_nonzero: int
    goal: float | None = None
    """Times the speed of SPAMS on one thread that we mean to reach."""
    neighbour: str = ""
    """For a size that suits no tile: the case of nearly equal work that does, whose rate it should be within 30% of."""
    most: int = 1 << 18
    n_iterations: int = 0
    """Of an iterative method."""
    observed: float = 1.0
    """The part of the features that is observed, as many of each signal, drawn for each."""
    codebook: bool = False
    """Atoms are patches as they are, not of unit norm, and one stands for the signal."""

    @property
    def n_features(self) -> int:
        return self.patch[0] * self.patch[1] * (3 if self.colour else 1)

    @property
    def n_observed(self) -> int:
        return int(self.observed * self.n_features)

    @property
    def limit(self) -> int:
        """How many atoms a signal can have."""
        return min(self.n_nonzero, self.n_observed, self.n_atoms)

    def words(self) -> str:
        """The sizes, for a table."""
        parts = [f"{self.n_features} features", f"{self.n_atoms} {'codes' if self.codebook else 'atoms'}"]
        if not self.codebook:
            parts.append(f"{self.n_nonzero} nonzero")
        if self.n_iterations:
            parts.append(f"{self.n_iterations} iterations")
        if self.observed < 1:
            parts.append(f"{self.observed:.0%} observed")
        return ", ".join(parts)


@dataclass(frozen=True)
class Problem:
    """What every contender is given: signals (N, F), a dictionary (K, F), and what is asked of them."""

    signals: Array
    dictionary: Array
    n_nonzero: int
    mask: Array | None = None
    """(N, F) bool, True where a feature is observed."""
    n_iterations: int = 0

    def first(self, n: int) -> Problem:
        """The same for the first n signals."""
        return replace(self, signals=self.signals[:n], mask=None if self.mask is None else self.mask[:n])


def problem(case: Case, dtype: str = "float32") -> Problem:
    """The arrays of a case, the same every time."""
    signals, dictionary = data.problem(case.patch, case.colour, case.n_atoms, case.most, dtype, unit=not case.codebook)
    mask = None
    if case.observed < 1:
        draws = np.random.default_rng(data.SEED).random(signals.shape, dtype=np.float32)
        # Which of equal draws is taken does not matter, as long as it is one number of features.
        seen = np.argpartition(draws, case.n_observed - 1, axis=1)[:, : case.n_observed]
        mask = np.zeros(signals.shape, dtype=bool)
        np.put_along_axis(mask, seen, True, axis=1)
    return Problem(signals, dictionary, case.n_nonzero, mask, case.n_iterations)
