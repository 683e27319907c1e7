"""`omp(selection="ols")`: the sizes of omp. SPAMS is order-recursive: the same algorithm, and the same residual."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sparsefast.bench import peers
from sparsefast.bench.case import Case, Problem
from sparsefast.bench.checks.greedy import GreedyChecker
from sparsefast.bench.variant import Variant, code_bytes
from sparsefast.bench.variants import omp

GOAL = 4.0


def call(problem: Problem, dictionary: Any, **options: Any) -> Any:
    import sparsefast

    return sparsefast.omp(problem.signals, dictionary, problem.n_nonzero, selection="ols", **options)


def flops(case: Case) -> int:
    """FLOPs for a signal: those of Batch-OMP and 2K in all steps but the last, for ||d_perp||^2 -= u_k^2.

    Dividing by ||d_perp||^2 is part of a comparison, and not counted.
    """
    return omp.flops(case) + sum(2 * case.n_atoms for _ in range(case.limit - 1))


def checker(problem: Problem) -> GreedyChecker:
    return GreedyChecker(problem, "ols")


VARIANT = Variant(
    name="ols",
    call=call,
    cases=tuple(replace(case, goal=GOAL) for case in omp.CASES if case.name.startswith("C")),
    tiny=omp.TINY,
    flops=flops,
    bytes=code_bytes,
    checker=checker,
    peers={"spams": peers.greedy.spams},
)
