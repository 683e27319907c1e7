"""`omp`: sizes, goals, and what a signal costs."""

from __future__ import annotations

from typing import Any

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks.greedy import GreedyChecker
from sparsefast.bench.variant import Variant, code_bytes

CASES = (
    Case("C1", (8, 8), False, 256, 8, goal=6.0),
    Case("C2", (8, 8), False, 512, 8, goal=5.5),
    Case("C3", (8, 8), True, 1024, 10, goal=4.5, most=1 << 17),
    Case("C4", (1, 1), True, 16, 4, goal=40.0, most=1 << 22),
    Case("C5", (8, 8), False, 1024, 16, goal=4.7),
    Case("F49-K250", (7, 7), False, 250, 8, neighbour="F48-K256"),
    Case("F48-K256", (6, 8), False, 256, 8),
    Case("F63-K100", (7, 9), False, 100, 8, neighbour="F64-K96"),
    Case("F64-K96", (8, 8), False, 96, 8),
)
TINY = Case("tiny", (3, 3), False, 20, 3, most=200)


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.omp(problem.signals, dictionary, problem.n_nonzero, **options)


def flops(case: Case) -> int:
    """FLOPs of Batch-OMP for a signal: 2FK for D x, then (2k + 3) K for u_k and c in all steps but the last.

    u_k = (G_i - sum_{j<k} w_j u_j) / d takes (2k + 1) K and c -= y u_k takes 2K. Comparisons, the Gram matrix
    (shared) and the triangular algebra (no factor K) are not counted.
    """
    return 2 * case.n_features * case.n_atoms + sum((2 * k + 3) * case.n_atoms for k in range(case.limit - 1))


VARIANT = Variant(
    name="omp",
    call=call,
    cases=CASES,
    tiny=TINY,
    flops=flops,
    bytes=code_bytes,
    checker=GreedyChecker,
    peers={
        "spams": peers.greedy.spams,
        "scikit-learn": peers.greedy.scikit_learn,
        "torch": peers.greedy.torch,
        "dictlearn": peers.greedy.dictlearn,
    },
    prepared=True,
)
