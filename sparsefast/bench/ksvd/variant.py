"""What is measured on each case: the sweep of K-SVD by two methods, and the two halves of online learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsefast.bench.ksvd.case import Given
from sparsefast.bench.ksvd.check import Updated, Verdict, check_online, check_stats, check_sweep


@dataclass(frozen=True)
class Variant:
    """One operation, how we are called, what it costs and how its result is checked."""

    name: str
    op: str
    """Of the row of the grid of backends."""
    words: str
    call: Callable[..., Any]
    """(given, backend) -> our result."""
    decode: Callable[[Any, Given], Any]
    """Our result as `check` reads it."""
    check: Callable[[Given, Any], Verdict]
    flops: Callable[[Given], int]
    bytes: Callable[[Given, int], int]
    """(given, size of a number) -> bytes that must move."""
    goal: float | None = None
    """Times the rate of the best peer that the backend `auto` takes is meant to have."""


def sweep(given: Given, backend: str | None, method: str) -> Any:
    import sparsefast

    return sparsefast.ksvd_update(given.signals, given.dictionary, given.code, method=method, backend=backend)


def updated(result: Any, given: Given) -> Updated:
    return Updated(result.dictionary, result.code.values, result.errors)


def sweep_flops(given: Given, exact: bool) -> int:
    """2F for R, 2F for Eᵀg, 2F for g' and 4F for the new R, for each coefficient; exact adds half of EᵀE, F (F + 1).
    What is done once an atom is not counted."""
    f = given.case.n_features
    return given.n_entries * (10 * f + (f * (f + 1) if exact else 0))


def sweep_bytes(given: Given, itemsize: int) -> int:
    """A row of R for each coefficient, read for Eᵀg, read and written for g'; X and R at the beginning, R at the end.

    R may be in a cache that is faster than a copy, which more than 100% of this limit then says.
    """
    return (3 * given.n_entries + 3 * given.case.n_signals) * given.case.n_features * itemsize


def stats(given: Given, backend: str | None) -> Any:
    import sparsefast

    sums = sparsefast.DictionaryStats(given.case.n_atoms, given.case.n_features)
    return sums.add(given.signals, given.code, backend=backend)


def stats_flops(given: Given) -> int:
    """2S for the row of A and 2F for that of B, for each coefficient."""
    return given.n_entries * 2 * (given.case.n_nonzero + given.case.n_features)


def stats_bytes(given: Given, itemsize: int) -> int:
    """Signals and code read once, A and B written in float64."""
    case = given.case
    rows = case.n_signals * (case.n_features + 2 * case.n_nonzero) * itemsize
    return rows + case.n_atoms * (case.n_atoms + case.n_features) * 8


def online(given: Given, backend: str | None) -> Any:
    import sparsefast

    return sparsefast.online_update(given.stats, given.dictionary, backend=backend)


def online_flops(given: Given) -> int:
    """2KF for sum_j A_kj d_j, for each atom."""
    return 2 * given.case.n_atoms**2 * given.case.n_features


def online_bytes(given: Given, itemsize: int) -> int:
    """A and B read once in float64, the dictionary read and written."""
    case = given.case
    return case.n_atoms * (8 * (case.n_atoms + case.n_features) + 2 * case.n_features * itemsize)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(
            "approx",
            "ksvd_update",
            "a sweep of approximate K-SVD",
            lambda given, backend: sweep(given, backend, "approx"),
            updated,
            lambda given, got: check_sweep(given, got, exact=False),
            lambda given: sweep_flops(given, exact=False),
            sweep_bytes,
            goal=2.5,
        ),
        Variant(
            "exact",
            "ksvd_update",
            "a sweep of exact K-SVD",
            lambda given, backend: sweep(given, backend, "exact"),
            updated,
            lambda given, got: check_sweep(given, got, exact=True),
            lambda given: sweep_flops(given, exact=True),
            sweep_bytes,
            goal=3.0,
        ),
        Variant(
            "stats",
            "dictionary_stats",
            "A = ΓᵀΓ and B = ΓᵀX",
            stats,
            lambda result, given: (result.A, result.B),
            lambda given, got: check_stats(given, *got),
            stats_flops,
            stats_bytes,
        ),
        Variant(
            "online",
            "online_update",
            "one pass over the atoms from A and B",
            online,
            lambda result, given: result,
            lambda given, got: check_online(given, given.stats.A, given.stats.B, got),
            online_flops,
            online_bytes,
        ),
    )
}
WHOLE = "whole"
"""The name of the measurement of dictionary learning as a whole, beside these."""
NAMES = (*VARIANTS, WHOLE)
