"""`omp_masked`: half of the features of each signal are observed, others for each."""

from __future__ import annotations

from typing import Any

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks.greedy import GreedyChecker
from sparsefast.bench.variant import Variant, code_bytes


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.omp_masked(problem.signals, problem.mask, dictionary, problem.n_nonzero, **options)


def flops(case: Case) -> int:
    """FLOPs for a signal with F' observed features: F'K for all ||m d||^2, and 2F'K for D (m r) in each step.

    The atoms as they are seen have no Gram matrix in common, and a row of a signal's own costs as much as D (m r).
    """
    return case.n_observed * case.n_atoms * (1 + 2 * case.limit)


def bytes_moved(case: Case, itemsize: int) -> int:
    """Those of a signal and its code, and a byte of mask for each feature."""
    return code_bytes(case, itemsize) + case.n_features


VARIANT = Variant(
    name="omp_masked",
    call=call,
    cases=(
        Case("C1", (8, 8), False, 256, 8, most=1 << 16, observed=0.5),
        Case("C3", (8, 8), True, 1024, 10, most=1 << 14, observed=0.5),
    ),
    tiny=Case("tiny", (3, 3), False, 20, 3, most=200, observed=0.5),
    flops=flops,
    bytes=bytes_moved,
    checker=GreedyChecker,
    peers={
        "spams": peers.masked.spams,
        "spams-mask": peers.masked.spams_mask,
        "scikit-learn": peers.masked.scikit_learn,
        "torch": peers.masked.torch,
    },
)
